"""Pyramidal OME-TIFF: a channel per class, planes and volumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from everywindow.errors import InputError
from everywindow.exporting.record import Exported, Wanted
from everywindow.exporting.result import Result
from everywindow.io import ngff

TILE = (256, 256)
UNITS = {
    "angstrom": "Å",
    "nanometer": "nm",
    "micrometer": "µm",
    "millimeter": "mm",
    "centimeter": "cm",
    "meter": "m",
    "kilometer": "km",
}


def write(result: Result, path: Path, wanted: Wanted) -> Exported:
    """The extent of a cell as PhysicalSize, and the first cell's centre as Position of every plane.

    Both in the image's unit, or in level-0 pixels where it has none; the centre of the first pixel lies at 0.
    """
    import tifffile

    if len(result.counts) not in (2, 3):
        why = f"OME-TIFF holds planes and volumes, and the map has {len(result.counts)} axes"
        raise InputError(path.name, why, "end the name in .csv, .png or .npz")
    levels = [result.staged(path.with_name(f"{path.name}.values"), wanted.probabilities)]
    while max(levels[-1].shape[-2:]) > ngff.LARGEST_TOP:
        levels.append(_halved(levels[-1], path.with_name(f"{path.name}.values{len(levels)}")))
    large = sum(level.nbytes for level in levels) > 2**31
    common: dict[str, Any] = {"photometric": "minisblack", "tile": TILE, "compression": "zlib"}
    with tifffile.TiffWriter(path, bigtiff=large, ome=True) as file:
        metadata = _metadata(result, wanted.probabilities)
        file.write(levels[0], subifds=len(levels) - 1, metadata=metadata, **common)
        for level in levels[1:]:
            file.write(level, subfiletype=1, metadata=None, **common)
    return Exported(str(path), "OME-TIFF", "channels", len(levels[0]))


def _metadata(result: Result, probabilities: bool) -> dict[str, Any]:
    unit = UNITS.get(result.unit)
    known = bool(result.spacing) and unit is not None
    spacing, offset = (result.spacing, result.source.get("offset")) if known else ((1.0,) * len(result.counts), None)
    sizes, first = result.place.ngff(spacing, offset)
    planes = len(result.classes) * int(np.prod(result.counts[:-2]))
    told: dict[str, Any] = {
        "axes": "C" + "".join(result.axes).upper(),
        "Name": "probabilities" if probabilities else "scores",
        "Channel": {"Name": list(result.classes)},
    }
    position: dict[str, list[Any]] = {}
    for axis, size, at in zip(result.axes, sizes, first, strict=True):
        name, shown = axis.upper(), unit if known else "pixel"
        told |= {f"PhysicalSize{name}": size, f"PhysicalSize{name}Unit": shown}
        places = [at] * planes if axis != "z" else _depths(at, size, result)
        position |= {f"Position{name}": places, f"Position{name}Unit": [shown] * planes}
    return {**told, "Plane": position}


def _depths(first: float, size: float, result: Result) -> list[float]:
    """The planes of each channel, one channel after the other."""
    return [first + i * size for i in range(result.counts[0])] * len(result.classes)


def _halved(values: np.ndarray, file: Path) -> np.ndarray:
    """Means by 2 over rows and columns, NaN left out, in another scratch file."""
    sizes = [-(-n // 2) for n in values.shape[-2:]]
    smaller = np.memmap(file, values.dtype, "w+", shape=(*values.shape[:-2], *sizes))
    for index in np.ndindex(*values.shape[:-2]):
        for first in range(0, sizes[0], TILE[0]):
            rows = values[index][2 * first : 2 * (first + TILE[0])]
            smaller[index][first : first + TILE[0]] = ngff.means(rows[None], (2, 2))[0]
    return smaller
