"""At what resolution an image is scanned."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from everywindow.errors import InputError
from everywindow.io.source import Level, Source
from everywindow.io.units import in_micrometers

TOLERANCE = 0.01
"""A level whose spacing differs by no more than this part is taken as it is."""


@dataclass(frozen=True)
class Resolution:
    """A level as it is, or one that is resized from it.

    Attributes:
        level: which one is read.
        size: scanned pixels per axis.
        downsample: level-0 pixels per scanned pixel, per axis.
        resampled: whether the level is resized.
    """

    level: int
    size: tuple[int, ...]
    downsample: tuple[float, ...]
    resampled: bool


def choose(source: Source, level: int | None, spacing: float | None, scale: float | None) -> Resolution:
    """The resolution that is asked for; level 0 where none is.

    Raises:
        InputError: no such level, a spacing of a file that tells none, or one finer than the file's.
    """
    if sum(given is not None for given in (level, spacing, scale)) > 1:
        raise InputError("level, spacing, scale", "each says how large a pixel is", "give one of them")
    if spacing is not None:
        return _scaled(source, _factors(source, spacing))
    if scale is not None and _positive("scale", scale) != 1:
        return _scaled(source, (float(scale),) * len(source.levels[0].size), first=1)
    number = 0 if level is None else level
    if not 0 <= number < len(source.levels):
        sizes = ", ".join(f"{i} ({'×'.join(map(str, one.size))})" for i, one in enumerate(source.levels))
        raise InputError("level", f"{source.path} has no level {number}", f"give one of {sizes}")
    return _whole(number, source.levels[number])


def spacings(source: Source) -> tuple[tuple[float, ...], ...] | None:
    """Extent of a pixel per level and axis: lengths in micrometers, else in the file's unit; None if it tells none."""
    own, unit = source.placement.spacing, source.placement.unit
    if own is None:
        return None
    factor = in_micrometers(unit) or 1.0
    return tuple(tuple(factor * p * d for p, d in zip(own, level.downsample, strict=True)) for level in source.levels)


def _factors(source: Source, spacing: float) -> tuple[float, ...]:
    """Scanned pixels per level-0 pixel, for pixels of the wanted extent."""
    wanted, known = _positive("spacing", spacing), spacings(source)
    if known is None:
        why = f"{source.path} does not tell how large its pixels are"
        raise InputError("spacing", why, "give a level or a scale instead")
    factors = tuple(own / wanted for own in known[0])
    if max(factors) > 1 + TOLERANCE:
        unit = "micrometer" if in_micrometers(source.placement.unit) else source.placement.unit
        there = ", ".join("×".join(f"{own:.4g}" for own in dict.fromkeys(level)) for level in known)
        why = f"{wanted:g} {unit} per pixel is finer than {source.path}, whose levels have {there}"
        raise InputError("spacing", why, f"give {max(known[0]):.4g} or more")
    return factors


def _positive(what: str, value: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise InputError(what, f"{value!r} is not a positive number", "give a number such as 0.5")
    return number


def _scaled(source: Source, factors: Sequence[float], first: int = 0) -> Resolution:
    """The level of that resolution, from ``first`` on, or the next finer one, resized."""
    products = [[d * f for d, f in zip(level.downsample, factors, strict=True)] for level in source.levels]
    for number, product in enumerate(products):
        if number >= first and all(abs(one - 1) <= TOLERANCE for one in product):
            return _whole(number, source.levels[number])
    finer = [number for number, product in enumerate(products) if max(product) <= 1]
    number = max(finer, key=lambda i: math.prod(products[i]), default=0)
    return _resized(number, source.levels[number], source.levels[0], factors)


def _whole(number: int, level: Level) -> Resolution:
    return Resolution(number, level.size, level.downsample, False)


def _resized(number: int, level: Level, first: Level, factors: Sequence[float]) -> Resolution:
    size = tuple(max(1, round(n * f)) for n, f in zip(first.size, factors, strict=True))
    downsample = tuple(d * n / m for d, n, m in zip(level.downsample, level.size, size, strict=True))
    return Resolution(number, size, downsample, size != level.size)
