"""Which windows are worth scoring: those with data, and with something that is wanted, in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from everywindow.geometry import Place, Span
from everywindow.io import Region
from everywindow.run.coarse import CoarseMask, summed, sums
from everywindow.run.maskfile import mask_from_file
from everywindow.run.tissue import tissue_mask

AUTO, NONE = "auto", "none"


@dataclass(frozen=True, eq=False)
class Wanted:
    """Which windows are scored.

    Attributes:
        region: the image as it is scanned.
        place: where the windows lie.
        mask: which parts of the image are wanted; None for all.
        validity: whether windows without any pixel that holds data are left out.
    """

    region: Region
    place: Place
    mask: CoarseMask | None
    validity: bool

    def wanted(self, windows: tuple[Span, ...]) -> np.ndarray:
        """Which windows of a rectangle, ``[*counts]``: those that touch what is wanted, and hold data.

        Raises:
            InputError: the image cannot be read there.
        """
        found = np.ones(tuple(stop - first for first, stop in windows), bool)
        if self.mask is not None:
            found &= self._touching(self.mask, windows)
        if self.validity and found.any():
            found &= self._holding_data(windows)
        return found

    def describe(self) -> dict[str, Any]:
        """What tells these windows from others, as plain data."""
        return {"validity": self.validity, "mask": None if self.mask is None else self.mask.description}

    def _touching(self, mask: CoarseMask, windows: tuple[Span, ...]) -> np.ndarray:
        """Windows whose box in the level-0 image holds a part of the mask."""
        spans = []
        for axis, (first, stop) in enumerate(windows):
            boxes = [self.place.edges(axis, index) for index in range(first, stop)]
            spans.append([mask.cells(axis, start, end) for start, end in boxes])
        return sums(mask.table, spans) > 0

    def _holding_data(self, windows: tuple[Span, ...]) -> np.ndarray:
        """Windows with a pixel that holds data."""
        place = self.place
        starts = [first * step for (first, _), step in zip(windows, place.stride, strict=True)]
        stops = [
            (stop - 1) * step + size for (_, stop), step, size in zip(windows, place.stride, place.window, strict=True)
        ]
        valid = self.region.valid(tuple(zip(starts, stops, strict=True)))
        if valid is None:
            return np.ones(tuple(stop - first for first, stop in windows), bool)
        spans = [
            [((n - first) * step, (n - first) * step + size) for n in range(first, stop)]
            for (first, stop), step, size in zip(windows, place.stride, place.window, strict=True)
        ]
        return sums(summed(valid), spans) > 0


def wanted_windows(kind: str | None, region: Region, place: Place) -> Wanted:
    """Which windows are worth scoring.

    Args:
        kind: None for those that hold data, ``"auto"`` for those with tissue or other matter too, ``"none"`` for all,
            or a file with a mask.
        region: the image as it is scanned.
        place: where its windows lie.

    Raises:
        InputError: the mask cannot be used, or nothing is wanted.
        DependencyError: ``"auto"``, and scikit-image is not installed.
    """
    if kind == NONE:
        return Wanted(region, place, None, validity=False)
    if kind is None:
        return Wanted(region, place, None, validity=True)
    source = region.source
    mask = tissue_mask(source) if kind == AUTO else mask_from_file(kind, source)
    return Wanted(region, place, mask, validity=True)
