"""A mask of a whole image at low resolution, and how it is made without the whole image in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from math import ceil, floor
from typing import Any

import numpy as np

from everywindow.errors import InputError
from everywindow.geometry import Span
from everywindow.io import Source

LARGEST = 2048
"""Cells of a mask per axis of two, at most; of three axes 256, of one 65,536."""

BLOCK = 2**24
"""Pixels that are read at a time."""

FUZZ = 1e-6
"""Of a cell: edges of windows that lie on edges of cells do not touch the next one for a rounding's sake."""


@dataclass(frozen=True, eq=False)
class CoarseMask:
    """Which parts of an image are wanted.

    Attributes:
        cells_wanted: ``[*n]``.
        each: level-0 pixels per cell and axis.
        description: what tells this mask from others, as plain data.
        table: sums of the cells.

    Raises:
        InputError: no cell is wanted.
    """

    cells_wanted: np.ndarray
    each: tuple[float, ...]
    description: dict[str, Any]
    table: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        if not self.cells_wanted.any():
            raise InputError("mask", "nothing in the image is wanted", "look at the mask, or give 'none'")
        object.__setattr__(self, "table", summed(self.cells_wanted))

    def cells(self, axis: int, start: float, stop: float) -> tuple[int, int]:
        """First cell and the one after the last that a stretch of level-0 pixels touches; none outside of the image."""
        count = self.cells_wanted.shape[axis]
        each = self.each[axis]
        first = min(max(floor(start / each + FUZZ), 0), count)
        return first, max(first, min(ceil(stop / each - FUZZ), count))


def thumbnail(source: Source) -> tuple[np.ndarray, tuple[float, ...]]:
    """The whole image at low resolution, float32 ``[*n, C]`` in the units that it is stored in, by means over blocks.

    Also level-0 pixels per cell and axis. The coarsest level that has enough pixels is read, part by part.
    """
    most = {1: 2**16, 2: LARGEST, 3: 256}.get(len(source.levels[0].size), 64)
    fine = [n for n, level in enumerate(source.levels) if max(level.size) >= min(most, max(source.levels[0].size)) / 2]
    level = max(fine, default=0)
    size = source.levels[level].size
    factors = tuple(ceil(n / most) for n in size)
    counts = tuple(ceil(n / factor) for n, factor in zip(size, factors, strict=True))
    found = np.empty((*counts, source.channels), np.float32)
    for cells in _blocks(counts, factors):
        box = tuple((a * factor, min(b * factor, n)) for (a, b), factor, n in zip(cells, factors, size, strict=True))
        found[tuple(slice(a, b) for a, b in cells)] = _means(source.read(box, level).astype(np.float32), factors)
    return found, tuple(factor * d for factor, d in zip(factors, source.levels[level].downsample, strict=True))


def validity(source: Source, counts: Sequence[int], each: Sequence[float]) -> np.ndarray | None:
    """Which of so many cells hold data, by the pixel in the middle of each; None where all do."""
    level = len(source.levels) - 1
    size = source.levels[level].size
    if source.valid(tuple((0, 1) for _ in size), level) is None:
        return None
    rows = np.empty(tuple(counts), bool)
    steps = [e / d for e, d in zip(each, source.levels[level].downsample, strict=True)]
    for cells in _blocks(counts, [max(1, ceil(step)) for step in steps]):
        middles = [
            [min(int((c + 0.5) * step), n - 1) for c in range(a, b)]
            for (a, b), step, n in zip(cells, steps, size, strict=True)
        ]
        box = tuple((axis[0], axis[-1] + 1) for axis in middles)
        valid = source.valid(box, level)
        assert valid is not None
        rows[tuple(slice(a, b) for a, b in cells)] = valid[np.ix_(*([m - axis[0] for m in axis] for axis in middles))]
    return rows


def _blocks(counts: Sequence[int], factors: Sequence[int]) -> list[tuple[tuple[int, int], ...]]:
    """Rectangles of cells that hold few enough pixels."""
    edge = BLOCK ** (1 / len(counts))
    spans = []
    for count, factor in zip(counts, factors, strict=True):
        step = max(1, int(edge / factor))
        spans.append([(start, min(start + step, count)) for start in range(0, count, step)])
    return list(product(*spans))


def _means(values: np.ndarray, factors: Sequence[int]) -> np.ndarray:
    """Means over blocks; those at the ends may be smaller."""
    for axis, factor in enumerate(factors):
        if factor == 1:
            continue
        starts = np.arange(0, values.shape[axis], factor)
        lengths = np.diff([*starts, values.shape[axis]]).reshape([-1 if n == axis else 1 for n in range(values.ndim)])
        values = (np.add.reduceat(values, starts, axis=axis) / lengths).astype(np.float32)
    return values


def summed(mask: np.ndarray) -> np.ndarray:
    """Sums over all boxes that begin at the first element, with a row of 0 before each axis.

    >>> summed(np.array([True, False, True])).tolist()
    [0, 1, 1, 2]
    """
    table = np.zeros(tuple(n + 1 for n in mask.shape), np.int64)
    table[(slice(1, None),) * mask.ndim] = mask
    for axis in range(mask.ndim):
        np.cumsum(table, axis=axis, out=table)
    return table


def sums(table: np.ndarray, spans: Sequence[Sequence[Span]]) -> np.ndarray:
    """Sums over all boxes that have one of the spans on each axis, of a table as :func:`summed` makes it.

    >>> sums(summed(np.array([True, False, True])), [[(0, 2), (1, 2)]]).tolist()
    [1, 0]
    """
    total = np.zeros(tuple(len(axis) for axis in spans), np.int64)
    for ends in product((0, 1), repeat=len(spans)):
        places = np.ix_(*([span[end] for span in axis] for axis, end in zip(spans, ends, strict=True)))
        total += (-1) ** (len(spans) - sum(ends)) * table[places]
    return total
