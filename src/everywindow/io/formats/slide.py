"""Whole-slide images, by openslide."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from everywindow.errors import InputError
from everywindow.geometry import Span
from everywindow.io.reading import is_installed, library, opening, reading
from everywindow.io.source import Box, Level, Placement, Source

SUFFIXES = (".svs", ".svslide", ".ndpi", ".mrxs", ".scn", ".vms", ".vmu", ".bif", ".czi", ".dcm")
SHARED_SUFFIXES = (".tif", ".tiff")
GENERIC = "generic-tiff"
BLOCK = 512
"""Pixels per side of the blocks that a level is read by, where its pixels lie between those of level 0."""
EXTRA = "slides"


def opens(path: Path) -> bool:
    """By its suffix; a TIFF where openslide knows the scanner's make."""
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return path.exists()
    if suffix not in SHARED_SUFFIXES or not path.is_file() or not is_installed("openslide"):
        return False
    vendor = library("openslide", EXTRA, str(path)).OpenSlide.detect_format(str(path))
    return vendor is not None and vendor != GENERIC


def files(path: Path) -> list[Path]:
    """The file, and the directory that lies beside a MIRAX file."""
    beside = path.with_suffix("")
    return [path, beside] if path.suffix.lower() == ".mrxs" and beside.is_dir() else [path]


def source(path: Path, channels: int, axes: int) -> Source:
    """The slide with its levels."""
    if axes != 2:
        raise InputError(str(path), f"slides have 2 axes, the classifier takes {axes}", "give another image")
    return SlideSource(str(path))


class SlideSource:
    """A slide. What the scanner left out is transparent: :meth:`valid` tells where, nothing is blended."""

    format = "slide"
    channels = 3
    dtype = np.dtype(np.uint8)
    physical = False

    def __init__(self, path: str) -> None:
        self.path = path
        self._library = library("openslide", EXTRA, path)
        self._slide = self._opened()
        sizes, factors = self._slide.level_dimensions, self._slide.level_downsamples
        self.levels = tuple(Level((h, w), (float(d), float(d))) for (w, h), d in zip(sizes, factors, strict=True))
        self.placement = _placement(self._slide.properties)
        self._last: tuple[Box, int, np.ndarray] | None = None

    def _opened(self) -> Any:
        with opening(self.path, "give a slide that openslide reads, or convert it to a tiled TIFF"):
            return self._library.OpenSlide(self.path)

    def read(self, box: Box, level: int = 0) -> np.ndarray:
        """RGB as it is stored."""
        return self._rgba(box, level)[..., :3]

    def valid(self, box: Box, level: int = 0) -> np.ndarray | None:
        """Where the slide is not transparent."""
        valid = self._rgba(box, level)[..., 3] > 0
        return None if valid.all() else valid

    def close(self) -> None:
        """Let go of the file."""
        self._slide.close()
        self._last = None

    def _rgba(self, box: Box, level: int) -> np.ndarray:
        """The box in four bytes; the last one is kept, since pixels and their transparency are asked for in turn."""
        if self._last is None or self._last[:2] != (box, level):
            self._last = None
            try:
                with reading(self.path, box, level):
                    self._last = box, level, self._decoded(box, level)
            except InputError:
                self._slide.close()  # openslide reads nothing more after an error
                self._slide = self._opened()
                raise
        return self._last[2]

    def _decoded(self, box: Box, level: int) -> np.ndarray:
        downsample = self.levels[level].downsample[0]
        if downsample == int(downsample):
            return self._region(tuple(start * int(downsample) for start, _ in box), level, _extent(box))
        # Level-0 pixels are whole numbers: a box that starts between two of them would be shifted, and each box
        # otherwise. Blocks always start at the same ones.
        rgba = np.empty((*_extent(box), 4), np.uint8)
        for row, column in product(*(range(start // BLOCK, -(-stop // BLOCK)) for start, stop in box)):
            first = (row * BLOCK, column * BLOCK)
            size = tuple(min(BLOCK, n - at) for n, at in zip(self.levels[level].size, first, strict=True))
            block = self._region(tuple(round(at * downsample) for at in first), level, size)
            within, there = zip(*(_overlap(s, at, n) for s, at, n in zip(box, first, size, strict=True)), strict=True)
            rgba[there] = block[within]
        return rgba

    def _region(self, first: tuple[int, ...], level: int, size: tuple[int, ...]) -> np.ndarray:
        return np.asarray(self._slide.read_region(first[::-1], level, size[::-1]))


def _extent(box: Box) -> tuple[int, ...]:
    return tuple(stop - start for start, stop in box)


def _overlap(span: Span, first: int, size: int) -> tuple[slice, slice]:
    """What a box and a block share, within the block and within the box."""
    low, high = max(span[0], first), min(span[1], first + size)
    return slice(low - first, high - first), slice(low - span[0], high - span[0])


def _placement(properties: Mapping[str, str]) -> Placement:
    spacing = _numbers(properties, "mpp-y", "mpp-x")
    place = _numbers(properties, "bounds-y", "bounds-x", "bounds-height", "bounds-width")
    bounds = None
    if place is not None:
        y, x, height, width = (int(number) for number in place)
        bounds = ((y, y + height), (x, x + width))
    known = spacing is not None and min(spacing) > 0
    return Placement(spacing if known else None, "micrometer" if known else None, bounds)


def _numbers(properties: Mapping[str, str], *names: str) -> tuple[float, ...] | None:
    try:
        found = tuple(float(properties[f"openslide.{name}"]) for name in names)
    except (KeyError, ValueError):
        return None
    return found if all(map(math.isfinite, found)) else None
