"""Pooling by a norm."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from everywindow.errors import InputError
from everywindow.layers.boxes import BOXES, Sizes, axes_of, checked, checked_padding, padded, sizes, spread


class LpPool(nn.Module):
    """The p-norm of each box, channel by channel: ``(Σ |x|^p)^(1/p)``, from the sum of sizes to their maximum.

    Takes ``[N, C, *axes]`` with one, two or three axes and gives ``[N, C, *out]``, each
    ``out = floor((n + 2 * padding - kernel_size) / stride) + 1``. Padding is zeros, which add nothing to a norm.

    Each box is scaled by its largest value before the power is taken, so neither a large ``p`` nor values of 1e30 or
    1e-30 overflow or vanish, and a box of zeros has the gradient zero. ``torch.nn.LPPool2d`` is the same sum form, but
    takes no ``|x|`` (for an odd ``p`` signs cancel or give NaN) and no scale.

    Args:
        p: from 1 (the sum of sizes) to ``math.inf`` (max pooling of ``|x|``); 2 is the Euclidean norm.
        kernel_size: positions of a box, an int or one per axis.
        stride: positions between boxes; ``kernel_size`` by default.
        padding: zeros on each side, at most half of the kernel.
        mean: the mean of ``|x|^p`` in place of the sum, padding counted: a map of constant value keeps it, whatever
            ``p`` and the size of the box.

    Raises:
        InputError: ``p`` is less than 1, or the sizes do not go together.

    >>> import torch
    >>> LpPool(2, kernel_size=2)(torch.tensor([[[3.0, -4.0, 0.0, 0.0]]]))
    tensor([[[5., 0.]]])
    """

    def __init__(
        self, p: float, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0, mean: bool = False
    ) -> None:
        super().__init__()
        if not p >= 1:
            raise InputError("p", f"{p} is less than 1, which is no norm", "give a number from 1 to math.inf")
        self.p = float(p)
        self.kernel_size = checked("kernel_size", kernel_size)
        self.stride = self.kernel_size if stride is None else checked("stride", stride)
        self.padding = checked_padding(self.kernel_size, padding)
        self.mean = mean

    def forward(self, x: Tensor) -> Tensor:
        """``[N, C, *axes]`` to ``[N, C, *out]``."""
        axes = axes_of(x, "LpPool")
        kernel, stride = sizes("kernel_size", self.kernel_size, axes), sizes("stride", self.stride, axes)
        if math.isinf(self.p):
            most: Tensor = BOXES["max"][axes - 1](x.abs(), kernel, stride, spread(self.padding, axes))
            return most
        boxes = padded(x.abs(), self.padding, axes)
        for axis in range(axes):
            boxes = boxes.unfold(2 + axis, kernel[axis], stride[axis])
        return _norm(boxes, tuple(range(-axes, 0)), self.p, math.prod(kernel) if self.mean else 1)

    def extra_repr(self) -> str:
        """The settings."""
        settings = f"p={self.p:g}, kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"
        return f"{settings}, mean=True" if self.mean else settings


def _norm(sizes: Tensor, dims: tuple[int, ...], p: float, count: int) -> Tensor:
    """``(Σ sizes^p / count)^(1/p)`` over the last dimensions.

    The scale cancels out, so it is a constant for the gradient. Where it is zero or infinite it is left out.
    """
    most = sizes.detach().amax(dims, keepdim=True)
    scale = most.masked_fill(torch.logical_or(most == 0, most == math.inf), 1.0)
    total = (sizes / scale).pow(p).sum(dims, keepdim=True) / count
    empty = total == 0
    norm = scale * total.masked_fill(empty, 1.0).pow(1 / p)
    return norm.masked_fill(empty, 0.0).squeeze(dims)
