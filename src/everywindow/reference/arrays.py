"""What the functions take and give: arrays of double precision, one number for all axes or one per axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Sizes = int | Sequence[int]
Index = tuple[Any, ...]


class Gradients(NamedTuple):
    """Derivatives of a loss: by a layer's input, its weights and its biases; shaped as these are."""

    dx: Array
    dw: Array
    db: Array


def doubles(values: ArrayLike) -> Array:
    """The values in double precision."""
    return np.asarray(values, dtype=np.float64)


def at(place: Sequence[int | slice]) -> Index:
    """The index of a place, or a part, of the spatial axes, which are the last ones."""
    return (..., *place)


def each_axis(name: str, given: Sizes, axes: int) -> tuple[int, ...]:
    """One number per axis.

    Raises:
        ValueError: as many numbers as there are axes, or one, are wanted.

    >>> each_axis("stride", 2, axes=3)
    (2, 2, 2)
    """
    numbers = (given,) * axes if isinstance(given, int) else tuple(given)
    if len(numbers) != axes:
        raise ValueError(f"{name}: {len(numbers)} numbers for {axes} axes: give one, or one per axis")
    return numbers
