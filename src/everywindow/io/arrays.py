"""Arrays of numbers as channels from 0 to 1."""

from __future__ import annotations

import math

import numpy as np
import torch

from everywindow.errors import InputError

FLOAT_RANGE = (-0.5, 1.5)
"""Floats beyond this are not pixels from 0 to 1: a resampling filter overshoots by less."""

AS_IT_IS = "have values taken as they are: raw=True (--raw), channels last; or a float tensor [C, *size]"
"""What to do with a recording or a volume, whose values have units of their own."""


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
