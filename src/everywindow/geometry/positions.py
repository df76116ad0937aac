"""Where the values of a row of windows lie along one axis, when each is computed once for all that share it.

Along an axis, a value of a window has a head, a body and a tail (:class:`AxisRecord`). Head and tail belong to the
window alone; bodies of windows whose offsets agree modulo the period are pieces of one long run. A row of windows
needs the runs, then all heads, then all tails:

    [ run 0 | run 1 | ... | head of window 0 | head of window 1 | ... | tail of window 0 | ... ]

A value over several axes is a tensor over the product of such rows: every block of DESIGN §3 is a rectangle of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import lcm

import numpy as np
from numpy.typing import NDArray

from everywindow.geometry.axis import AxisRecord, LocalOp, Stuffing, Upsampling
from everywindow.geometry.border import Border

Indices = NDArray[np.int64]

FILL = -1
"""In a table: no position; the value that a padding fills in."""


class Misaligned(Exception):
    """Windows that share a position of an output read different positions of its input."""


@dataclass(frozen=True)
class Positions:
    """The positions that a row of windows needs of one value along one axis.

    Attributes:
        windows: number of windows.
        n: positions of one window.
        head, tail: leading and trailing positions that each window has to itself.
        cycle: windows ``i`` and ``i + cycle`` share a run.
        step: positions between the bodies of such two.

    >>> row = Positions.of(AxisRecord(n=8, head=1, tail=1), windows=3, stride=2)
    >>> row.length, row.table[1].tolist()  # a run of 10, three heads, three tails
    (16, [11, 2, 3, 4, 5, 6, 7, 14])
    """

    windows: int
    n: int
    head: int
    tail: int
    cycle: int
    step: int

    @classmethod
    def of(cls, record: AxisRecord, windows: int, stride: int) -> Positions:
        """The positions for windows every ``stride`` pixels; all are the window's own where nothing is shared."""
        together = lcm(record.period, stride)
        cycle, step = together // stride, together // record.jump
        body = record.n - record.head - record.tail
        if windows <= cycle or step > body:
            return cls(windows, record.n, record.n, 0, windows, 0)
        return cls(windows, record.n, record.head, record.tail, cycle, step)

    @property
    def body(self) -> int:
        """Positions of one window that it shares."""
        return self.n - self.head - self.tail

    @property
    def runs(self) -> int:
        """Number of runs of bodies."""
        return self.cycle if self.body else 0

    @property
    def run(self) -> int:
        """Length of a run."""
        return (-(-self.windows // self.cycle) - 1) * self.step + self.body if self.body else 0

    @property
    def length(self) -> int:
        """Positions in all."""
        return self.runs * self.run + self.windows * (self.head + self.tail)

    @cached_property
    def table(self) -> Indices:
        """Where each window's positions lie in the row: ``[windows, n]``."""
        window = np.arange(self.windows, dtype=np.int64)[:, None]
        after_runs = self.runs * self.run
        parts = [
            after_runs + window * self.head + np.arange(self.head),
            (window % self.cycle) * self.run + (window // self.cycle) * self.step + np.arange(self.body),
            after_runs + self.windows * self.head + window * self.tail + np.arange(self.tail),
        ]
        return np.concatenate(parts, axis=1)

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The rows of neighbouring positions: runs, heads and tails; heads and tails as one where they are alike."""
        start = self.runs * self.run
        found = [Segment(0, self.runs, self.run)]
        if self.head == self.tail:
            found.append(Segment(start, 2 * self.windows, self.head))
        else:
            found.append(Segment(start, self.windows, self.head))
            found.append(Segment(start + self.windows * self.head, self.windows, self.tail))
        return tuple(segment for segment in found if segment.count and segment.length)

    def owners(self) -> tuple[Indices, Indices]:
        """For each position of the row a window that has it, and which of the window's positions it is.

        Positions that no window needs, at the end of the shorter runs, have -1.
        """
        window = np.full(self.length, FILL, dtype=np.int64)
        inside = np.full(self.length, FILL, dtype=np.int64)
        for index in reversed(range(self.windows)):
            window[self.table[index]] = index
            inside[self.table[index]] = np.arange(self.n)
        return window, inside


@dataclass(frozen=True)
class Segment:
    """``count`` pieces of ``length`` neighbouring positions each, the first at ``first``."""

    first: int
    count: int
    length: int

    @property
    def size(self) -> int:
        """Positions in all."""
        return self.count * self.length


@dataclass(frozen=True, eq=False)
class Slabs:
    """What an op reads along one axis to make the pieces of a segment.

    Attributes:
        segment: the pieces that are made.
        index: per piece the input's positions, :data:`FILL` where a padding fills in: ``[count, slab]``.
    """

    segment: Segment
    index: Indices

    @property
    def span(self) -> tuple[int, int] | None:
        """First position and one after the last where the only piece reads neighbours; None otherwise."""
        row = self.index[0]
        if len(self.index) == 1 and row[0] >= 0 and (np.diff(row) == 1).all():
            return int(row[0]), int(row[-1]) + 1
        return None

    def fills(self) -> list[tuple[slice, slice]]:
        """The pieces and positions to fill, as few rectangles."""
        found: list[tuple[slice, slice]] = []
        filled = self.index == FILL
        for first, stop in _alike(filled):
            columns = np.flatnonzero(filled[first])
            for group in np.split(columns, np.flatnonzero(np.diff(columns) > 1) + 1) if len(columns) else []:
                found.append((slice(first, stop), slice(int(group[0]), int(group[-1]) + 1)))
        return found


def _alike(rows: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Ranges of neighbouring rows that are equal."""
    changes = [0, *(np.flatnonzero((rows[1:] != rows[:-1]).any(axis=1)) + 1).tolist(), len(rows)]
    return [(a, b) for a, b in pairwise(changes) if a < b]


def slabs(op: LocalOp, source: Positions, target: Positions) -> tuple[Slabs, ...]:
    """What a local op reads, for every segment of its output.

    Raises:
        Misaligned: windows share positions of the output, but not those that these are made of.
    """
    window, inside = target.owners()
    return tuple(_slab(op, source, segment, window, inside) for segment in target.segments)


def _slab(op: LocalOp, source: Positions, segment: Segment, window: Indices, inside: Indices) -> Slabs:
    shape = (segment.count, segment.length)
    here = slice(segment.first, segment.first + segment.size)
    window, inside = window[here].reshape(shape), inside[here].reshape(shape)
    reach = (segment.length - 1) * op.stride + 1
    unread = FILL - 1
    index = np.full((segment.count, reach + op.span), unread, dtype=np.int64)
    for tap in range(op.kernel):
        at = inside * op.stride - op.pad_low + tap * op.dilation
        taken = np.where((at >= 0) & (at < source.n), source.table[window, np.clip(at, 0, source.n - 1)], FILL)
        part = index[:, tap * op.dilation : tap * op.dilation + reach : op.stride]
        if ((part != unread) & (part != taken) & (window >= 0)).any():
            raise Misaligned
        part[:] = np.where(window >= 0, taken, part)
    index[index == unread] = 0
    return Slabs(segment, index)


def taken(op: LocalOp | Upsampling | Stuffing | Border, source: Positions, target: Positions) -> Indices:
    """For each position of the output the one that it is a copy of, :data:`FILL` for padding; ``op`` has one tap."""
    window, inside = target.owners()
    at = _copied(op, source.n, inside)
    known = (at >= 0) & (at < source.n)
    found = np.where(known, source.table[window, np.clip(at, 0, source.n - 1)], FILL)
    return np.where(window >= 0, found, 0)


def _copied(op: LocalOp | Upsampling | Stuffing | Border, n: int, inside: Indices) -> Indices:
    """For positions of a window's output those of its ``n`` that they are copies of; outside of these for padding."""
    if isinstance(op, Upsampling):
        return inside // op.factor
    if isinstance(op, Stuffing):
        return np.where((inside + 1) % op.step == 0, (inside + 1) // op.step - 1, FILL)
    if isinstance(op, Border):
        return op.sources(n)[inside]
    return inside * op.stride - op.pad_low
