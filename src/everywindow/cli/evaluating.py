"""``evaluate``: a model over labelled images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from everywindow.cli.classes import class_names, classes_option
from everywindow.cli.guard import keep_inputs
from everywindow.cli.options import Console, Numbers, Sizes, json_option, load_model, model_options, output_key
from everywindow.cli.words import as_options


class Words(click.ParamType[Any]):
    """Names or numbers in one word: ``centre,ten``. Which there are is seen where they are used."""

    def __init__(self, name: str) -> None:
        self.name = name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Take them apart."""
        return tuple(word.strip() for word in value.split(",")) if isinstance(value, str) else value


@click.command()
@click.argument("images")
@model_options
@click.option(
    "--protocols",
    type=Words("NAME[,NAME]"),
    help="Of centre, mirrored, five, ten (crops), exact, fcn, crops (every window, in that mode).  [default: all but "
    "crops; fcn where the network has a conversion]",
)
@click.option("--stride", type=Sizes(), help="Pixels between windows.  [default: the network's stride]")
@click.option(
    "--reductions",
    type=Words("NAME[,NAME]"),
    default="mean_probability,mean_score,max",
    show_default=True,
    help="How all windows become one answer.",
)
@click.option(
    "--scales", type=Numbers("FACTOR", "1,0.5"), default="1", show_default=True, help="Factors to resize the images by."
)
@click.option("--resize", type=int, metavar="N", help="Pixels to bring the shorter side to first.")
@click.option(
    "--small",
    type=click.Choice(("resize", "pad", "skip")),
    default="resize",
    show_default=True,
    help="What to do with images smaller than the window.",
)
@click.option("--raw", is_flag=True, help="Take values as they are, and not scaled to 0 to 1; channels last.")
@click.option("--boxes", metavar="PATH", help="Folder of VOC XML files or COCO JSON file: see where the maps point.")
@click.option(
    "--overlaps",
    type=Numbers("SHARE", "0.3,0.5"),
    default="0.3,0.5",
    show_default=True,
    help="Where a box counts as found.",
)
@classes_option
@click.option(
    "--overwrite", is_flag=True, help="Write over what --out has of other settings, another model or other images."
)
@click.option("--strict", is_flag=True, help="Stop at the first image, label or box that cannot be used.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the bootstrap.")
@click.option("--output", metavar="NAME", help="Which output of a network with several.")
@click.option("--device", metavar="NAME", help="Such as cpu or cuda.  [default: cpu]")
@click.option("--dtype", metavar="NAME", help="Such as float32 or float64.  [default: the network's]")
@click.option("--memory", metavar="SIZE", help="Bound for what is held at a time, such as 2GiB.")
@click.option(
    "--out",
    metavar="DIR",
    help="Folder for results.csv, boxes.csv and report.html; a run that was stopped goes on there.",
)
@json_option
def evaluate(
    images: str,
    model: str,
    weights: str | None,
    window: Any,
    trust: bool,
    classes: str | None,
    output: str | None,
    out: str | None,
    console: Console,
    **options: Any,
) -> None:
    """Accuracy and seconds per image of one crop, several crops and every window.

    IMAGES is a folder with a folder per class, or a CSV with the columns path,label.
    """
    from everywindow import api

    if out is not None:
        keep_inputs([out], model, (images, options["boxes"]))
    classifier = load_model(model, weights, window, trust)
    result = api.evaluate(
        classifier, images, classes=class_names(classes), output=output_key(output), out=out, **options
    )
    console.say(as_options(str(result)))
    files = [] if out is None else [str(Path(out) / name) for name in result.files]
    if files:
        console.say(f"written: {', '.join(files)}")
    console.result({**result.as_dict(), "files": files})
