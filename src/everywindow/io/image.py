"""One image for a classifier: read, normalised, scaled and padded."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import PIL.Image
import torch

from everywindow.errors import InputError
from everywindow.io.arrays import check_finite, normalised, per_channel, unit_channels
from everywindow.io.files import convert, read_file
from everywindow.io.resampling import AxisResampling, resample

MOST_PIXELS = 2**32
"""A scaled or padded image of more values than this is taken for a mistake."""


@dataclass(frozen=True, eq=False)
class Image:
    """An image as the classifier takes it.

    Attributes:
        pixels: normalised values ``[C, *size]``; float32, or float64 where a float64 tensor was given.
        picture: the same pixels for people, uint8 ``[H, W, 3]``; None where they are no picture.
        path: the file that it was read from.
        scale: factor between the given image and ``pixels``.
        pad: pixels added on both sides of each axis, after scaling.
        counted: whether its values were integers, and have been scaled by their type.
        downsample: pixels of the given image per pixel of ``pixels``, per axis: sizes are rounded, so that it is not
            ``1 / scale``; empty where nothing was resized.
    """

    pixels: torch.Tensor
    picture: np.ndarray | None
    path: str | None
    scale: float
    pad: tuple[int, ...]
    counted: bool = False
    downsample: tuple[float, ...] = ()

    @property
    def size(self) -> tuple[int, ...]:
        """Pixels per spatial axis, scaled and padded."""
        return tuple(self.pixels.shape[1:])


def read_image(
    image: Any,
    *,
    channels: int = 3,
    ndim: int = 2,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    scale: float | None = None,
    pad: int | Sequence[int] | None = None,
) -> Image:
    """One image, ready for a classifier.

    Args:
        image: a path (Pillow's formats, or ``.npy``), a Pillow image, an array ``[*size]`` or ``[*size, C]``
            (integers are scaled to 0 to 1 by the largest value of their type, floats taken as 0 to 1), or a
            floating-point tensor ``[C, *size]``, which is taken as normalised.
        channels: what the classifier takes. From a file, 1 gives grey values and 3 gives RGB.
        ndim: number of spatial axes.
        mean, std: per channel, in units of 0 to 1; None where they are not known, for no normalisation.
        scale: resize by this factor, by linear interpolation with antialiasing. The size is rounded.
        pad: widen by so many pixels on both sides, per axis or for all; filled with 0 after normalisation,
            which is the mean, as convolutions pad.

    Raises:
        InputError: whatever of this cannot be used, and why.

    >>> image = read_image(np.zeros((4, 6), np.uint8), channels=1, mean=[0.5], std=[0.5], pad=1)
    >>> image.size, image.pixels[0, 1, 1].item(), image.pixels[0, 0, 0].item()
    ((6, 8), -1.0, 0.0)
    """
    path = os.fspath(image) if isinstance(image, (str, os.PathLike)) else None
    what = path or "image"
    factor, margins, counted = _scale(scale), margins_of(pad, ndim), False
    if isinstance(image, torch.Tensor):
        whole = _normalised_tensor(image, channels, ndim)
        pixels = _resized(whole, factor)
        unit = _denormalised(pixels, mean, std)
    else:
        array = _array(image, path, channels, ndim)
        whole, counted = unit_channels(array, ndim, what), array.dtype.kind in "iu"
        unit = _resized(whole, factor)
        _check_channels(unit, channels, what)
        pixels = normalised(unit, mean, std)
    picture = None if unit is None or ndim != 2 else _picture(_padded(unit, margins, mean))
    ratios = tuple(given / made for given, made in zip(whole.shape[1:], pixels.shape[1:], strict=True))
    downsample = () if factor == 1.0 else ratios
    return Image(_padded(pixels, margins, None), picture, path, factor, margins, counted, downsample)


def _array(image: Any, path: str | None, channels: int, ndim: int) -> np.ndarray:
    """``[*size]`` or ``[*size, C]``, from anything but a tensor."""
    if path is not None:
        return read_file(path, channels, ndim)
    if isinstance(image, PIL.Image.Image):
        return convert(image, channels, "image")
    if not isinstance(image, np.ndarray):
        raise InputError(
            "image",
            f"a {type(image).__name__} is not an image",
            "give a path, a tensor [C, *size] or an array",
        )
    return image


def _normalised_tensor(image: torch.Tensor, channels: int, ndim: int) -> torch.Tensor:
    if image.ndim != ndim + 1:
        raise InputError(
            "image",
            f"a tensor of shape {tuple(image.shape)} is not [channels, *size] with {ndim} spatial axes",
            "give one image, without a batch dimension",
        )
    if image.numel() == 0:
        raise InputError("image", f"a tensor of shape {tuple(image.shape)} has no pixels", "give an image")
    if not image.is_floating_point():
        raise InputError(
            "image",
            f"a tensor is taken as normalised, but {image.dtype} holds raw values",
            "normalise it, or give an array [*size, channels]",
        )
    image = image.detach()
    _check_channels(image, channels, "image")
    check_finite(image, "image")
    return image if image.dtype in (torch.float32, torch.float64) else image.float()


def _check_channels(pixels: torch.Tensor, channels: int, what: str) -> None:
    if pixels.shape[0] != channels:
        raise InputError(
            what,
            f"has {pixels.shape[0]} channels (shape {tuple(pixels.shape)}), the classifier takes {channels}",
            f"give an image with {channels} channels",
        )


def _scale(scale: float | None) -> float:
    try:
        factor = 1.0 if scale is None else float(scale)
    except (TypeError, ValueError):
        factor = math.nan
    if not (math.isfinite(factor) and factor > 0):
        raise InputError("scale", f"{scale!r} is not a positive number", "give a factor such as 0.5")
    return factor


def margins_of(pad: int | Sequence[int] | None, ndim: int) -> tuple[int, ...]:
    """Pixels to add on both sides, per axis.

    Raises:
        InputError: they are no such numbers.
    """
    one = pad is None or not isinstance(pad, Sequence) or isinstance(pad, str)
    margins: tuple[Any, ...] = (pad or 0,) * ndim if one else tuple(cast("Sequence[int]", pad))
    whole = all(isinstance(m, (int, np.integer)) and not isinstance(m, bool) and m >= 0 for m in margins)
    if len(margins) != ndim or not whole:
        raise InputError("pad", f"{pad!r} is not a number of pixels per axis", f"give one number, or {ndim}")
    return tuple(int(margin) for margin in margins)


def _resized(pixels: torch.Tensor, factor: float) -> torch.Tensor:
    """Axis by axis: linear interpolation with antialiasing, whatever the number of axes."""
    if factor == 1.0:
        return pixels
    sizes = [max(1, round(size * factor)) for size in pixels.shape[1:]]
    _check_size((pixels.shape[0], *sizes), "scale")
    axes = [AxisResampling(given, wanted) for given, wanted in zip(pixels.shape[1:], sizes, strict=True)]
    given, wanted = [(0, axis.size) for axis in axes], [(0, axis.out) for axis in axes]
    return torch.from_numpy(resample(pixels.cpu().numpy(), axes, given, wanted)).to(pixels)


def _padded(pixels: torch.Tensor, margins: tuple[int, ...], fill: Sequence[float] | None) -> torch.Tensor:
    """Widened by ``margins`` on both sides of each axis; filled with 0 or a value per channel."""
    if not any(margins):
        return pixels
    sizes = [size + 2 * margin for size, margin in zip(pixels.shape[1:], margins, strict=True)]
    _check_size((pixels.shape[0], *sizes), "pad")
    wide = pixels.new_zeros((pixels.shape[0], *sizes))
    if fill is not None:
        wide += per_channel(fill, wide)
    inside = tuple(slice(m, m + size) for m, size in zip(margins, pixels.shape[1:], strict=True))
    wide[(slice(None), *inside)] = pixels
    return wide


def _check_size(shape: tuple[int, ...], what: str) -> None:
    if math.prod(shape) > MOST_PIXELS:
        raise InputError(what, f"an image of shape {shape} would be too large", f"give a smaller {what}")


def _denormalised(
    pixels: torch.Tensor, mean: Sequence[float] | None, std: Sequence[float] | None
) -> torch.Tensor | None:
    """Back to 0 to 1; None where it is not known what the tensor was normalised with."""
    if mean is None or std is None:
        return None
    return pixels * per_channel(std, pixels) + per_channel(mean, pixels)


def _picture(unit: torch.Tensor) -> np.ndarray | None:
    """``[H, W, 3]`` in 8 bits, of one or three channels."""
    if unit.shape[0] not in (1, 3):
        return None
    eight_bit = (unit.clamp(0, 1) * 255 + 0.5).to(torch.uint8)
    picture: np.ndarray = eight_bit.expand(3, -1, -1).movedim(0, -1).contiguous().cpu().numpy()
    return picture
