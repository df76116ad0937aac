"""Which windows make a tile: a chunk of the result, and the unit that is done or not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

from everywindow.geometry import Span, WindowGrid

MOST_WINDOWS = 2**16
"""Windows in a tile, at most: what a crash may cost."""


@dataclass(frozen=True)
class Tiling:
    """The windows of an image in tiles of one shape; those at the far ends may be smaller.

    Attributes:
        counts: windows of the image per axis.
        shape: windows of a tile per axis.

    >>> tiling = Tiling((5, 4), (2, 4))
    >>> tiling.parts, tiling.total, tiling.windows(2)
    ((3, 1), 3, ((4, 5), (0, 4)))
    """

    counts: tuple[int, ...]
    shape: tuple[int, ...]

    @property
    def parts(self) -> tuple[int, ...]:
        """Tiles per axis."""
        return tuple(-(-count // step) for count, step in zip(self.counts, self.shape, strict=True))

    @property
    def total(self) -> int:
        """Tiles in all."""
        return prod(self.parts)

    def windows(self, tile: int) -> tuple[Span, ...]:
        """The windows of a tile; tiles are counted with the last axis fastest."""
        places = []
        for part in reversed(self.parts):
            tile, place = divmod(tile, part)
            places.append(place)
        spans = zip(reversed(places), self.shape, self.counts, strict=True)
        return tuple((place * step, min((place + 1) * step, count)) for place, step, count in spans)

    def every(self) -> Iterator[tuple[Span, ...]]:
        """The windows of each tile."""
        return map(self.windows, range(self.total))


def tile_shape(grid: WindowGrid, most_pixels: int, most_windows: int = MOST_WINDOWS) -> tuple[int, ...]:
    """Windows per axis of tiles whose pixels are at most so many, as equal as they can be, and near to squares.

    Windows are at most so many, too, for their scores take memory.

    >>> tile_shape(WindowGrid((1000, 100), (10, 10), (10, 10)), most_pixels=20_000)
    (20, 10)
    """
    parts = [1] * len(grid.counts)
    while True:
        shape = tuple(-(-count // part) for count, part in zip(grid.counts, parts, strict=True))
        size = pixels_of(grid, shape)
        if (prod(size) <= most_pixels and prod(shape) <= min(most_windows, MOST_WINDOWS)) or max(shape) == 1:
            return shape
        axis = max((n for n, each in enumerate(shape) if each > 1), key=lambda n: size[n])
        parts[axis] = _more(grid.counts[axis], parts[axis])


def pixels_of(grid: WindowGrid, shape: Sequence[int]) -> tuple[int, ...]:
    """Pixels per axis that a rectangle of windows covers."""
    return tuple((n - 1) * step + size for n, step, size in zip(shape, grid.stride, grid.window, strict=True))


def _more(count: int, parts: int) -> int:
    """The next number of parts that makes them smaller."""
    now = -(-count // parts)
    return -(-count // (now - 1))
