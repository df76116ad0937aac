"""The record of one spatial axis of a value inside one window, and how a local op or an upsampling changes it.

Positions are counted inside the window (``0 .. n - 1``). All numbers are integers; pixels are input pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import gcd, lcm

from everywindow.geometry.halo import Halo


@dataclass(frozen=True)
class LocalOp:
    """What a convolution, a pooling, a slice or a padding does along one axis.

    Attributes:
        kernel: number of taps.
        dilation: positions between taps.
        stride: positions between neighbouring outputs.
        pad_low: positions added before the first (negative: removed).
        pad_high: positions added after the last (negative: removed).
        ceil_mode: whether a last output that hangs over the end is kept.
        coarsens: whether the stride counts as the network's (not for adaptive pooling, whose bins follow the window).

    >>> LocalOp(kernel=3, stride=2).output_length(6)
    2
    >>> LocalOp(kernel=1, stride=2, ceil_mode=True).output_length(4)  # a third would start past the end
    2
    """

    kernel: int = 1
    dilation: int = 1
    stride: int = 1
    pad_low: int = 0
    pad_high: int = 0
    ceil_mode: bool = False
    coarsens: bool = True

    @property
    def span(self) -> int:
        """Positions from the first tap to the last."""
        return self.dilation * (self.kernel - 1)

    def output_length(self, n: int) -> int:
        """Number of outputs for ``n`` inputs; 0 or less where the kernel does not fit."""
        room = n + self.pad_low + self.pad_high - self.span - 1
        if not self.ceil_mode:
            return room // self.stride + 1
        length = -(-room // self.stride) + 1
        starts_outside = (length - 1) * self.stride >= n + self.pad_low
        return length - 1 if starts_outside else length

    def covers(self, n: int) -> bool:
        """Whether the kernel takes in all of ``n`` inputs: then its stride moves nothing."""
        return self.span + 1 == n and self.pad_low == self.pad_high == 0 and self.dilation == 1

    def reach(self, n: int) -> int:
        """Positions after the last input that some output touches: the padding that the op needs there.

        Larger than ``pad_high`` only where ceil mode lets the last output hang over.
        """
        last_start = (self.output_length(n) - 1) * self.stride - self.pad_low
        return max(self.pad_high, last_start + self.span + 1 - n)


@dataclass(frozen=True)
class Upsampling:
    """Every position ``factor`` times: position ``u`` is a copy of position ``u // factor``."""

    factor: int


@dataclass(frozen=True)
class Stuffing:
    """Zeros between neighbouring positions, as many before the first and after the last: what a transposed convolution
    of stride ``step`` convolves. Position ``(u + 1) * step - 1`` is position ``u``."""

    step: int


