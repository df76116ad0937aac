"""``scan``: a model over an image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from everywindow.cli.classes import check_class, classes_option, named
from everywindow.cli.guard import keep_inputs
from everywindow.cli.options import (
    MODES,
    Console,
    Scales,
    image_options,
    json_option,
    load_model,
    model_options,
    output_key,
)
from everywindow.cli.texts import map_record, map_text, pyramid_record, pyramid_text

if TYPE_CHECKING:
    from everywindow.api import ScoreMap

BOTH = ("map.npz", "heatmap.png")


@click.command()
@click.argument("image")
@model_options
@image_options
@click.option(
    "--mode",
    type=click.Choice(MODES),
    default="exact",
    show_default=True,
    help="exact: the crops' own numbers, computing once what windows share. fcn: the converted network in one pass; "
    "near, where the network pads. crops: each window by itself.",
)
@click.option(
    "--class",
    "klass",
    metavar="NAME",
    help="Class to look for and to draw.  [default: the top class of the image; of two classes the second]",
)
@classes_option
@click.option(
    "--boxes",
    type=float,
    metavar="PROBABILITY",
    help="Also list the boxes of that class with at least this probability, of which none overlaps another much.",
)
@click.option(
    "--scales",
    type=Scales(),
    help="Scan at several sizes, such as 0.5,1,2, for small and large things; --out is then a folder.",
)
@click.option(
    "--out",
    "outs",
    multiple=True,
    required=True,
    metavar="PATH",
    help="FILE.npz or FILE.zarr: the scores. FILE.png: the heat map. A folder: both. May be repeated.",
)
@json_option
def scan(
    image: str,
    model: str,
    weights: str | None,
    window: Any,
    trust: bool,
    mode: str,
    klass: str | None,
    classes: str | None,
    outs: tuple[str, ...],
    boxes: float | None,
    scales: tuple[float, ...] | None,
    console: Console,
    output: str | None,
    **options: Any,
) -> None:
    """Score every window of IMAGE and write the map."""
    from everywindow import api

    if scales is not None:
        keep_inputs(outs, model, (image, weights, classes))
        if options.pop("scale") is not None:
            raise click.UsageError("--scale and --scales: give one of the two.")
        for out in outs:
            api.Pyramid.check_writable(out)
        classifier = named(load_model(model, weights, window, trust), classes)
        check_class(classifier, klass)
        several = api.pyramid(classifier, image, scales, mode=mode, output=output_key(output), **options)
        found = several.shown_class(klass)
        listed = None if boxes is None else several.boxes(found, boxes)
        for out in outs:
            several.save(out)
        console.say(pyramid_text(several, found, listed))
        console.say(f"written:    {', '.join(outs)}")
        console.result({**pyramid_record(several, found, listed), "files": list(outs)})
        return
    files = [file for out in outs for file in _files(out)]
    keep_inputs(files, model, (image, weights, classes))
    for file in files:
        api.ScoreMap.check_writable(file)
    classifier = named(load_model(model, weights, window, trust), classes)
    check_class(classifier, klass)
    m = api.scan(classifier, image, mode=mode, output=output_key(output), **options)
    peak = m.strongest(klass)
    listed = None if boxes is None else m.boxes(peak.klass, boxes)
    _write(m, files, peak.klass)
    console.say(map_text(m, peak, listed))
    console.say(f"written:    {', '.join(map(str, files))}")
    console.result({**map_record(m, peak, listed), "files": [str(file) for file in files]})


def _files(out: str) -> list[Path]:
    """The files of one ``--out``: a folder takes both kinds."""
    path = Path(out)
    folder = not path.suffix or (path.is_dir() and path.suffix.lower() != ".zarr") or out.endswith("/")
    return [path / name for name in BOTH] if folder else [path]


def _write(m: ScoreMap, files: list[Path], klass: int) -> None:
    for file in files:
        m.save(file, klass=klass)
