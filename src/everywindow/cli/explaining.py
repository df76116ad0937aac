"""``explain``: the story of a model as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from everywindow.cli.guard import keep_inputs
from everywindow.cli.options import Console, Sizes, json_option, load_model, loading, output_key
from everywindow.errors import InputError

PAGES = (".html", ".htm")


@click.command()
@click.argument("model")
@loading
@click.option(
    "--image-size",
    type=Sizes(),
    help="Size of your images in pixels.  [default: 384 or twice the "
    "window; of volumes and recordings twice the window]",
)
@click.option("--stride", type=Sizes(), help="Pixels between windows.  [default: the network's stride]")
@click.option("--output", metavar="NAME", help="Which output of a network with several.  [default: the first]")
@click.option("--out", required=True, metavar="FILE", help="Where to write the page, such as report.html.")
@json_option
def explain(
    model: str,
    weights: str | None,
    window: Any,
    trust: bool,
    image_size: Any,
    stride: Any,
    output: str | None,
    out: str,
    console: Console,
) -> None:
    """Tell the story of a model on one page: its layers, what they turn into, see, share and cost."""
    from everywindow import api

    keep_inputs([out], model, (weights,))
    if Path(out).suffix.lower() not in PAGES:
        raise InputError(out, f"{Path(out).suffix or 'a folder'} is not a kind of page", "end the name in .html")
    classifier = load_model(model, weights, window, trust)
    told = api.explain(classifier, image_size, stride, output=output_key(output))
    told.save(out)
    console.say(repr(told))
    console.say(f"page: {out}")
    console.result(told.as_dict() | {"page": out})
