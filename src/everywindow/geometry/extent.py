"""How the length of an image-wide map follows from the image's size."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

from everywindow.geometry.axis import AxisRecord, LocalOp


@dataclass(frozen=True)
class Extent:
    """Length of an image-wide map along one axis: ``(size + add) // spacing`` positions.

    Floors of floors stay of this form, so the length of every map of a converted network is known
    for every image size. Position 0 of every map belongs to the window at offset 0.

    Attributes:
        add: pixels.
        spacing: pixels between neighbouring positions of the map. Finer than the window's jump where
            windows lie closer together than the network's stride.

    >>> Extent().after(AxisRecord.of_window(32), LocalOp(kernel=5), stride=8).length(64)
    60
    """

    add: int = 0
    spacing: int = 1

    def length(self, size: int) -> int:
        """Positions of the map for an image of ``size`` pixels."""
        return (size + self.add) // self.spacing

    def after(self, record: AxisRecord, op: LocalOp, stride: int) -> Extent:
        """The extent behind ``op``, whose input has this extent and ``record``, for windows every ``stride`` pixels."""
        scale, step = self.placed(record, op, stride)
        change = (op.pad_low + op.reach(record.n) - op.span) * scale - 1 + step
        return Extent(self.add + change * self.spacing, self.spacing * step)

    def placed(self, record: AxisRecord, op: LocalOp, stride: int) -> tuple[int, int]:
        """Factor of ``op``'s dilation and padding on the map, and its stride there.

        A strided op keeps the positions of every window: it steps to ``gcd(stride, jump)`` pixels, and
        what follows is dilated by the rest (à trous).
        """
        spacing = gcd(stride, record.jump * op.stride)
        return record.jump // self.spacing, spacing // self.spacing

    def windows_step(self, stride: int) -> int:
        """Positions of the map between neighbouring windows."""
        return stride // self.spacing

    def common(self, other: Extent) -> Extent:
        """The extent of the part that two maps of equal spacing have in common."""
        return Extent(min(self.add, other.add), self.spacing)
