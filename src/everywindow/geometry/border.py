"""Padding with copies of the window's own positions, along one axis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from everywindow.geometry.axis import LocalOp


@dataclass(frozen=True)
class Border:
    """Reflected, repeated or wrapped positions before the first and after the last.

    Attributes:
        mode: ``"reflect"``, ``"replicate"`` or ``"circular"``.
        low: positions added before the first (negative: removed).
        high: positions added after the last (negative: removed).

    >>> Border("reflect", 2, 1).sources(4).tolist(), Border("circular", 2, 1).sources(4).tolist()
    ([2, 1, 0, 1, 2, 3, 2], [2, 3, 0, 1, 2, 3, 0])
    """

    mode: str
    low: int
    high: int

    @property
    def local(self) -> LocalOp:
        """The constant padding of the same size."""
        return LocalOp(pad_low=self.low, pad_high=self.high)

    def fits(self, n: int) -> bool:
        """Whether some of ``n`` positions stay, and none that is added lies farther out than there are to copy."""
        kept, most = n + min(self.low, 0) + min(self.high, 0), max(self.low, self.high)
        return kept > 0 and most <= {"reflect": n - 1, "replicate": most, "circular": kept}[self.mode]

    def sources(self, n: int) -> NDArray[np.int64]:
        """For each position of the output the one of ``n`` that it is a copy of."""
        at = np.arange(-self.low, n + self.high)
        if self.mode == "reflect":
            return n - 1 - abs(n - 1 - abs(at))
        if self.mode == "replicate":
            return np.clip(at, 0, n - 1)
        first = max(0, -self.low)  # what is removed goes first
        return (at - first) % (n - first + min(0, self.high)) + first
