"""Rectangles of windows, and the part of the image that each needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

from everywindow.geometry.windows import WindowGrid

Span = tuple[int, int]
"""First index and exclusive stop."""

Seen = Sequence[Span | None]
"""Per axis the first pixel that a tile must hold, relative to each of its windows, and the one after the last.

None where it must hold the whole axis.
"""


@dataclass(frozen=True)
class Tile:
    """A rectangle of windows.

    Attributes:
        windows: per axis the windows wanted.
        computed: per axis the windows of the tile's pixels, the wanted ones among them.
        pixels: per axis the pixels of the image that the tile takes.
    """

    windows: tuple[Span, ...]
    computed: tuple[Span, ...]
    pixels: tuple[Span, ...]

    def wanted(self) -> tuple[slice, ...]:
        """Where the wanted windows lie among the computed ones."""
        pairs = zip(self.windows, self.computed, strict=True)
        return tuple(slice(start - first, stop - first) for (start, stop), (first, _) in pairs)

    @property
    def size(self) -> tuple[int, ...]:
        """Pixels per axis."""
        return tuple(stop - start for start, stop in self.pixels)

    @property
    def count(self) -> int:
        """Number of windows wanted."""
        return prod(stop - start for start, stop in self.windows)


def tiles_within(grid: WindowGrid, seen: Seen, fits: Callable[[tuple[int, ...]], bool]) -> list[Tile]:
    """Tiles whose pixels fit, as few as halving finds; single windows where nothing fits.

    A tile takes all pixels that ``seen`` asks for, or ends where the image ends, so that its scores are those of the
    whole. An axis that every tile must hold is not cut.

    >>> grid = WindowGrid((20,), (4,), (2,))
    >>> [tile.pixels for tile in tiles_within(grid, [(0, 4)], lambda size: size[0] <= 12)]
    [((0, 10),), ((8, 20),)]
    """
    parts = [1] * len(grid.counts)
    while True:
        tiles = list(_tiles(grid, seen, parts))
        splittable = [axis for axis, count in enumerate(grid.counts) if parts[axis] < count and seen[axis]]
        if not splittable or all(fits(size) for size in {tile.size for tile in tiles}):
            return tiles
        axis = max(splittable, key=lambda axis: grid.counts[axis] / parts[axis])
        parts[axis] = min(parts[axis] * 2, grid.counts[axis])


def _tiles(grid: WindowGrid, seen: Seen, parts: Sequence[int]) -> Iterator[Tile]:
    spans = [_spans(count, number) for count, number in zip(grid.counts, parts, strict=True)]
    for windows in product(*spans):
        yield tile_of(grid, seen, windows)


def tile_of(grid: WindowGrid, seen: Seen, windows: tuple[Span, ...]) -> Tile:
    """The tile for a rectangle of windows; ``seen`` as in :func:`tiles_within`."""
    computed = tuple(_computed(grid, axis, span, seen[axis]) for axis, span in enumerate(windows))
    pixels = tuple(_pixels(grid, axis, span, seen[axis]) for axis, span in enumerate(computed))
    return Tile(windows, computed, pixels)


def rectangles(counts: Sequence[int], fits: Callable[[tuple[int, ...]], bool]) -> list[tuple[Span, ...]]:
    """Rectangles of windows that fit, as few as halving finds; single windows where nothing fits.

    >>> rectangles((5, 2), lambda counts: counts[0] * counts[1] <= 6)
    [((0, 2), (0, 2)), ((2, 5), (0, 2))]
    """
    parts = [1] * len(counts)
    while True:
        spans = [_spans(count, number) for count, number in zip(counts, parts, strict=True)]
        sizes = product(*({stop - first for first, stop in axis} for axis in spans))
        splittable = [axis for axis, count in enumerate(counts) if parts[axis] < count]
        if not splittable or all(fits(size) for size in sorted(sizes, reverse=True)):
            return list(product(*spans))
        axis = max(splittable, key=lambda axis: counts[axis] / parts[axis])
        parts[axis] = min(parts[axis] * 2, counts[axis])


def _spans(count: int, parts: int) -> list[Span]:
    return [(count * part // parts, count * (part + 1) // parts) for part in range(parts)]


def _computed(grid: WindowGrid, axis: int, span: Span, seen: Span | None) -> Span:
    """The windows of the tile: some before the wanted ones where a score sees pixels before its window."""
    if seen is None:
        return 0, grid.counts[axis]
    stride = grid.stride[axis]
    before = -(-max(0, -seen[0]) // stride)
    after = -(-max(0, seen[1] - grid.window[axis]) // stride)
    return max(0, span[0] - before), min(grid.counts[axis], span[1] + after)


def _pixels(grid: WindowGrid, axis: int, computed: Span, seen: Span | None) -> Span:
    """The pixels of the tile: to the image's end where it holds the last window and a score sees past its window."""
    if seen is None:
        return 0, grid.image_size[axis]
    first, stop = computed
    end = (stop - 1) * grid.stride[axis] + grid.window[axis]
    past_window = seen[1] > grid.window[axis]
    return first * grid.stride[axis], grid.image_size[axis] if past_window and stop == grid.counts[axis] else end
