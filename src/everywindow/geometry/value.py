"""The record beside each value of a captured graph."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import lcm

from everywindow.geometry.axis import AxisRecord
from everywindow.geometry.halo import Halo
from everywindow.geometry.layout import Atom, Batch, Layout, Space, space_axes, without_space
from everywindow.geometry.verdict import Reason


@dataclass(frozen=True)
class Spent:
    """What is left to tell of an axis once it is gone.

    Attributes:
        low: first pixel, relative to the window's start, that the value sees (negative: padding).
        high: pixel after the last one that it sees.
        network_stride: product of the strides of the layers up to there, in pixels.
        halo: what a tile must hold for it.
    """

    low: int
    high: int
    network_stride: int
    halo: Halo

    @classmethod
    def of(cls, record: AxisRecord) -> Spent:
        """What a record leaves when its axis goes."""
        return cls(*record.seen_by_window(), record.network_stride, record.halo)

    def joined(self, other: Spent) -> Spent:
        """What two values together saw."""
        stride = lcm(self.network_stride, other.network_stride)
        halo = self.halo.joined(other.halo)
        return Spent(min(self.low, other.low), max(self.high, other.high), stride, halo)


@dataclass(frozen=True)
class Value:
    """What the windows share of one value.

    Attributes:
        layout: what each dimension stands for.
        axes: per spatial axis of the image its record, or None once the axis is gone: reduced over the
            window (a mean, a fully connected layer), so that each window has one value of its own.
        reasons: layers that made some position depend on where the window ends.
        inexact: whether such a position has gone into a value that all else depends on.
        unshared: the first layer behind which windows share nothing and no conversion exists, and why.
        unproved: a layer for which nothing is known about how it treats the items of the batch.
        spent: per spatial axis, what is left to tell of it once it is gone.
    """

    layout: Layout
    axes: tuple[AxisRecord | None, ...]
    reasons: tuple[Reason, ...] = ()
    inexact: bool = False
    unshared: Reason | None = None
    unproved: Reason | None = None
    spent: tuple[Spent | None, ...] = ()

    def axis(self, index: int) -> AxisRecord:
        """The record of an axis that is still there."""
        record = self.axes[index]
        if record is None:
            raise LookupError(f"axis {index} has been reduced over the window")
        return record

    @property
    def mapped(self) -> tuple[int, ...]:
        """The axes that are still there."""
        return tuple(index for index, record in enumerate(self.axes) if record is not None)

    @property
    def exact(self) -> bool:
        """Whether every position equals the crops'."""
        return not self.inexact and all(record is None or record.exact for record in self.axes)

    def sizes(self, batch: int) -> dict[Atom, int]:
        """The length of the batch and of the spatial axes."""
        lengths: dict[Atom, int] = {Space(axis): self.axis(axis).n for axis in self.mapped}
        return {Batch(): batch} | lengths

    def with_axis(self, index: int, record: AxisRecord | None) -> Value:
        """The value with another record for one axis."""
        return replace(self, axes=(*self.axes[:index], record, *self.axes[index + 1 :]))

    def because(self, *reasons: Reason) -> Value:
        """The value with reasons added; none are kept where it is exact."""
        kept = () if self.exact else tuple(dict.fromkeys(self.reasons + reasons))
        return replace(self, reasons=kept)

    def reduced(self, axes: tuple[int, ...], layout: Layout) -> Value:
        """The value once ``axes`` are reduced over the window; what depended on the window's end stays inexact."""
        inexact = self.inexact or any(not self.axis(axis).exact for axis in axes)
        left = tuple(None if index in axes else record for index, record in enumerate(self.axes))
        return replace(self, layout=layout, axes=left, inexact=inexact, spent=self._spent(axes))

    def _spent(self, axes: tuple[int, ...]) -> tuple[Spent | None, ...]:
        before = self.spent or (None,) * len(self.axes)
        return tuple(Spent.of(self.axis(index)) if index in axes else spent for index, spent in enumerate(before))

    def history(self) -> tuple[Spent | None, ...]:
        """Per spatial axis what the value saw of it, gone or not; None for a value that saw nothing."""
        return self._spent(self.mapped)

    def gone(self) -> Value:
        """The value with positions as plain features of each window."""
        lengths = {axis: self.axis(axis).n for axis in self.mapped}
        layout = without_space(self.layout, lengths)
        return replace(self, layout=layout, axes=(None,) * len(self.axes), spent=self.history())

    def gathered(self) -> Value:
        """The value once every window has its own tensor; what depended on the window's end stays inexact."""
        return self.reduced(self.mapped, self.gone().layout)

    def ended(self, reason: Reason) -> Value:
        """The value where sharing ends."""
        return replace(self, unshared=self.unshared or reason)

    def flat_dim(self) -> int | None:
        """The dimension that holds every spatial axis that is still there; None where there is no such one."""
        holders = [index for index, dim in enumerate(self.layout) if space_axes((dim,))]
        return holders[0] if len(holders) == 1 else None


def joined_spent(a: Value, b: Value) -> tuple[Spent | None, ...]:
    """What two values together leave to tell of the axes that are gone."""
    pairs = zip(a.spent or (None,) * len(a.axes), b.spent or (None,) * len(b.axes), strict=True)
    return tuple(one.joined(other) if one and other else one or other for one, other in pairs)
