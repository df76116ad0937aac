"""Whether a map equals the crops, and which layers are the reason if not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Reason(NamedTuple):
    """One layer, by the user's name for it, and why it keeps a result from being exact."""

    layer: str
    why: str


@dataclass(frozen=True)
class Verdict:
    """Proved from the records of the captured graph, never guessed from a comparison.

    >>> Verdict(exact=False, reasons=(Reason("features.0", "zero padding (1, 1)"),)).summary()
    'differs from the crops: features.0 (zero padding (1, 1))'
    """

    exact: bool
    reasons: tuple[Reason, ...] = ()

    def summary(self, limit: int = 3) -> str:
        """One line for people; at most ``limit`` layers are named."""
        if self.exact:
            return "equals the crops at every window"
        named = ", ".join(f"{layer} ({why})" for layer, why in self.reasons[:limit])
        more = len(self.reasons) - limit
        return f"differs from the crops: {named}" + (f" and {more} more" if more > 0 else "")

    def __str__(self) -> str:
        return self.summary()
