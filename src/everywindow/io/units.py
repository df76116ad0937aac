"""Units of length."""

from __future__ import annotations

MICROMETERS = {
    "angstrom": 1e-4,
    "nanometer": 1e-3,
    "micrometer": 1.0,
    "millimeter": 1e3,
    "centimeter": 1e4,
    "decimeter": 1e5,
    "meter": 1e6,
    "kilometer": 1e9,
    "inch": 25400.0,
    "foot": 304800.0,
    "US survey foot": 1200 / 3937 * 1e6,
}
SYMBOLS = {
    "Å": "angstrom",
    "nm": "nanometer",
    "µm": "micrometer",
    "μm": "micrometer",
    "um": "micrometer",
    "micron": "micrometer",
    "mm": "millimeter",
    "cm": "centimeter",
    "dm": "decimeter",
    "m": "meter",
    "metre": "meter",
    "km": "kilometer",
    "in": "inch",
    "ft": "foot",
}


def unit_name(unit: str) -> str:
    """The name that OME-NGFF gives to a unit.

    >>> unit_name("mm"), unit_name("second")
    ('millimeter', 'second')
    """
    return SYMBOLS.get(unit, unit)


def in_micrometers(unit: str | None) -> float | None:
    """Micrometers in a unit of length; None where it is none.

    >>> in_micrometers("mm"), in_micrometers("second")
    (1000.0, None)
    """
    return None if unit is None else MICROMETERS.get(unit_name(unit))
