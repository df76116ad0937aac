"""``cost``: what a model takes on an image of a size, before anything runs."""

from __future__ import annotations

from typing import Any

import click

from everywindow.cli.guard import keep_inputs
from everywindow.cli.options import Console, Names, Sizes, json_option, load_model, model_options, output_key
from everywindow.cli.words import as_options

SORTS = ("order", "params", "macs", "receptive_field")
FAMILIES = ("conv", "fc", "pool", "other")


@click.command()
@model_options
@click.option("--image-size", type=Sizes(), required=True, help="Size of the image in pixels.")
@click.option("--stride", type=Sizes(), help="Pixels between windows.  [default: the network's stride]")
@click.option("--output", metavar="NAME", help="Which output of a network with several.  [default: the first]")
@click.option("--memory", metavar="SIZE", help="Bound for what is held at a time, such as 2GiB.")
@click.option(
    "--predict/--no-predict",
    default=True,
    help="Predict seconds; the first time this measures the device, for some seconds.  [default: predict]",
)
@click.option(
    "--sort",
    type=click.Choice(SORTS),
    default="order",
    show_default=True,
    help="Layers as computed, or the largest first.",
)
@click.option("--depth", type=int, metavar="N", help="Sum up by modules, by the first N parts of their path.")
@click.option("--only", type=Names(FAMILIES, "KIND"), help="Layers of some kinds: conv, fc, pool, other.")
@click.option("--csv", "csv_file", metavar="FILE", help="Write the layers there, one per line.")
@json_option
def cost(
    model: str,
    weights: str | None,
    window: Any,
    trust: bool,
    image_size: Any,
    sort: str,
    depth: int | None,
    only: tuple[str, ...] | None,
    csv_file: str | None,
    predict: bool,
    output: str | None,
    console: Console,
    **options: Any,
) -> None:
    """Count parameters, mult-adds, seconds and memory per layer and mode, before running anything."""
    from everywindow import api

    if csv_file is not None:
        keep_inputs([csv_file], model, (weights,), option="--csv")
    classifier = load_model(model, weights, window, trust)
    options["output"] = output_key(output)
    table = api.cost(classifier, image_size, predict=None if predict else False, **options)
    if predict and not table.predicted:
        click.echo("everywindow: note: measuring how fast this device is, once, for some seconds", err=True)
        table = api.cost(classifier, image_size, predict=True, **options)
    text = table.table(sort, depth, only)
    if csv_file is not None:
        table.to_csv(csv_file, sort, depth, only)
    console.say(as_options(text))
    console.result(table.as_dict(sort, depth, only))
