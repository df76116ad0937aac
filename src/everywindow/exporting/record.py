"""What is asked of an export, and what it says it wrote."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

Coordinates = Literal["pixels", "world"]
COORDINATES: tuple[str, ...] = get_args(Coordinates)
MOST = 10_000
"""Regions or boxes that a file holds, if nothing else is asked for."""


class Wanted(NamedTuple):
    """What is asked for.

    Attributes:
        klass: name or index of the class; None for the one that :meth:`ScoreMap.shown_class` gives.
        threshold: least probability.
        most: regions or boxes at most.
        coordinates: of outlines.
        probabilities: whether rasters hold probabilities in the place of scores.
    """

    klass: int | str | None = None
    threshold: float = 0.5
    most: int = MOST
    coordinates: str = "pixels"
    probabilities: bool = False


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        path: the file.
        format: its kind, for people.
        of: what was counted: ``"bands"``, ``"channels"``, ``"regions"``, ``"boxes"`` or ``"windows"``.
        count: how many of them the file holds.
        left_out: how many more there were.

    >>> print(Exported("tumour.geojson", "GeoJSON", "regions", 10_000, 204))
    tumour.geojson: GeoJSON, 10,000 regions; 204 smaller or weaker ones left out
    """

    path: str
    format: str
    of: str
    count: int
    left_out: int = 0

    def __str__(self) -> str:
        rest = f"; {self.left_out:,} smaller or weaker ones left out" if self.left_out else ""
        return f"{self.path}: {self.format}, {self.count:,} {self.of if self.count != 1 else self.of[:-1]}{rest}"
