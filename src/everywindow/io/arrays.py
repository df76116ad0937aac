"""Arrays of numbers as channels from 0 to 1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from everywindow.errors import InputError

FLOAT_RANGE = (-0.5, 1.5)
"""Floats beyond this are not pixels from 0 to 1: a resampling filter overshoots by less."""

LUMA = (0.299, 0.587, 0.114)
"""Grey of red, green and blue, as Pillow makes it."""

AS_IT_IS = "have values taken as they are: raw=True (--raw), channels last; or a float tensor [C, *size]"
"""What to do with a recording or a volume, whose values have units of their own."""

NEAR = 2**16
"""So many values stay near the processor while they are converted."""


def unit_channels(array: np.ndarray, ndim: int, what: str = "image") -> torch.Tensor:
    """An array ``[*size]`` or ``[*size, C]`` as a float32 tensor ``[C, *size]``, integers scaled to 0 to 1.

    Raises:
        InputError: wrong number of axes, no pixels, numbers whose range is not known, NaN or infinity.

    >>> unit_channels(np.array([[0, 51], [255, 0]], np.uint8), ndim=2).tolist()
    [[[0.0, 0.20000000298023224], [1.0, 0.0]]]
    """
    if array.ndim not in (ndim, ndim + 1):
        raise InputError(
            what,
            f"an array of shape {array.shape} is not {ndim} axes, or {ndim} and channels",
            "give one image, channels last",
        )
    if array.size == 0:
        raise InputError(what, f"an array of shape {array.shape} has no pixels", "give an image")
    scaled = torch.from_numpy(np.ascontiguousarray(_scaled(array, what, ndim)))
    channels = scaled[None] if array.ndim == ndim else scaled.movedim(-1, 0)
    check_finite(channels, what)
    _check_unit_range(channels, what, ndim)
    return channels.contiguous()


def normalised(unit: torch.Tensor, mean: Sequence[float] | None, std: Sequence[float] | None) -> torch.Tensor:
    """``[C, *size]`` less the mean and over the standard deviation of each channel, where they are known."""
    shifted = unit if mean is None else unit - per_channel(mean, unit)
    return shifted if std is None else shifted / per_channel(std, unit)


def all_in_range(dtype: np.dtype[Any]) -> bool:
    """Whether any value of a type is a pixel from 0 to its largest one, so that there is nothing to check."""
    return dtype.kind == "u" and dtype.itemsize <= 2


def fill_normalised(
    target: torch.Tensor, values: np.ndarray, mean: Sequence[float] | None, std: Sequence[float] | None
) -> None:
    """Fill float32 ``[C, *size]`` with what :func:`normalised` makes of the :func:`unit_channels` of ``[*size, C]``.

    In one thread and part by part, for values of which :func:`all_in_range` is told.

    >>> target = torch.empty(1, 2)
    >>> fill_normalised(target, np.array([[0], [255]], np.uint8), [0.5], [0.25])
    >>> target.tolist()
    [[-2.0, 2.0]]
    """
    white = np.float32(np.iinfo(values.dtype).max)
    rows = max(1, NEAR // max(1, math.prod(values.shape[1:-1])))
    for channel, whole in enumerate(target.numpy()):
        for first in range(0, len(whole), rows):
            part = whole[first : first + rows]
            np.copyto(part, values[first : first + rows, ..., channel], casting="unsafe")
            part /= white
            if mean is not None:
                part -= np.float32(mean[channel])
            if std is not None:
                part /= np.float32(std[channel])


def per_channel(values: Sequence[float], like: torch.Tensor) -> torch.Tensor:
    """One value per channel, to be broadcast over ``[C, *size]``."""
    tensor = torch.tensor(tuple(values), dtype=like.dtype, device=like.device)
    return tensor.reshape(-1, *[1] * (like.ndim - 1))


def grey(colours: np.ndarray) -> np.ndarray:
    """Grey values ``[*size]`` of red, green and blue ``[*size, 3]``; of 8 bits the same numbers as Pillow's.

    >>> grey(np.array([[[255, 0, 0], [10, 20, 30]]], np.uint8)).tolist()
    [[76, 18]]
    """
    red, green, blue = (colours[..., channel] for channel in range(3))
    if colours.dtype == np.uint8:
        total = np.full(red.shape, 0x8000, np.uint32)
        for values, weight in ((red, 19595), (green, 38470), (blue, 7471)):
            total += values * np.uint32(weight)
        return (total >> 16).astype(np.uint8)
    mixed: np.ndarray = (red * LUMA[0] + green * LUMA[1] + blue * LUMA[2]).astype(colours.dtype)
    return mixed


def check_finite(channels: torch.Tensor, what: str) -> None:
    """Refuse NaN and infinity in ``[C, *size]``, saying how many there are and where the first is."""
    # A sum is not finite where a summand is not, and takes no memory; where it overflows, look closer.
    if math.isfinite(float(channels.sum(dtype=torch.float64))):
        return
    wrong = ~torch.isfinite(channels)
    count = int(wrong.sum())
    if count:
        channel, *place = (int(i) for i in torch.nonzero(wrong)[0])
        value = "NaN" if bool(torch.isnan(channels[(channel, *place)])) else "infinity"
        raise InputError(
            what,
            f"{count} of {wrong.numel()} values are NaN or infinite, the first is {value} at pixel "
            f"{tuple(place)} of channel {channel}",
            "replace them, for instance with the mean",
        )


def _scaled(array: np.ndarray, what: str, ndim: int) -> np.ndarray:
    kind = array.dtype.kind
    if kind in "fb":
        with np.errstate(over="ignore"):  # what overflows is reported as infinite
            return array.astype(np.float32)
    if kind not in "iu":
        raise InputError(what, f"values of type {array.dtype} are not pixels", "give numbers")
    _check_integers(array, what, ndim)
    white = np.iinfo(array.dtype).max
    if array.itemsize <= 2:
        return array.astype(np.float32) / np.float32(white)
    return (array / float(white)).astype(np.float32)


def _check_integers(array: np.ndarray, what: str, ndim: int) -> None:
    low, high, white = int(array.min()), int(array.max()), np.iinfo(array.dtype).max
    if low < 0:
        why = f"{array.dtype} values down to {low} cannot be scaled to 0-1"
        raise InputError(what, why, "give floats 0-1" if ndim == 2 else AS_IT_IS)
    if array.itemsize > 2 and high <= np.iinfo(np.uint16).max:
        raise InputError(
            what,
            f"values up to {high} are next to nothing in {array.dtype}, whose white is {white}",
            "convert with .astype(numpy.uint8) or numpy.uint16, or give floats 0-1",
        )


def _check_unit_range(channels: torch.Tensor, what: str, ndim: int) -> None:
    low, high = (float(value) for value in channels.aminmax())
    if low < FLOAT_RANGE[0] or high > FLOAT_RANGE[1]:
        raise InputError(
            what,
            f"floats from {low:.4g} to {high:.4g} are not pixels from 0 to 1",
            "divide by 255, or give a normalised tensor [C, *size]" if ndim == 2 else AS_IT_IS,
        )
