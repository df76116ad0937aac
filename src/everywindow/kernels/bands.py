"""A convolution and what follows it at each position, in bands of rows that stay near the processor.

One after the other, a convolution, an activation and a pooling each read and write a map of the image's size, which
takes longer than the arithmetic of all but the first. In bands of rows the map between them exists only in part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from everywindow.kernels.minimal import BAND, Filter, axis_of, empty_map, saves
from everywindow.kernels.taps import taps

InPlace = Callable[[Tensor], Any]
"""Overwrites its argument, each element by itself."""


@dataclass(frozen=True)
class Shape:
    """Stride, padding and dilation of a convolution, rows before columns, and its groups."""

    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int


@dataclass(frozen=True)
class MaxPool:
    """Kernel, stride and dilation of a max pooling without padding, rows before columns."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]


def _in_bands(x: Tensor) -> bool:
    """Whether rows of a map ``[1, C, h, w]`` are neighbours in memory, features last."""
    features_last = x.shape[1] == 1 or x.stride(1) == 1
    return len(x) == 1 and features_last and x.stride(2) >= x.shape[3] * x.shape[1]


def convolved(
    x: Tensor, weight: Tensor, bias: Tensor | None, shape: Shape, then: Sequence[InPlace], pool: MaxPool | None
) -> Tensor:
    """The map behind a convolution, activations and a pooling: ``[N, C, h, w]`` to ``[N, K, rows, cols]``."""
    if not _in_bands(x):
        y = F.conv2d(x, weight, bias, shape.stride, shape.padding, shape.dilation, shape.groups)
        for step in then:
            step(y)
        return y if pool is None else F.max_pool2d(y, pool.kernel, pool.stride, 0, pool.dilation)
    rows = Rows(x, weight, bias, shape)
    sink = Whole(x, weight, rows.lengths) if pool is None else Pooled(x, weight, rows.lengths, pool)
    for first, count in rows.bands():
        band = rows.made(first, count, sink.room(count))
        for step in then:
            step(band)
        sink.take(band)
    return sink.map


class Rows:
    """Rows of a convolution's output, made when asked for."""

    def __init__(self, x: Tensor, weight: Tensor, bias: Tensor | None, shape: Shape) -> None:
        self._x, self._weight, self._bias, self._shape = x, weight, bias, shape
        sizes = zip(x.shape[2:], weight.shape[2:], shape.padding, shape.dilation, shape.stride, strict=True)
        self.lengths = tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, p, d, s in sizes)
        self._filter: Filter | None = None
        if saves(x, weight, shape.stride, shape.dilation, shape.groups, coarse=True):
            axis = axis_of(x, weight, shape.dilation, coarse=True)
            self._filter = Filter(weight, bias, shape.dilation, axis, coarse=True)

    def bands(self) -> list[tuple[int, int]]:
        """First row and number of rows of each band."""
        group = self._filter.group if self._filter is not None and self._filter.axis == 0 else 1
        across = self.lengths[1] * max(self._weight.shape[0], self._x.shape[1])
        count = max(1, BAND // max(1, across * group)) * group
        return [(first, min(count, self.lengths[0] - first)) for first in range(0, self.lengths[0], count)]

    def made(self, first: int, count: int, out: Tensor | None = None) -> Tensor:
        """Some rows of the output, in ``out`` or memory of their own."""
        (stride, _), (above, beside), (dilation, _) = self._shape.stride, self._shape.padding, self._shape.dilation
        start = first * stride - above
        stop = start + (count - 1) * stride + dilation * (self._weight.shape[2] - 1) + 1
        low, high = (min(max(row, 0), self._x.shape[2]) for row in (start, stop))
        slab = self._x[:, :, low:high]
        before = min(max(-start, 0), stop - start)
        edges = (before, stop - start - before - (high - low))
        if self._filter is not None:
            return self._filter(_padded(slab, (beside, beside), edges), out)
        slab = _padded(slab, (0, 0), edges)
        shape = self._shape
        made = F.conv2d(slab, self._weight, self._bias, shape.stride, (0, beside), shape.dilation, shape.groups)
        return made if out is None else out.copy_(made)


def _padded(x: Tensor, columns: tuple[int, int], rows: tuple[int, int]) -> Tensor:
    return F.pad(x, (*columns, *rows)) if any((*columns, *rows)) else x


class Whole:
    """Keeps all rows: bands are made in their place."""

    def __init__(self, x: Tensor, weight: Tensor, lengths: tuple[int, ...]) -> None:
        self.map, self._done = empty_map(x, weight, lengths), 0

    def room(self, count: int) -> Tensor:
        """Where the next rows go."""
        return self.map.narrow(2, self._done, count)

    def take(self, band: Tensor) -> None:
        """The next rows, which lie in their place."""
        self._done += band.shape[2]


class Pooled:
    """Takes the largest values of bands that come one after the other; rows that later ones need are held."""

    def __init__(self, x: Tensor, weight: Tensor, lengths: tuple[int, ...], pool: MaxPool) -> None:
        sizes = zip(lengths, pool.kernel, pool.dilation, pool.stride, strict=True)
        self._lengths = tuple((n - d * (k - 1) - 1) // s + 1 for n, k, d, s in sizes)
        self._pool, self._done = pool, 0
        self._held: Tensor | None = None
        self._skip = 0
        self.map = empty_map(x, weight, self._lengths)

    def room(self, count: int) -> None:
        """Bands are made in memory of their own."""

    def take(self, band: Tensor) -> None:
        """The next rows."""
        pool, held = self._pool, self._held
        wide = _largest(band, 3, pool.kernel[1], pool.dilation[1], pool.stride[1], self._lengths[1])
        rows = wide if held is None else torch.cat([held, wide], 2)
        dropped = min(self._skip, rows.shape[2])
        rows = rows.narrow(2, dropped, rows.shape[2] - dropped)
        used = self._pooled(rows)
        kept = max(0, rows.shape[2] - used)
        self._held = rows.narrow(2, rows.shape[2] - kept, kept)
        self._skip += max(0, used - rows.shape[2]) - dropped

    def _pooled(self, rows: Tensor) -> int:
        """Pool as many rows as can be; the number of rows that nobody needs again."""
        pool = self._pool
        reach, step = pool.dilation[0] * (pool.kernel[0] - 1), pool.stride[0]
        count = min(max(0, (rows.shape[2] - reach - 1) // step + 1), self._lengths[0] - self._done)
        if count:
            out = self.map.narrow(2, self._done, count)
            _largest(rows, 2, pool.kernel[0], pool.dilation[0], step, count, out)
        self._done += count
        return count * step


def _largest(
    x: Tensor, dim: int, kernel: int, dilation: int, stride: int, count: int, out: Tensor | None = None
) -> Tensor:
    """The largest value over a kernel's taps along one dimension, for the first ``count`` outputs."""
    read = x.narrow(dim, 0, (count - 1) * stride + dilation * (kernel - 1) + 1)
    *others, last = taps(read, dim, kernel, dilation, stride)
    if not others:
        return last if out is None else out.copy_(last)
    return torch.maximum(reduce(torch.maximum, others), last, out=out)
