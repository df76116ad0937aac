"""``demo``: the main job on real data."""

from __future__ import annotations

import click

from everywindow.cli.options import Console, json_option


@click.command()
@click.option("--out", default="demo-output", show_default=True, metavar="DIR", help="Where to write.")
@click.option("--seed", default=0, show_default=True, help="Another seed trains another network.")
@json_option
def demo(out: str, seed: int, console: Console) -> None:
    """Train two face classifiers, with and without padding, and find a face with each in all three modes."""
    from everywindow.demo import run

    console.result(run(out, seed, console.say))
