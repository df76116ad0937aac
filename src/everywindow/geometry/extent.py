"""How the length of an image-wide map follows from the image's size."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from math import gcd

from everywindow.geometry.axis import AxisRecord, LocalOp

Stage = tuple[int, int, int]
"""``times``, ``add``, ``divisor``: a length becomes ``(length * times + add) // divisor``."""

Chain = tuple[Stage, ...]
"""Stages one after the other; the first takes the image's size."""


@dataclass(frozen=True)
class Extent:
    """Length of an image-wide map along one axis: the smallest of what some chains of floors give.

    Floors of floors are a floor, ``(size + add) // divisor``, until an upsampling multiplies one; a map that was cut to
    the length of several others is as long as the shortest. So the length of every map of a converted network is known
    for every image size. Position 0 of every map belongs to the window at offset 0.

    Attributes:
        spacing: pixels between neighbouring positions of the map. Finer than the window's jump where
            windows lie closer together than the network's stride.
        chains: what the length follows from.

    >>> Extent().after(AxisRecord.of_window(32), LocalOp(kernel=5), stride=8).length(64)
    60
    """

    spacing: int = 1
    chains: tuple[Chain, ...] = (((1, 0, 1),),)

    def length(self, size: int) -> int:
        """Positions of the map for an image of ``size`` pixels."""
        return min(reduce(_floor, chain, size) for chain in self.chains)

    def after(self, record: AxisRecord, op: LocalOp, stride: int) -> Extent:
        """The extent behind ``op``, whose input has this extent and ``record``, for windows every ``stride`` pixels."""
        scale, step = self.placed(record, op, stride)
        change = (op.pad_low + op.reach(record.n) - op.span) * scale - 1 + step
        return self._then((1, change, step), self.spacing * step)

    def placed(self, record: AxisRecord, op: LocalOp, stride: int) -> tuple[int, int]:
        """Factor of ``op``'s dilation and padding on the map, and its stride there.

        A strided op keeps the positions of every window: it steps to ``gcd(stride, jump)`` pixels, and
        what follows is dilated by the rest (à trous).
        """
        spacing = gcd(stride, record.jump * op.stride)
        return record.jump // self.spacing, spacing // self.spacing

    def finer(self, factor: int, add: int = 0) -> Extent:
        """The extent of a map with ``factor`` positions in the place of each, and ``add`` more.

        >>> Extent().after(AxisRecord.of_window(8), LocalOp(stride=2), stride=2).finer(2).length(9)
        10
        """
        return self._then((factor, add, 1), self.spacing // factor)

    def shorter(self, positions: int) -> Extent:
        """The extent without so many positions."""
        return self._then((1, -positions, 1), self.spacing)

    def windows_step(self, stride: int) -> int:
        """Positions of the map between neighbouring windows."""
        return stride // self.spacing

    def common(self, other: Extent) -> Extent:
        """The extent of the part that two maps of equal spacing have in common."""
        chains = {*self.chains, *other.chains}
        return Extent(self.spacing, tuple(sorted(chain for chain in chains if not _longer(chain, chains))))

    def _then(self, stage: Stage, spacing: int) -> Extent:
        return Extent(spacing, tuple(_extended(chain, stage) for chain in self.chains))


def _floor(length: int, stage: Stage) -> int:
    times, add, divisor = stage
    return (length * times + add) // divisor


def _extended(chain: Chain, stage: Stage) -> Chain:
    """The chain with one stage more, which is made one with the last where it can be."""
    *before, (times, add, divisor) = chain
    factor, more, step = stage
    if factor == 1:
        return (*before, (times, add + more * divisor, divisor * step))
    if divisor == 1:
        return (*before, (times * factor, add * factor + more, step))
    return (*chain, stage)


def _longer(chain: Chain, others: set[Chain]) -> bool:
    """Whether another chain never gives more: one that differs only in what is added last."""
    *before, (times, add, divisor) = chain
    return any(
        other[:-1] == tuple(before) and other[-1][::2] == (times, divisor) and other[-1][1] < add for other in others
    )
