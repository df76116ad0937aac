"""``probe``: what a network does under shifts, rotations and scales."""

from __future__ import annotations

from typing import Any

import click

from everywindow.cli.guard import keep_inputs
from everywindow.cli.options import Console, Numbers, json_option, load_model, model_options, output_key


@click.command()
@click.argument("images", nargs=-1)
@model_options
@click.option(
    "--shifts",
    type=Numbers("PIXELS", "1,2,4"),
    help="Pixels to move by, such as 1,2,4.  [default: to a quarter of the window]",
)
@click.option("--angles", type=Numbers("DEGREES", "10,45,90"), help="Degrees to turn by, both ways.")
@click.option("--zooms", type=Numbers("FACTOR", "0.8,1.25"), help="Factors to enlarge by.")
@click.option(
    "--at", type=Numbers("PIXEL", "200,150"), help="Where the window's middle lies, y first.  [default: the image's]"
)
@click.option("--scale", type=float, metavar="FACTOR", help="Resize the images first, such as 0.5.")
@click.option("--raw", is_flag=True, help="Take values as they are, and not scaled to 0 to 1; channels last.")
@click.option("--output", metavar="NAME", help="Which output of a network with several: index or key.")
@click.option("--device", metavar="NAME", help="Such as cpu or cuda.  [default: cpu]")
@click.option("--dtype", metavar="NAME", help="Such as float32 or float64.  [default: the network's]")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the noise, where there are no images.")
@click.option(
    "--out",
    metavar="FILE",
    help="FILE.png: a figure; FILE.html: a page with figure and tables; FILE.json: the numbers.",
)
@json_option
def probe(
    images: tuple[str, ...],
    model: str,
    weights: str | None,
    window: Any,
    trust: bool,
    output: str | None,
    out: str | None,
    console: Console,
    **options: Any,
) -> None:
    """Measure on IMAGES (files or a folder; noise without any) whether layers and answers hold under shifts, rotations
    and scales, max against mean pooling, and what padding tells about the place."""
    from everywindow import api
    from everywindow.report import check_target

    if out is not None:
        check_target(out)
        keep_inputs([out], model, (*images, weights))
    found = api.probe(
        load_model(model, weights, window, trust), list(images) or None, output=output_key(output), **options
    )
    console.say(str(found))
    if out is not None:
        found.save(out)
        console.say(f"written: {out}")
    console.result({**found.as_dict(), "files": [out] if out is not None else []})
