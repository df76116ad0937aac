"""Which format a file's suffix stands for; a new format is a file and a line here."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from everywindow.errors import InputError
from everywindow.exporting import geojson, geotiff, ometiff, simple, table, windows
from everywindow.exporting.record import COORDINATES, Exported, Wanted
from everywindow.exporting.result import Result, opened
from everywindow.io import atomic_file
from everywindow.report import ScoreMap, class_index

Writer = Callable[[Result, Path, Wanted], Exported]

WRITERS: dict[str, Writer] = {
    ".ome.tif": ometiff.write,
    ".ome.tiff": ometiff.write,
    ".tif": geotiff.write,
    ".tiff": geotiff.write,
    ".geojson": geojson.write,
    ".windows.csv": windows.write,
    ".csv": table.write,
    ".png": simple.heat_map,
    ".npz": simple.archive,
}
"""By suffix; the longer ones come first."""


def exported(result: ScoreMap | str | os.PathLike[str], to: str | os.PathLike[str], wanted: Wanted) -> Exported:
    """Write a result for another program; the file appears whole or not at all.

    Raises:
        InputError: no result, no such format, nothing of that kind in the result, or a place that cannot be written.
        DependencyError: rasterio is missing for GeoTIFF or GeoJSON.
    """
    target = Path(to)
    writer = writer_of(target)
    _check(wanted)
    source = opened(result)
    _keep_inputs(target, source, None if isinstance(result, ScoreMap) else Path(result))
    if wanted.klass is not None:
        class_index(wanted.klass, source.classes, len(source.classes))
    try:
        with atomic_file(target) as scratch:
            record = writer(source, scratch, wanted)
    except OSError as error:
        raise InputError(str(to), f"cannot be written ({error.strerror or error})", "choose another place") from error
    return replace(record, path=str(to))


def writer_of(target: Path) -> Writer:
    """By the file's name.

    Raises:
        InputError: its suffix stands for nothing.
    """
    name = target.name.lower()
    for suffix, writer in WRITERS.items():
        if name.endswith(suffix):
            return writer
    known = ", ".join(WRITERS)
    raise InputError(str(target), f"{target.suffix or 'no suffix'} is no format", f"end the name in one of {known}")


def _check(wanted: Wanted) -> None:
    if wanted.coordinates not in COORDINATES:
        raise InputError("coordinates", f"{wanted.coordinates!r} is not known", f"use one of {', '.join(COORDINATES)}")
    if isinstance(wanted.most, bool) or not isinstance(wanted.most, int) or wanted.most < 1:
        raise InputError("most", f"{wanted.most!r} is no number of regions", "give 1 or more")


def _keep_inputs(target: Path, source: Result, file: Path | None) -> None:
    """Neither the result nor the image is written over."""
    image = None if source.image is None else Path(source.image)
    for kept, what in ((file, "the result itself"), (image, "the image that was scanned")):
        if kept is None or not kept.exists():
            continue
        if (target.exists() and target.samefile(kept)) or kept.resolve() in target.resolve().parents:
            raise InputError(str(target), f"is {what}, or lies in it", "choose another name")
