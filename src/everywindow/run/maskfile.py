"""A mask from a file: a picture, an array, or outlines in GeoJSON."""

from __future__ import annotations

import hashlib
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageDraw

from everywindow.errors import InputError
from everywindow.io import Placement, Source, open_source
from everywindow.run.coarse import LARGEST, CoarseMask
from everywindow.run.outlines import Ring, polygons

ASPECT = 0.02
"""How far the proportions of a mask may be from those of the image."""

MOST = 2**28
"""Cells of a mask, at most."""

FINEST = 4096
"""Cells per axis that a mask is brought down to."""

OUTLINES = (".geojson", ".json")


def mask_from_file(path: str, image: Source) -> CoarseMask:
    """A mask that covers the whole image.

    Args:
        path: a picture or array of any resolution, not 0 where the image is wanted; or GeoJSON with outlines in level-0
            pixels, x first, or in the reference system that its ``crs`` names.
        image: which it is for.

    Raises:
        InputError: no such file, not a mask, of other proportions than the image, or nothing in it is wanted.
    """
    file, size = Path(path), image.levels[0].size
    if not file.exists():
        raise InputError(path, "no such file", "give 'auto', 'none' or the file of a mask")
    cells = _drawn(file, size, image.placement) if file.suffix.lower() in OUTLINES else _read(file, size)
    return _mask(cells, size, {"kind": "file", "sha256": hashlib.sha256(_bytes(file)).hexdigest()})


def _bytes(file: Path) -> bytes:
    if file.is_file():
        return file.read_bytes()
    return b"".join(each.read_bytes() for each in sorted(file.rglob("*")) if each.is_file())


def _read(file: Path, size: tuple[int, ...]) -> np.ndarray:
    source = open_source(file, 1, len(size))
    try:
        own = source.levels[0].size
        if prod(own) > MOST:
            raise InputError(str(file), f"{prod(own):,} pixels are too many for a mask", "make it coarser")
        _check_proportions(file, own, size)
        values = source.read(tuple((0, n) for n in own))
    finally:
        source.close()
    found: np.ndarray = (np.nan_to_num(values) != 0).any(-1)
    return found


def _mask(cells: np.ndarray, size: tuple[int, ...], description: dict[str, Any]) -> CoarseMask:
    """With fewer cells where there are very many: wanted where any of those within is."""
    each = [n / count for n, count in zip(size, cells.shape, strict=True)]
    for axis, count in enumerate(cells.shape):
        factor = -(-count // FINEST)
        if factor > 1:
            cells = np.logical_or.reduceat(cells, np.arange(0, count, factor), axis=axis)
            each[axis] *= factor
    return CoarseMask(cells, tuple(each), description)


def _check_proportions(file: Path, own: tuple[int, ...], size: tuple[int, ...]) -> None:
    """A cell may be as wide as a pixel of the mask too little or too much."""
    factors = [n / m for n, m in zip(size, own, strict=True)]
    slack = [1 + ASPECT + 1 / m for m in own]
    if max(factors) > min(factors) * max(slack):
        raise InputError(
            str(file),
            f"its proportions {'×'.join(map(str, own))} are not those of the image, {'×'.join(map(str, size))}",
            "give a mask that covers the whole image",
        )


def _drawn(file: Path, size: tuple[int, ...], placement: Placement) -> np.ndarray:
    if len(size) != 2:
        raise InputError(str(file), f"outlines are for pictures, the image has {len(size)} axes", "give an array")
    factor = max(1.0, max(size) / LARGEST)
    height, width = (max(1, round(n / factor)) for n in size)
    steps = width / size[1], height / size[0]
    canvas = PIL.Image.new("1", (width, height))
    for outline, *holes in polygons(file, size, placement):
        one = PIL.Image.new("1", (width, height))
        pen = PIL.ImageDraw.Draw(one)
        pen.polygon(_scaled(outline, steps), fill=1, outline=1)
        for hole in holes:
            pen.polygon(_scaled(hole, steps), fill=0, outline=1)
        canvas.paste(1, mask=one)
    return np.asarray(canvas, bool)


def _scaled(ring: Ring, steps: tuple[float, float]) -> list[tuple[float, float]]:
    return [(point[0] * steps[0], point[1] * steps[1]) for point in ring]
