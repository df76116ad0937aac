"""What the poolings of this room have in common: the box that they run over, and the functions of torch by axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from torch import Tensor
from torch.nn import functional as F

from everywindow.errors import InputError
from everywindow.geometry import per_axis

Sizes = int | Sequence[int]
Reduce = Literal["max", "mean"]

ADAPTIVE: dict[str, tuple[Any, ...]] = {
    "max": (F.adaptive_max_pool1d, F.adaptive_max_pool2d, F.adaptive_max_pool3d),
    "mean": (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d),
}
"""Pooling over bins that follow the input, by what it does with a bin and by the number of axes, less one."""

BOXES: dict[str, tuple[Any, ...]] = {
    "max": (F.max_pool1d, F.max_pool2d, F.max_pool3d),
    "mean": (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d),
}
"""Pooling over boxes of one size."""


def axes_of(x: Tensor, layer: str) -> int:
    """Number of spatial axes of ``[N, C, *axes]``.

    Raises:
        InputError: there are none, or more than three.
    """
    axes = x.ndim - 2
    if axes not in (1, 2, 3):
        raise InputError(layer, f"input of shape {tuple(x.shape)}", "give [N, C, *axes] with one, two or three axes")
    return axes


def sizes(name: str, given: Sizes, axes: int) -> tuple[int, ...]:
    """One positive number per axis.

    Raises:
        InputError: another number of them, or one that is not positive.
    """
    return per_axis(name, given if isinstance(given, int) else tuple(given), axes)


def checked(name: str, given: Sizes) -> Sizes:
    """A setting as modules keep it: an int, or a tuple with one for each axis; not negative for ``padding``."""
    least = 0 if name == "padding" else 1
    values = (given,) if isinstance(given, int) else tuple(given)
    if not values or any(isinstance(one, bool) or not isinstance(one, int) or one < least for one in values):
        raise InputError(
            name, f"{given!r} is not made of integers of {least} or more", "give one, or one for each axis"
        )
    return given if isinstance(given, int) else values


def checked_padding(kernel_size: Sizes, padding: Sizes) -> Sizes:
    """The padding; at most half of the kernel, so that no box lies outside the input."""
    padding = checked("padding", padding)
    axes = max(len(one) for one in (spread(kernel_size), spread(padding)))
    pairs = zip(spread(kernel_size, axes), spread(padding, axes), strict=False)
    if any(2 * pad > kernel for kernel, pad in pairs):
        raise InputError("padding", f"{padding} is more than half of the kernel {kernel_size}", "give a smaller one")
    return padding


def spread(given: Sizes, axes: int = 1) -> tuple[int, ...]:
    """One number per axis, zero among them."""
    return (given,) * axes if isinstance(given, int) else tuple(given)


def padded(x: Tensor, padding: Sizes, axes: int) -> Tensor:
    """Zeros on both sides of each spatial axis.

    Raises:
        InputError: another number of axes.
    """
    amounts = spread(padding, axes)
    if len(amounts) != axes:
        raise InputError("padding", f"{len(amounts)} numbers for {axes} axes", f"give one integer, or {axes} of them")
    if not any(amounts):
        return x
    return F.pad(x, [side for pad in reversed(amounts) for side in (pad, pad)])


def checked_reduce(reduce: str) -> Reduce:
    """``"max"`` or ``"mean"``.

    Raises:
        InputError: another word.
    """
    if reduce == "max":
        return "max"
    if reduce == "mean":
        return "mean"
    raise InputError("reduce", f"{reduce!r} is not known", 'give "max" or "mean"')
