"""Arrays of numpy, channels last, mapped into memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from everywindow.errors import InputError
from everywindow.io.formats.sliced import CHANNEL, SlicedSource, levels_by_size, native
from everywindow.io.reading import opening
from everywindow.io.source import Source


def opens(path: Path) -> bool:
    """By its suffix."""
    return path.suffix.lower() == ".npy" and path.is_file()


def source(path: Path, channels: int, axes: int) -> Source:
    """``[*size]`` or ``[*size, C]``."""
    with opening(str(path), "write it with numpy.save"):
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(array, np.ndarray):
            raise ValueError("it is an archive of several arrays")
    if array.ndim not in (axes, axes + 1) or array.size == 0:
        raise InputError(
            str(path),
            f"an array of shape {array.shape} is not {axes} axes, or {axes} and channels",
            "give one image, channels last",
        )
    roles = (*range(axes), CHANNEL)[: array.ndim]
    bands = array.shape[-1] if array.ndim > axes else 1
    levels = levels_by_size([array.shape[:axes]])
    return SlicedSource(str(path), "npy", (array,), roles, levels, bands, native(array.dtype))
