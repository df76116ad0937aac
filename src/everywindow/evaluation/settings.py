"""What an evaluation is asked to do, checked before anything runs."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from everywindow.errors import InputError
from everywindow.evaluation.protocols import PROTOCOLS, REDUCTIONS, USUAL, Method, checked_names, methods
from everywindow.models import Classifier

SMALL = ("resize", "pad", "skip")


class Settings(NamedTuple):
    """All that decides an evaluation's numbers, beside the network and the images.

    Attributes:
        protocols, reductions, scales: what the rows of the table are made of.
        stride: pixels between windows per axis; None for the network's.
        resize: pixels of the shorter side, to which each image is resized first; None to leave it.
        small: what becomes of an image that is smaller than the window: all protocols then see the same pixels.
        overlaps: intersections over union from which a box counts as found.
        seed: of the bootstrap.
        asked: whether the protocols were asked for by name: then one that cannot run is an error.
    """

    protocols: tuple[str, ...] = USUAL
    reductions: tuple[str, ...] = REDUCTIONS
    scales: tuple[float, ...] = (1.0,)
    stride: tuple[int, ...] | None = None
    resize: int | None = None
    small: str = "resize"
    overlaps: tuple[float, ...] = (0.3, 0.5)
    seed: int = 0
    asked: bool = False

    @property
    def methods(self) -> tuple[Method, ...]:
        """The rows of the table."""
        return methods(self.protocols, self.reductions, self.scales)

    def without(self, protocol: str) -> Settings:
        """The same without a protocol."""
        return self._replace(protocols=tuple(name for name in self.protocols if name != protocol))


def checked_settings(
    protocols: Sequence[str] | None,
    reductions: Sequence[str],
    scales: Sequence[float],
    stride: tuple[int, ...] | None,
    resize: int | None,
    small: str,
    overlaps: Sequence[float],
    seed: int,
) -> Settings:
    """The settings as they were given.

    Raises:
        InputError: one that cannot be used.
    """
    names = USUAL if protocols is None else checked_names("protocols", protocols, tuple(PROTOCOLS))
    return Settings(
        protocols=names,
        reductions=checked_names("reductions", reductions, REDUCTIONS),
        scales=_numbers("scales", scales, "factors above 0, such as 1 and 0.5", math.inf),
        stride=stride,
        resize=None if resize is None else _whole("resize", resize, 1),
        small=checked_names("small", small, SMALL)[0],
        overlaps=_numbers("overlaps", overlaps, "shares above 0 up to 1, such as 0.3 and 0.5", 1.0),
        seed=_whole("seed", seed, 0),
        asked=protocols is not None,
    )


def _numbers(what: str, given: Any, wanted: str, most: float) -> tuple[float, ...]:
    try:
        numbers = (float(given),) if isinstance(given, int | float) else tuple(map(float, given))
    except (TypeError, ValueError):
        numbers = ()
    if not numbers or not all(math.isfinite(number) and 0 < number <= most for number in numbers):
        shown = ", ".join(f"{number:g}" for number in numbers) or f"{given!r:.60}"
        raise InputError(what, f"{shown} cannot be used", f"give {wanted}")
    return tuple(dict.fromkeys(numbers))


def _whole(what: str, given: Any, least: int) -> int:
    try:
        number = operator.index(given)
    except TypeError:
        number = least - 1
    if number < least:
        raise InputError(what, f"{given!r:.40} is no whole number of {least} or more", "give one")
    return number


def told_of(known: Classifier, images: Any, boxes: Any, stride: tuple[int, ...]) -> dict[str, Any]:
    """What a reader of the results wants to know beside the settings, as plain data."""
    return {
        "model": known.title,
        "images": str(images),
        "boxes": None if boxes is None else str(boxes),
        "date": datetime.now().astimezone().isoformat(" ", timespec="minutes"),
        "window": list(known.window),
        "windows_every": list(stride),
    }
