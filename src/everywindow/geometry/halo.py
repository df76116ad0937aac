"""What a tile of the image must hold beside a window, so that one pass over the tile gives the whole image's score."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Halo:
    """The part of the image along one axis that a window's value may depend on in one pass.

    Wider than what the value sees, where positions are cut off and padded again: what stands in the padding's place
    is on the map only if the image goes on so far.

    Attributes:
        low: first pixel, relative to the window's start; 0 or less.
        high: pixel after the last one; the window's end or more.
        wraps: whether positions at one end of the map are copies of those at the other.
    """

    low: int = 0
    high: int = 0
    wraps: bool = False

    def padded(self, low: int, high: int) -> Halo:
        """The halo behind a layer that looks so many pixels past either end of its input; negative numbers count as 0.

        >>> Halo(0, 8).padded(1, -2).padded(2, 2)
        Halo(low=-3, high=10, wraps=False)
        """
        return replace(self, low=self.low - max(0, low), high=self.high + max(0, high))

    def joined(self, other: Halo) -> Halo:
        """The halo of a value made of two."""
        return Halo(min(self.low, other.low), max(self.high, other.high), self.wraps or other.wraps)
