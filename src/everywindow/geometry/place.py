"""Where windows lie in the image as it was given, and in the world; one place for these formulas.

Window W, stride S, padding P and origin O of the region that is scanned are in pixels of the level that is read; the
downsample d of that level and the pixel's extent p are floats per axis and never rounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Affine = tuple[float, float, float, float, float, float]
"""``(a, b, c, d, e, f)``: ``x = a*column + b*row + c``, ``y = d*column + e*row + f``."""


@dataclass(frozen=True)
class Place:
    """The windows of a scan, placed in the level-0 image.

    Attributes:
        window, stride: per axis, in scanned pixels.
        pad: pixels added before the first one, per axis.
        origin: first pixel of the region, per axis, in scanned pixels (a float where the region was resampled).
        downsample: level-0 pixels per scanned pixel, per axis.

    >>> place = Place(window=(64,), stride=(16,), pad=(0,), origin=(10,), downsample=(4.0,))
    >>> place.centre((2,)), place.box((2,))
    ((296.0,), ((168.0, 424.0),))
    """

    window: tuple[int, ...]
    stride: tuple[int, ...]
    pad: tuple[int, ...]
    origin: tuple[float, ...]
    downsample: tuple[float, ...]

    def centre(self, index: Sequence[int]) -> tuple[float, ...]:
        """Centre of a window in level-0 pixels, counted from the first pixel's edge."""
        return tuple(
            d * (o + i * s - p + w / 2)
            for d, o, i, s, p, w in zip(
                self.downsample, self.origin, index, self.stride, self.pad, self.window, strict=True
            )
        )

    def box(self, index: Sequence[int]) -> tuple[tuple[float, float], ...]:
        """First edge and last edge of a window per axis, in level-0 pixels."""
        return tuple(self.edges(axis, i) for axis, i in enumerate(index))

    def edges(self, axis: int, index: int) -> tuple[float, float]:
        """First edge and last edge of the windows of an index along one axis, in level-0 pixels."""
        start = self.origin[axis] + index * self.stride[axis] - self.pad[axis]
        return self.downsample[axis] * start, self.downsample[axis] * (start + self.window[axis])

    def cell(self) -> tuple[float, ...]:
        """Level-0 pixels from one window to the next, per axis."""
        return tuple(d * s for d, s in zip(self.downsample, self.stride, strict=True))

    def first_edge(self) -> tuple[float, ...]:
        """Level-0 position of the edge of the first cell, when each window is drawn as a cell on its centre."""
        return tuple(c - step / 2 for c, step in zip(self.centre((0,) * len(self.window)), self.cell(), strict=True))

    def affine(self, transform: Affine) -> Affine:
        """From column and row of the map, counted at cells' corners, to the system of ``transform`` (two axes)."""
        a, b, c, d, e, f = transform
        (step_y, step_x), (y, x) = self.cell(), self.first_edge()
        return a * step_x, b * step_y, a * x + b * y + c, d * step_x, e * step_y, d * x + e * y + f

    def ngff(
        self, spacing: Sequence[float], offset: Sequence[float] | None = None
    ) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Scale and translation as OME-NGFF has them.

        ``offset`` is where the centre of the level-0 image's first pixel lies; at 0 if nothing is told.
        """
        scale = tuple(p * step for p, step in zip(spacing, self.cell(), strict=True))
        first = self.centre((0,) * len(self.window))
        zero = offset or (0.0,) * len(first)
        return scale, tuple(o + p * (c - 0.5) for o, p, c in zip(zero, spacing, first, strict=True))
