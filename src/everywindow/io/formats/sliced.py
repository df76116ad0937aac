"""Images that are arrays on disk, read as they are sliced: zarr, TIFF, memory maps, NIfTI."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from everywindow.errors import InputError
from everywindow.io.reading import reading
from everywindow.io.source import Box, Level, Placement

CHANNEL, FIRST = -1, -2
"""What an axis of an array is where it has no spatial axis' number: the channels, or one whose first entry counts."""


@dataclass(frozen=True, eq=False)
class SlicedSource:
    """Arrays, one for each level, that are read as they are sliced.

    Attributes:
        arrays: the largest first.
        roles: per axis of the arrays the number of the spatial axis, ``CHANNEL`` or ``FIRST``.
        channels: the first so many of the channels are read.
        dtype: values are given so, in this machine's byte order.
        closing: lets go of the files.
    """

    path: str
    format: str
    arrays: tuple[Any, ...]
    roles: tuple[int, ...]
    levels: tuple[Level, ...]
    channels: int
    dtype: np.dtype[Any]
    placement: Placement = field(default_factory=Placement)
    physical: bool = False
    closing: Callable[[], None] = lambda: None

    def read(self, box: Box, level: int = 0) -> np.ndarray:
        """Slice the level's array."""
        index = tuple(self._part(role, box) for role in self.roles)
        with reading(self.path, box, level):
            values = np.asarray(self.arrays[level][index])
        kept = [role for role in self.roles if role != FIRST]
        order = [kept.index(role) for role in (*range(len(box)), CHANNEL) if role in kept]
        values = values.transpose(order).astype(self.dtype, copy=False)
        return values if CHANNEL in kept else values[..., None]

    def _part(self, role: int, box: Box) -> slice | int:
        if role == FIRST:
            return 0
        return slice(0, self.channels) if role == CHANNEL else slice(*box[role])

    def valid(self, box: Box, level: int = 0) -> np.ndarray | None:
        """All pixels hold data."""
        return None

    def close(self) -> None:
        """Let go of the files."""
        self.closing()


def native(dtype: Any) -> np.dtype[Any]:
    """The type in this machine's byte order."""
    found: np.dtype[Any] = np.dtype(dtype).newbyteorder("=")
    return found


def roles_of(names: Sequence[str], shape: Sequence[int], spatial: int, path: str) -> tuple[int, ...]:
    """What each named axis is: the last of z, y, x are spatial, c or s the channels; of others there may be one entry.

    Raises:
        InputError: an axis is absent, or one too many.

    >>> roles_of("tczyx", (1, 3, 1, 40, 50), 2, "image")
    (-2, -1, -2, 0, 1)
    """
    wanted = "zyx"[-spatial:]
    if any(names.count(name) != 1 for name in wanted):
        raise InputError(
            path,
            f"axes {', '.join(names)} of shape {tuple(shape)} are not an image with {spatial} spatial axes",
            f"give one with the axes {', '.join(wanted)}, and channels",
        )
    several = [name for name, size in zip(names, shape, strict=True) if name not in wanted and size > 1]
    channels = [name for name in several if name in "cs"] or [name for name in names if name in "cs"]
    for name in several:
        if name != channels[0] if channels else True:
            raise InputError(
                path,
                f"has {shape[list(names).index(name)]} images along the axis {name} (axes {', '.join(names)})",
                "give a file with one of them",
            )
    return tuple(
        wanted.index(name) if name in wanted else CHANNEL if channels and name == channels[0] else FIRST
        for name in names
    )


def sizes(shape: Sequence[int], roles: Sequence[int]) -> tuple[int, ...]:
    """Extents of the spatial axes.

    >>> sizes((3, 40, 50), (CHANNEL, 0, 1))
    (40, 50)
    """
    return tuple(int(shape[roles.index(axis)]) for axis in range(max(roles) + 1))


def levels_by_size(found: Sequence[Sequence[int]]) -> tuple[Level, ...]:
    """Levels of which only the sizes are known.

    >>> levels_by_size([(40, 50), (20, 20)])[1]
    Level(size=(20, 20), downsample=(2.0, 2.5))
    """
    first = found[0]
    return tuple(
        Level(tuple(size), tuple(whole / part for whole, part in zip(first, size, strict=True))) for size in found
    )
