"""Which windows are worth scoring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from everywindow.geometry import Place, Span
from everywindow.io import Source


@dataclass(frozen=True)
class Wanted:
    """All of them."""

    def wanted(self, windows: tuple[Span, ...]) -> np.ndarray:
        """Which windows of a rectangle."""
        return np.ones(tuple(stop - first for first, stop in windows), bool)

    def describe(self) -> dict[str, Any]:
        """Plain data."""
        return {"kind": None}


def wanted_windows(kind: str | None, source: Source, place: Place, counts: tuple[int, ...]) -> Wanted:
    """All."""
    return Wanted()
