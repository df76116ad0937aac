"""Size of a value of a converted network for an image: what the one pass computes and holds. Plain integers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from everywindow.geometry.extent import Extent
from everywindow.geometry.windows import WindowGrid


@dataclass(frozen=True)
class MapSize:
    """One value of the converted network.

    Attributes:
        layer: the user's name for the layer whose output it is.
        features: elements per position (per window, once every axis is gone).
        lengths: per spatial axis the positions inside one window, None once the axis is gone.
        extents: per spatial axis how the map's length follows from the image's, None once the axis is gone.
        macs: mult-adds for one window.
        last_use: index of the last value that is made from it; its own where nothing is.
        alias: whether it is a view of a value before it and takes no memory of its own.
        source: lengths and extents of the value that it is made of, where mult-adds are counted by its positions (of
            transposed convolutions, whose output does not grow in proportion); None where they are by its own.
    """

    layer: str
    features: int
    lengths: tuple[int | None, ...]
    extents: tuple[Extent | None, ...]
    macs: int
    last_use: int
    alias: bool = False
    source: tuple[tuple[int | None, ...], tuple[Extent | None, ...]] | None = None

    def positions(self, grid: WindowGrid) -> int:
        """Positions of the map; windows, where an axis is gone."""
        return _positions(self.extents, grid)

    def macs_for(self, grid: WindowGrid) -> int:
        """Mult-adds for the whole image."""
        lengths, extents = self.source or (self.lengths, self.extents)
        per_position = self.macs // prod(length for length in lengths if length is not None)
        return per_position * _positions(extents, grid)

    def elements(self, grid: WindowGrid) -> int:
        """Elements of the map."""
        return self.features * self.positions(grid)


def _positions(extents: Sequence[Extent | None], grid: WindowGrid) -> int:
    axes = zip(extents, grid.image_size, grid.counts, strict=True)
    return prod(count if extent is None else extent.length(size) for extent, size, count in axes)


def peak_elements(maps: Sequence[MapSize], grid: WindowGrid) -> int:
    """Most elements that exist at one time while the values are computed in order.

    >>> grid = WindowGrid((8,), (4,), (2,))
    >>> peak_elements([MapSize("a", 2, (4,), (Extent(),), 0, 1), MapSize("b", 1, (None,), (None,), 0, 1)], grid)
    19
    """
    alive = peak = 0
    ends: dict[int, int] = {}
    for index, value in enumerate(maps):
        if not value.alias:
            size = value.elements(grid)
            alive += size
            ends[value.last_use] = ends.get(value.last_use, 0) + size
        peak = max(peak, alive)
        alive -= ends.pop(index, 0)
    return peak
