"""What a score map writes by itself: the heat map and its own archive."""

from __future__ import annotations

from math import prod
from pathlib import Path

from everywindow.errors import InputError
from everywindow.exporting.record import Exported, Wanted
from everywindow.exporting.result import Result


def heat_map(result: Result, path: Path, wanted: Wanted) -> Exported:
    """The picture of one class."""
    if len(result.counts) == 3:
        raise InputError(path.name, "a picture holds a plane, and the map has 3 axes", "end the name in .ome.tif")
    result.load().save(path, wanted.klass)
    return Exported(str(path), "heat map", "windows", prod(result.counts))


def archive(result: Result, path: Path, wanted: Wanted) -> Exported:
    """The map as NumPy reads it."""
    result.load().save(path)
    return Exported(str(path), "NumPy archive", "windows", prod(result.counts))
