"""How a kernel slides over a map: which positions each of its taps meets, one number per spatial axis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from everywindow.reference.arrays import Array, Index, Sizes, at, each_axis

Padding = int | Sequence[int | tuple[int, int]]


@dataclass(frozen=True)
class Sliding:
    """A kernel that slides over a map of some size.

    Attributes:
        size: positions of the map.
        kernel, stride, dilation: of the kernel.
        lower, upper: positions added before and after the map.
        counts: positions of the kernel, that is outputs.
        overhang: further positions after the padding, over which the last outputs of ceil mode hang.
    """

    size: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    lower: tuple[int, ...]
    upper: tuple[int, ...]
    counts: tuple[int, ...]
    overhang: tuple[int, ...]

    def taps(self) -> Iterator[tuple[int, ...]]:
        """Every place within the kernel, the last axis fastest."""
        return product(*map(range, self.kernel))

    def seen(self, tap: tuple[int, ...]) -> Index:
        """Where a tap looks in the padded map: ``p·stride + tap·dilation`` for every output position ``p``."""
        firsts = [k * d for k, d in zip(tap, self.dilation, strict=True)]
        spans = zip(firsts, self.counts, self.stride, strict=True)
        return at([slice(first, first + (count - 1) * s + 1, s) for first, count, s in spans])

    def padded(self, x: Array, fill: float = 0.0) -> Array:
        """The map ``[..., *size]`` with its padding and overhang, all of one value."""
        sides = zip(self.lower, self.upper, self.overhang, strict=True)
        widths = [(0, 0)] * (x.ndim - len(self.size)) + [(low, high + over) for low, high, over in sides]
        return np.pad(x, widths, constant_values=fill)

    def inside(self, padded: Array) -> Array:
        """The map ``[..., *size]`` without padding and overhang."""
        return padded[at([slice(low, low + n) for low, n in zip(self.lower, self.size, strict=True)])]


def sliding(
    size: Sequence[int],
    kernel: Sizes,
    stride: Sizes | None = None,
    padding: Padding = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
) -> Sliding:
    """Outputs per axis: ``⌊(n + lower + upper - dilation·(kernel - 1) - 1) / stride⌋ + 1``; ceil mode rounds up.

    In ceil mode an output that would begin in the padding after the map is left out.

    Raises:
        ValueError: the kernel does not fit.

    >>> sliding((6,), kernel=3, stride=2).counts, sliding((6,), kernel=3, stride=2, ceil_mode=True).counts
    ((2,), (3,))
    """
    axes = len(size)
    kernels, dilations = each_axis("kernel", kernel, axes), each_axis("dilation", dilation, axes)
    strides = kernels if stride is None else each_axis("stride", stride, axes)
    lower, upper = _sides(padding, axes)
    found = [
        _counted(n + low + high, d * (k - 1) + 1, s, n + low if ceil_mode else None)
        for n, k, s, d, low, high in zip(size, kernels, strides, dilations, lower, upper, strict=True)
    ]
    counts, overhang = tuple(count for count, _ in found), tuple(over for _, over in found)
    if min(counts) < 1:
        raise ValueError(f"kernel: {kernels} does not fit into {tuple(size)}: give a smaller one, or padding")
    return Sliding(tuple(size), kernels, strides, dilations, lower, upper, counts, overhang)


def _counted(length: int, extent: int, stride: int, end: int | None) -> tuple[int, int]:
    """Outputs along an axis, and how far the last one hangs over its end; ``end``: where ceil mode may not begin."""
    if end is None:
        return (length - extent) // stride + 1, 0
    count = -((extent - length) // stride) + 1
    if (count - 1) * stride >= end:
        count -= 1
    return count, max(0, (count - 1) * stride + extent - length)


def _sides(padding: Padding, axes: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Padding before and after each axis."""
    given = (padding,) * axes if isinstance(padding, int) else tuple(padding)
    if len(given) != axes:
        raise ValueError(f"padding: {len(given)} entries for {axes} axes: give one, or one per axis")
    pairs = [(side, side) if isinstance(side, int) else side for side in given]
    return tuple(low for low, _ in pairs), tuple(high for _, high in pairs)
