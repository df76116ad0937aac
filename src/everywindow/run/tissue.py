"""Where there is tissue, or other matter, in an image: by colour and brightness at low resolution."""

from __future__ import annotations

from typing import Any

import numpy as np

from everywindow.errors import DependencyError, InputError
from everywindow.io import Source
from everywindow.run.coarse import CoarseMask, thumbnail, validity

WHITE, PALE = 0.75, 0.12
"""Brightness from which, and saturation up to which, a pixel is the empty glass of a slide."""

GLASS = 0.02
"""Share of such pixels from which an image is one of things on bright glass."""

SMALL = 1e-5
"""Specks and holes of so small a share of the image are taken for noise."""

LEAST_SATURATION = 0.04
"""Glass itself is as colourful as this."""


def tissue_mask(source: Source) -> CoarseMask:
    """Parts of an image that hold matter.

    On bright glass: what is more colourful or darker than the glass, by Otsu's thresholds. In other pictures and in
    volumes: what is brighter than the dark around it, by the threshold of Li, where more than half is dark; else all.
    Parts without data are left out.

    Raises:
        InputError: a recording, or nothing is found.
        DependencyError: scikit-image is not installed.
    """
    size = source.levels[0].size
    if len(size) == 1:
        raise InputError("mask", "'auto' looks for matter in pictures and volumes", "give 'none', or a mask's file")
    small, each = thumbnail(source)
    small = np.where(np.isfinite(small), small, 0)
    unit = small / _white(small, source.dtype)
    found, description = _on_glass(unit) if _has_glass(unit) else _in_the_dark(unit)
    holding = validity(source, found.shape, each)
    if holding is not None:
        found &= holding
    return CoarseMask(_cleaned(found), each, description)


def _white(small: np.ndarray, dtype: np.dtype[Any]) -> float:
    """The brightest that there can be; of deep types, which are seldom used to their end, that there is."""
    return 255.0 if dtype == np.uint8 else float(np.quantile(small, 0.999)) or 1.0


def _has_glass(unit: np.ndarray) -> bool:
    if unit.shape[-1] != 3:
        return False
    brightness, saturation = unit.max(-1), _saturation(unit)
    return bool(((brightness > WHITE) & (saturation < PALE)).mean() > GLASS)


def _on_glass(unit: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
    filters = _skimage().filters
    saturation, brightness = _saturation(unit), unit.mean(-1)
    colourful = max(float(filters.threshold_otsu(saturation)), LEAST_SATURATION)
    dark = float(filters.threshold_otsu(brightness))
    found = (saturation > colourful) | (brightness < dark)
    return found, {"kind": "auto", "saturation": round(colourful, 6), "brightness": round(dark, 6)}


def _in_the_dark(unit: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
    brightness = unit.max(-1)
    if float(np.ptp(brightness)) == 0:
        return np.ones(brightness.shape, bool), {"kind": "auto", "above": None}
    above = float(_skimage().filters.threshold_li(brightness))
    found = brightness > above
    if found.mean() > 0.5:  # the bright is the ground, or there is none
        return np.ones(brightness.shape, bool), {"kind": "auto", "above": None}
    return found, {"kind": "auto", "above": round(above, 6)}


def _cleaned(found: np.ndarray) -> np.ndarray:
    """Without specks and pinholes, and a cell wider: what is thinner than a cell may lie beside."""
    morphology = _skimage().morphology
    few = int(found.size * SMALL)
    found = morphology.remove_small_objects(found, max_size=few)
    found = morphology.remove_small_holes(found, max_size=few)
    wider: np.ndarray = morphology.dilation(found)
    return wider


def _saturation(unit: np.ndarray) -> np.ndarray:
    high = unit.max(-1)
    return np.where(high > 0, (high - unit.min(-1)) / np.where(high > 0, high, 1), 0)


def _skimage() -> Any:
    try:
        import skimage.filters
        import skimage.morphology
    except ImportError as error:
        raise DependencyError(
            "mask", "'auto' needs scikit-image", "install it with pip install 'everywindow[mask]'"
        ) from error
    return skimage
