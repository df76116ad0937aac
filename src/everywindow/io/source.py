"""Where pixels come from, of whatever size: what every format answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, Protocol

import numpy as np

from everywindow.geometry import Span

Box = tuple[Span, ...]
"""Per spatial axis the first pixel and the one after the last, in pixels of a level."""


@dataclass(frozen=True)
class Level:
    """One resolution of an image.

    Attributes:
        size: pixels per spatial axis.
        downsample: level-0 pixels per pixel of this level, per axis; seldom whole numbers.
    """

    size: tuple[int, ...]
    downsample: tuple[float, ...]


@dataclass(frozen=True)
class Placement:
    """Where an image lies in the world.

    Attributes:
        spacing: extent of a level-0 pixel per axis, in ``unit``; None where the file does not tell.
        unit: ``"micrometer"``, ``"millimeter"``, ``"second"`` and their like, as OME-NGFF names them.
        bounds: level-0 pixels, per axis, outside of which there is nothing (of a slide); None where that is not told.
        crs: coordinate reference system as WKT, of a georeferenced image.
        transform: ``(a, b, c, d, e, f)`` from level-0 column and row, counted at pixels' corners, to that system:
            ``x = a*column + b*row + c``, ``y = d*column + e*row + f``.
        offset: where the centre of the first level-0 pixel lies per axis, in ``unit``; None for 0.
    """

    spacing: tuple[float, ...] | None = None
    unit: str | None = None
    bounds: Box | None = None
    crs: str | None = None
    transform: tuple[float, ...] | None = None
    offset: tuple[float, ...] | None = None


class Source(Protocol):
    """An opened image. One thread reads at a time; whoever opens it closes it.

    Attributes:
        path: as it was given.
        format: name of the format, for people.
        levels: the largest first; there is always one.
        channels: per pixel, without transparency.
        dtype: of the values that :meth:`read` gives.
        placement: where it lies.
        physical: whether values have units of their own (millivolts, Hounsfield units), and are not brightness.
    """

    @property
    def path(self) -> str: ...
    @property
    def format(self) -> str: ...
    @property
    def levels(self) -> tuple[Level, ...]: ...
    @property
    def channels(self) -> int: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def placement(self) -> Placement: ...
    @property
    def physical(self) -> bool: ...

    def read(self, box: Box, level: int = 0) -> np.ndarray:
        """Values ``[*size, channels]`` of a box that lies inside the level.

        Raises:
            InputError: they cannot be read; the file and the place are named.
        """

    def valid(self, box: Box, level: int = 0) -> np.ndarray | None:
        """Which pixels ``[*size]`` hold data, by transparency or a value for none; None where all do."""

    def close(self) -> None:
        """Let go of the file."""


@dataclass(frozen=True, eq=False)
class ArraySource:
    """An array in memory, or one that is read as it is sliced (a memory map, a zarr array), as a source.

    >>> source = ArraySource(np.arange(12).reshape(3, 4, 1), "image")
    >>> source.read(((1, 2), (0, 2)))[..., 0].tolist()
    [[4, 5]]
    """

    array: Any
    path: str
    format: str = "array"
    placement: Placement = field(default_factory=Placement)
    physical: bool = False

    @property
    def levels(self) -> tuple[Level, ...]:
        """The array itself."""
        size = tuple(int(n) for n in self.array.shape[:-1])
        return (Level(size, (1.0,) * len(size)),)

    @property
    def channels(self) -> int:
        """Extent of the last axis."""
        return int(self.array.shape[-1])

    @property
    def dtype(self) -> np.dtype[Any]:
        """The array's own."""
        own: np.dtype[Any] = np.dtype(self.array.dtype)
        return own

    def read(self, box: Box, level: int = 0) -> np.ndarray:
        """Slice the array."""
        return np.asarray(self.array[spans(box)])

    def valid(self, box: Box, level: int = 0) -> np.ndarray | None:
        """All pixels hold data."""
        return None

    def close(self) -> None:
        """Nothing is open."""


def spans(box: Box) -> tuple[slice, ...]:
    """The box as slices."""
    return tuple(slice(*span) for span in box)


def box_bytes(box: Sequence[Span], channels: int, itemsize: int) -> int:
    """Memory of a box's values."""
    return prod(stop - start for start, stop in box) * channels * itemsize
