"""What is to be measured, checked before anything runs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from everywindow.engines import Prepared
from everywindow.errors import InputError
from everywindow.graph import Output
from everywindow.models import Classifier

SHIFTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
ANGLES = (5.0, 10.0, 15.0, 30.0, 45.0, 60.0, 90.0, 120.0, 150.0, 180.0)
ZOOMS = (0.7, 0.8, 0.9, 1.1, 1.25, 1.5, 2.0)

LARGEST_SHIFT = 4
"""Without ``shifts`` the content moves by at most this part of the window."""

ZOOM_RANGE = (0.1, 10.0)


@dataclass(frozen=True)
class Asked:
    """What is to be measured.

    Attributes:
        known, prepared: the network.
        shifts: pixels to move the content by.
        angles: degrees to turn it by, in both directions.
        zooms: factors to enlarge it by.
        at: where the window's middle lies, in pixels of the images as they are given; None for their middles.
        output: which of several outputs.
        seed: of the noise, where there are no images.
    """

    known: Classifier
    prepared: Prepared
    shifts: tuple[int, ...]
    angles: tuple[float, ...]
    zooms: tuple[float, ...]
    at: tuple[float, ...] | None = None
    output: Output = None
    seed: int = 0

    @property
    def window(self) -> tuple[int, ...]:
        """In pixels per axis."""
        return self.known.window


def asked_of(
    known: Classifier,
    prepared: Prepared,
    shifts: Sequence[int] | None = None,
    angles: Sequence[float] | None = None,
    zooms: Sequence[float] | None = None,
    at: Sequence[float] | None = None,
    output: Output = None,
    seed: int = 0,
) -> Asked:
    """The request, with what is not given as usual.

    Raises:
        InputError: a shift, angle, zoom or seed that cannot be used.
    """
    most = max(1, min(known.window) // LARGEST_SHIFT)
    usual = [shift for shift in SHIFTS if shift <= most]
    moved = _numbers("shifts", usual if shifts is None else shifts, "whole numbers of pixels such as (1, 2, 4)")
    if any(shift < 1 or shift != int(shift) for shift in moved):
        raise InputError("shifts", f"{list(moved)} are not whole pixels from 1", "give such as (1, 2, 4)")
    turned = _numbers("angles", ANGLES if angles is None else angles, "degrees such as (10, 45, 90)")
    if any(not 0 < angle <= 180 for angle in turned):
        raise InputError("angles", f"{list(turned)} are not all above 0 and at most 180 degrees", "both ways are tried")
    sized = _numbers("zooms", ZOOMS if zooms is None else zooms, "factors such as (0.8, 1.25)")
    if any(not ZOOM_RANGE[0] <= zoom <= ZOOM_RANGE[1] for zoom in sized):
        raise InputError("zooms", f"{list(sized)} are not all from 0.1 to 10", "give factors such as (0.8, 1.25)")
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise InputError("seed", f"{seed!r} is not a whole number", "give one, such as 0")
    whole = tuple(int(shift) for shift in moved)
    return Asked(
        known, prepared, whole, turned if len(known.window) > 1 else (), sized, _place(at, known), output, seed
    )


def _place(at: Any, known: Classifier) -> tuple[float, ...] | None:
    if at is None:
        return None
    try:
        found = tuple(float(one) for one in (at if isinstance(at, Iterable) else (at,)))
    except (TypeError, ValueError):
        found = ()
    if isinstance(at, str) or len(found) != len(known.window) or not all(map(math.isfinite, found)):
        raise InputError("at", f"{at!r:.60} is no place", f"give {len(known.window)} numbers, a pixel per axis")
    return found


def _numbers(name: str, given: Any, such: str) -> tuple[float, ...]:
    """Numbers in rising order, each once; none where there are none."""
    try:
        found = {float(one) for one in (given if isinstance(given, Iterable) else (given,))}
    except (TypeError, ValueError):
        found = {math.nan}
    if isinstance(given, str) or not all(map(math.isfinite, found)):
        raise InputError(name, f"{given!r:.60} is no list of numbers", f"give {such}")
    return tuple(sorted(found))
