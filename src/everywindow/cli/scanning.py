"""``scan``: a model over an image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from everywindow.cli.classes import check_class, classes_option, named
from everywindow.cli.guard import keep_inputs
from everywindow.cli.options import (
    MODES,
    STREAMED,
    Console,
    Numbers,
    image_options,
    json_option,
    load_model,
    model_options,
    output_key,
    stream_options,
)
from everywindow.cli.streaming import are_several, scan_streamed, streams
from everywindow.cli.texts import map_record, map_text, pyramid_record, pyramid_text

if TYPE_CHECKING:
    from everywindow.api import Classifier

BOTH = ("map.npz", "heatmap.png")


@click.command()
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True)
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
    type=Numbers("FACTOR", "0.25,0.5"),
    help="Scan at several sizes, such as 0.5,1,2, for small and large things; --out is then a folder.",
)
@click.option(
    "--out",
    "outs",
    multiple=True,
    required=True,
    metavar="PATH",
    help="NAME.zarr: the scores, written tile by tile, of images of any size. FILE.npz: the scores. FILE.png: the heat "
    "map. A folder: the latter two, or a NAME.zarr for each of several images. May be repeated.",
)
@stream_options
@json_option
def scan(
    images: tuple[str, ...],
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
) -> int:
    """Score every window of IMAGE and write the map.

    With --out NAME.zarr the image may be larger than memory (slides, GeoTIFF, zarr, volumes, recordings), and a run
    that was stopped goes on with --resume. Of several images, or a folder of them, those that cannot be read are
    listed and left out.

    \b
    Exit code 3: done, but for parts or images that could not be read.
    """
    told = {name: options.pop(name) for name in STREAMED}
    if scales is None and (streams(outs) or are_several(images)):
        keep_inputs(outs, model, (*images, weights, classes))
        classifier = named(load_model(model, weights, window, trust), classes)
        check_class(classifier, klass)
        options |= {"mode": mode, "output": output_key(output)}
        reopen = {"spec": model, "weights": weights, "window": window, "trust": trust}
        return scan_streamed(classifier, images, outs, klass, boxes, {**options, **told, "reopen": reopen}, console)
    _refuse(told)
    (image,) = images
    if scales is not None and options.pop("scale") is not None:
        raise click.UsageError("--scale and --scales: give one of the two.")
    files = list(map(Path, outs)) if scales is not None else [file for out in outs for file in _files(out)]
    keep_inputs(files, model, (image, weights, classes))
    _check_writable(files, several=scales is not None)
    classifier = named(load_model(model, weights, window, trust), classes)
    check_class(classifier, klass)
    options |= {"mode": mode, "output": output_key(output)}
    if scales is None:
        text, record = _at_one_scale(classifier, image, files, klass, boxes, options)
    else:
        text, record = _at_several(classifier, image, scales, files, klass, boxes, options)
    written = files if scales is None else outs
    console.say(text)
    console.say(f"written:    {', '.join(map(str, written))}")
    console.result({**record, "files": [str(file) for file in written]})
    return 0


def _refuse(told: dict[str, Any]) -> None:
    """Options of scans that are written tile by tile, where this is none."""
    given = next((name for name, value in told.items() if value not in (None, False)), None)
    if given is not None:
        raise click.UsageError(f"--{given.replace('_', '-')} needs --out NAME.zarr.")


def _check_writable(files: Iterable[Path], several: bool) -> None:
    from everywindow import api

    for file in files:
        (api.Pyramid if several else api.ScoreMap).check_writable(file)


def _at_one_scale(
    classifier: Classifier, image: str, files: Sequence[Path], klass: str | None, boxes: float | None, options: Any
) -> tuple[str, dict[str, Any]]:
    """Scan and write; what to say of it, and the same for programs."""
    from everywindow import api

    m = api.scan(classifier, image, **options)
    peak = m.strongest(klass)
    listed = None if boxes is None else m.boxes(peak.klass, boxes)
    for file in files:
        m.save(file, klass=peak.klass)
    return map_text(m, peak, listed), map_record(m, peak, listed)


def _at_several(
    classifier: Classifier,
    image: str,
    scales: Sequence[float],
    folders: Sequence[Path],
    klass: str | None,
    boxes: float | None,
    options: Any,
) -> tuple[str, dict[str, Any]]:
    """The same at several scales."""
    from everywindow import api

    several = api.pyramid(classifier, image, scales, **options)
    found = several.shown_class(klass)
    listed = None if boxes is None else several.boxes(found, boxes)
    for folder in folders:
        several.save(folder)
    return pyramid_text(several, found, listed), pyramid_record(several, found, listed)


def _files(out: str) -> list[Path]:
    """The files of one ``--out``: a folder takes both kinds."""
    path = Path(out)
    folder = not path.suffix or (path.is_dir() and path.suffix.lower() != ".zarr") or out.endswith("/")
    return [path / name for name in BOTH] if folder else [path]