@dataclass(frozen=True)
class AxisRecord:
    """One spatial axis of a value, as one window sees it.

    Attributes:
        n: length inside the window.
        jump: pixels between neighbouring positions.
        period: windows share a body only where their offsets are equal modulo it, in pixels.
        head: leading positions that depend on where the window starts (they see padding).
        tail: trailing positions that depend on where the window ends.
        network_stride: product of the strides of the layers so far, in pixels; that of a pooling over the
            whole map does not count. Upsampling does not undo it, for windows must still lie so far apart to be alike.
        seen_low: position ``u`` sees no pixel before ``seen_low + u * jump``, relative to the window's start
            (negative: padding). A copy that a padding puts at the border counts as the position that it stands for.
        seen_high: position ``u`` sees no pixel from ``seen_high + u * jump`` on.
        coarseness: the part of the jump that counts for the network's stride.
        halo: what a tile must hold for the window's positions.

    >>> AxisRecord.of_window(32).after(LocalOp(kernel=3, pad_low=1, pad_high=1)).head
    1
    """

    n: int
    jump: int = 1
    period: int = 1
    head: int = 0
    tail: int = 0
    network_stride: int = 1
    seen_low: int = 0
    seen_high: int = 1
    coarseness: int = 1
    halo: Halo = field(default=Halo(), repr=False)

    @classmethod
    def of_window(cls, window: int) -> AxisRecord:
        """The record of the image itself, for a window of ``window`` pixels."""
        return cls(n=window, halo=Halo(0, window))

    @property
    def shared(self) -> bool:
        """Whether some position is the same for every window that covers it."""
        return self.head + self.tail < self.n

    @property
    def exact(self) -> bool:
        """Whether every position is the same for every window that covers it."""
        return self.head == 0 and self.tail == 0

    def after(self, op: LocalOp) -> AxisRecord:
        """The record behind a local op (DESIGN §3); ``n`` is 0 or less where the kernel does not fit."""
        n = op.output_length(self.n)
        first_clean = _ceil_div(self.head + op.pad_low, op.stride)
        last_clean = (self.n - 1 - self.tail + op.pad_low - op.span) // op.stride
        jump = self.jump * op.stride
        coarseness = self.coarseness * (1 if op.covers(self.n) or not op.coarsens else op.stride)
        return replace(
            self,
            n=n,
            jump=jump,
            period=lcm(self.period, jump),
            head=_clamp(first_clean, 0, n),
            tail=n - _clamp(last_clean + 1, 0, n),
            network_stride=lcm(self.network_stride, coarseness),
            seen_low=self.seen_low - op.pad_low * self.jump,
            seen_high=self.seen_high + (op.span - op.pad_low) * self.jump,
            coarseness=coarseness,
            halo=self.halo.padded(op.pad_low * self.jump, op.reach(self.n) * self.jump),
        )

    def upsampled(self, op: Upsampling) -> AxisRecord | None:
        """The record behind an upsampling; None where positions would lie closer than pixels.

        Windows share no more than before: the period stays.

        >>> AxisRecord(n=8, jump=2, period=2, head=1).upsampled(Upsampling(2))
        AxisRecord(n=16, jump=1, period=2, head=2, tail=0, network_stride=2, seen_low=-1, seen_high=1, coarseness=1)
        """
        jump, between = divmod(self.jump, op.factor)
        if between:
            return None
        return replace(
            self,
            n=self.n * op.factor,
            jump=jump,
            head=self.head * op.factor,
            tail=self.tail * op.factor,
            # That of a pooling over the whole map counts after all: what it made lies on positions again.
            network_stride=lcm(self.network_stride, self.jump),
            seen_low=self.seen_low - (self.jump - jump),  # the last of the copies begins that much before its own place
            coarseness=self.coarseness // gcd(self.coarseness, op.factor),
            # Some of the copies of the position beside the window's last may stand in a padding's place.
            halo=self.halo.padded(self.jump - jump, self.jump - jump),
        )

    def stuffed(self, op: Stuffing) -> AxisRecord | None:
        """The record with zeros between positions; None where these would lie closer than pixels.

        >>> AxisRecord(n=8, jump=2, period=2, head=1).stuffed(Stuffing(2)).n
        17
        """
        finer = self.upsampled(Upsampling(op.step))
        if finer is None:
            return None
        before = (op.step - 1) * finer.jump
        return replace(
            finer,
            n=finer.n + op.step - 1,
            seen_low=self.seen_low - before,
            seen_high=self.seen_high - before,
        )

    def varied(self, changes: Sequence[int]) -> AxisRecord:
        """The record where a constant went in whose slices at ``changes`` differ from the ones before.

        The longest run of equal slices in the body is the new body; a single slice is none.

        >>> record = AxisRecord(n=9, head=1).varied([2, 7])
        >>> record.head, record.tail
        (2, 2)
        """
        low, high = self.head, self.n - self.tail
        edges = [low, *(at for at in changes if low < at < high), high]
        first, stop = max(pairwise(edges), key=lambda run: run[1] - run[0])
        if len(edges) > 2 and stop - first < 2:
            return replace(self, head=self.n, tail=0)
        return replace(self, head=first, tail=self.n - stop)

    def with_context(self, low: int, high: int, halo: Halo) -> AxisRecord:
        """The record where a value goes in that was made of the whole window around each position.

        Args:
            low, high: what that value sees of the window whose positions it was made of, in pixels.
            halo: what a tile must hold for that value.
        """
        reach = (self.n - 1) * self.jump
        before, after = -(-reach // 2), -(-reach // 2) + self.jump
        return replace(
            self,
            seen_low=min(self.seen_low, low - before),
            seen_high=max(self.seen_high, high - reach + after),
            halo=self.halo.joined(halo.padded(before, after)),
        )

    def wrapped(self) -> AxisRecord:
        """The record where positions at one end of the map are copies of those at the other."""
        return replace(self, halo=replace(self.halo, wraps=True))

    def joined(self, other: AxisRecord) -> AxisRecord | None:
        """The record of a value made of two with the same positions; None where the positions differ."""
        if (self.n, self.jump) != (other.n, other.jump):
            return None
        return replace(
            self,
            period=lcm(self.period, other.period),
            head=max(self.head, other.head),
            tail=max(self.tail, other.tail),
            network_stride=lcm(self.network_stride, other.network_stride),
            seen_low=min(self.seen_low, other.seen_low),
            seen_high=max(self.seen_high, other.seen_high),
            coarseness=lcm(self.coarseness, other.coarseness),
            halo=self.halo.joined(other.halo),
        )

    def seen_by_window(self) -> tuple[int, int]:
        """First pixel and the one after the last that all positions of the window together see."""
        return self.seen_low, self.seen_high + (self.n - 1) * self.jump


def _ceil_div(a: int, b: int) -> int:
    return -(-a // b)


def _clamp(value: int, low: int, high: int) -> int:
    return max(low, min(value, high))
