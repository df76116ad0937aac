"""Poolings into a fixed number of bins, whatever the size of the map."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
from numpy.typing import ArrayLike

from everywindow.reference.arrays import Array, Index, Sizes, at, doubles, each_axis

REDUCES = ("mean", "max")


def adaptive_pool(x: ArrayLike, output_size: Sizes, reduce: str = "mean") -> Array:
    """Mean or maximum over bins: of ``n`` positions bin ``i`` of ``m`` has ``⌊i·n/m⌋`` to ``⌈(i+1)·n/m⌉ - 1``.

    Where ``m`` does not divide ``n``, bins are of unequal length, or overlap.

    Args:
        x: ``[N, C, *size]``.
        output_size: bins, one number for all spatial axes or one per axis.
        reduce: ``"mean"`` or ``"max"``.

    Returns:
        ``[N, C, *output_size]``.

    >>> adaptive_pool([[[1, 2, 3, 4, 5]]], 2).tolist()
    [[[2.0, 4.0]]]
    """
    x = doubles(x)
    y = np.zeros((*x.shape[:2], *each_axis("output_size", output_size, x.ndim - 2)))
    for place, seen in _bins(x.shape[2:], y.shape[2:]):
        values = x[seen].reshape(*x.shape[:2], -1)
        y[at(place)] = values.max(-1) if _checked(reduce) == "max" else values.mean(-1)
    return y


def adaptive_pool_backward(dy: ArrayLike, x: ArrayLike, output_size: Sizes, reduce: str = "mean") -> Array:
    """``dx``: each ``dy`` goes in equal parts to its bin, or to the bin's largest (the first of equal ones).

    >>> adaptive_pool_backward([[[3, 30]]], [[[1, 2, 3, 4, 5]]], 2).tolist()
    [[[1.0, 1.0, 11.0, 10.0, 10.0]]]
    """
    dy, x = doubles(dy), doubles(x)
    dx = np.zeros_like(x)
    for place, seen in _bins(x.shape[2:], each_axis("output_size", output_size, x.ndim - 2)):
        values = x[seen].reshape(*x.shape[:2], -1)
        mean = np.full(values.shape, 1 / values.shape[-1])
        largest = np.arange(values.shape[-1]) == values.argmax(-1)[..., None]
        shares = largest if _checked(reduce) == "max" else mean
        dx[seen] += (dy[at(place)][..., None] * shares).reshape(x[seen].shape)
    return dx


def pyramid_pool(x: ArrayLike, levels: Sequence[int] = (1, 2, 4), reduce: str = "max") -> Array:
    """Spatial pyramid pooling: the bins of several grids in one vector, as long for a map of any size.

    Args:
        x: ``[N, C, *size]``.
        levels: bins per axis of each grid.
        reduce: ``"max"`` or ``"mean"``.

    Returns:
        ``[N, C·Σ levels^axes]``: level by level, channel by channel, the last axis fastest.

    He, Zhang, Ren and Sun, Spatial pyramid pooling in deep convolutional networks (2014).

    >>> pyramid_pool([[[1, 2, 3, 4, 5]]], levels=(1, 2)).tolist()
    [[5.0, 3.0, 5.0]]
    """
    x = doubles(x)
    return np.concatenate([adaptive_pool(x, m, reduce).reshape(len(x), -1) for m in levels], axis=1)


def pyramid_pool_backward(dy: ArrayLike, x: ArrayLike, levels: Sequence[int] = (1, 2, 4), reduce: str = "max") -> Array:
    """``dx``: the sum of what each level's :func:`adaptive_pool_backward` gives for its part of the vector.

    >>> pyramid_pool_backward([[1, 10, 100]], [[[1, 2, 3, 4, 5]]], levels=(1, 2)).tolist()
    [[[0.0, 0.0, 10.0, 0.0, 101.0]]]
    """
    dy, x = doubles(dy), doubles(x)
    axes, channels = x.ndim - 2, x.shape[1]
    ends = np.cumsum([channels * m**axes for m in levels])
    parts = np.split(dy, ends[:-1], axis=1)
    grids = [part.reshape(len(x), channels, *(m,) * axes) for m, part in zip(levels, parts, strict=True)]
    return sum(
        (adaptive_pool_backward(part, x, m, reduce) for m, part in zip(levels, grids, strict=True)), np.zeros_like(x)
    )


def _bins(size: Sequence[int], counts: Sequence[int]) -> Iterator[tuple[tuple[int, ...], Index]]:
    """Every bin: its place among the outputs, and the part of the map ``[..., *size]`` that it sees."""
    for place in product(*map(range, counts)):
        spans = zip(place, size, counts, strict=True)
        yield place, at([slice(i * n // m, -(-(i + 1) * n // m)) for i, n, m in spans])


def _checked(reduce: str) -> str:
    if reduce not in REDUCES:
        raise ValueError(f"reduce: {reduce!r} is none of {', '.join(REDUCES)}: use one of them")
    return reduce
