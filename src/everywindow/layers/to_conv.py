"""A fully connected layer as the convolution that it is."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from torch import nn

from everywindow.errors import InputError
from everywindow.geometry import per_axis

CONVOLUTIONS: tuple[type[nn.Conv1d] | type[nn.Conv2d] | type[nn.Conv3d], ...] = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
LETTERS = {1: "c", 2: "cl", 3: "chw", 4: "cdhw"}
"""The letters of channels and axes, by the number of sizes."""


def linear_to_conv(
    linear: nn.Linear, shape: Sequence[int], order: str | None = None
) -> nn.Conv1d | nn.Conv2d | nn.Conv3d:
    """The convolution that equals a fully connected layer behind a flattened map: its kernel is as large as the map.

    On a map of that size it gives ``[N, out, 1, 1]`` with the numbers of the layer; on a larger one it gives those of
    every window. The weights are as many, in another shape; they are copied.

    Args:
        linear: the layer, with ``prod(shape)`` inputs.
        shape: of the map before it was flattened, channels first: ``(C, h, w)``, ``(C, length)`` or ``(C, d, h, w)``.
            ``(C,)`` is a layer behind another fully connected one: a convolution of 1×1.
        order: how the map was flattened, as letters from the slowest to the fastest: ``"chw"`` (by default, as
            ``nn.Flatten`` does), ``"hwc"`` (channels last), ``"whc"``, ...; ``"cl"`` and ``"cdhw"`` for other axes.

    Raises:
        InputError: the layer has another number of inputs, or the order names other letters.

    >>> linear_to_conv(nn.Linear(4 * 4 * 3, 10), (3, 4, 4))
    Conv2d(3, 10, kernel_size=(4, 4), stride=(1, 1))
    >>> linear_to_conv(nn.Linear(4096, 1000), (4096,))
    Conv2d(4096, 1000, kernel_size=(1, 1), stride=(1, 1))
    """
    if len(shape) not in LETTERS:
        raise InputError("shape", f"{tuple(shape)} has {len(shape)} sizes", "give the channels and up to three axes")
    sizes = per_axis("shape", tuple(shape), len(shape))
    if linear.in_features != prod(sizes):
        why = f"{sizes} makes {prod(sizes)} features, and the layer takes {linear.in_features}"
        raise InputError("shape", why, "give the shape of the map before it was flattened")
    letters = LETTERS[len(sizes)]
    order = letters if order is None else order
    if sorted(order) != sorted(letters):
        raise InputError("order", f"{order!r} for {len(sizes)} sizes", f"give the letters of {letters!r} in any order")
    channels, *kernel = sizes
    kernel = kernel or [1, 1]
    flattened = linear.weight.detach().reshape(-1, *(sizes[letters.index(letter)] for letter in order))
    weight = flattened.permute(0, *(1 + order.index(letter) for letter in letters))
    made = CONVOLUTIONS[len(kernel) - 1](
        channels,
        linear.out_features,
        tuple(kernel),  # type: ignore[arg-type]
        bias=linear.bias is not None,
        device=linear.weight.device,
        dtype=linear.weight.dtype,
    )
    made.weight = nn.Parameter(weight.reshape(made.weight.shape).clone(), linear.weight.requires_grad)
    if linear.bias is not None:
        made.bias = nn.Parameter(linear.bias.detach().clone(), linear.bias.requires_grad)
    return made.train(linear.training)
