"""Volumes in NIfTI files, by nibabel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from everywindow.errors import InputError
from everywindow.io.formats.sliced import CHANNEL, FIRST, SlicedSource, levels_by_size, sizes
from everywindow.io.reading import library, opening
from everywindow.io.source import Placement, Source

SUFFIXES = (".nii", ".nii.gz")
MILLIMETERS = {"meter": 1e3, "mm": 1.0, "micron": 1e-3}
EXTRA = "volumes"


def opens(path: Path) -> bool:
    """By its suffix."""
    return path.name.lower().endswith(SUFFIXES) and path.exists()


def source(path: Path, channels: int, axes: int) -> Source:
    """Values in the file's units, axes in the file's order; a fourth axis holds the channels.

    Of a compressed file each read decompresses all that lies before the box: unpack large ones.
    """
    with opening(str(path), "give an intact NIfTI file"):
        image: Any = library("nibabel", EXTRA, str(path)).load(path)
        shape = image.shape
        roles = _roles(path, shape, axes)
        zooms = image.header.get_zooms()[:axes]
        factor = MILLIMETERS.get(image.header.get_xyzt_units()[0], 1.0)
    if image.get_data_dtype().kind not in "fiu":
        raise InputError(str(path), f"values of type {image.get_data_dtype()} are not brightness", "give numbers")
    placement = Placement(tuple(float(zoom) * factor for zoom in zooms), "millimeter")
    levels = levels_by_size([sizes(shape, roles)])
    bands = shape[roles.index(CHANNEL)] if CHANNEL in roles else 1
    dtype = np.dtype(np.float32)
    return SlicedSource(str(path), "nifti", (image.dataobj,), roles, levels, bands, dtype, placement, physical=True)


def _roles(path: Path, shape: tuple[int, ...], axes: int) -> tuple[int, ...]:
    """The first axes are spatial, the last of what follows them holds the channels where it has more than one entry."""
    rest = shape[axes:]
    several = [axis for axis, size in enumerate(rest) if size > 1]
    if len(shape) < axes or len(several) > 1 or (several and several[0] + axes < 3):
        raise InputError(str(path), f"shape {shape} is not an image with {axes} axes", "give one volume")
    channels = several[0] if several else None
    return (*range(axes), *(CHANNEL if axis == channels else FIRST for axis in range(len(rest))))
