"""The same layer built in another way, and what that costs: counted, with no network at hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from everywindow.errors import InputError
from everywindow.geometry import LocalOp, per_axis


@dataclass(frozen=True)
class WhatIf:
    """Two ways to build what has the same inputs and outputs. Biases are not counted.

    Attributes:
        params, macs: weights and mult-adds of the convolution, or of the one large convolution.
        other_params, other_macs: those of the other way.
    """

    params: int
    macs: int
    other_params: int
    other_macs: int

    @property
    def params_ratio(self) -> float:
        """Weights of the other way over these."""
        return self.other_params / self.params

    @property
    def macs_ratio(self) -> float:
        """Mult-adds of the other way over these."""
        return self.other_macs / self.macs


def as_fully_connected(
    size: int | Sequence[int],
    kernel: int | Sequence[int],
    stride: int | Sequence[int] = 1,
    padding: int = 0,
    channels: int = 1,
    out_channels: int = 1,
    axes: int = 2,
) -> WhatIf:
    """A convolution, and the fully connected layer from the same input map to the same output map.

    Args:
        size, kernel, stride: one number for all axes or one per axis.
        padding: positions added on each side.
        channels, out_channels: of the maps.
        axes: number of spatial axes.

    Raises:
        InputError: the kernel does not fit, or a number is not positive.

    A 2×2 kernel over a map of 32×32: as a fully connected layer it has 246,016 times the weights and takes 256 times
    the mult-adds, for each weight of a kernel is used at every position, and each output sees few inputs.

    >>> price = as_fully_connected(size=32, kernel=2)
    >>> price.params_ratio, price.macs_ratio
    (246016.0, 256.0)
    """
    sizes, kernels, strides = (
        per_axis(name, _plain(given), axes) for name, given in (("size", size), ("kernel", kernel), ("stride", stride))
    )
    features, outputs = per_axis("channels", [channels, out_channels], 2)
    out = [
        LocalOp(taps, 1, step, padding, padding).output_length(n)
        for n, taps, step in zip(sizes, kernels, strides, strict=True)
    ]
    if padding < 0 or min(out) < 1:
        raise InputError("kernel", f"{kernel} does not fit into {size} with padding {padding}", "give a smaller one")
    weights = features * outputs * prod(kernels)
    dense = features * prod(sizes) * outputs * prod(out)
    return WhatIf(weights, weights * prod(out), dense, dense)


def stacked(kernel: int, layers: int, channels: int = 1, axes: int = 2, positions: int = 1) -> WhatIf:
    """A stack of small convolutions of stride 1, against the one convolution that sees as much.

    Args:
        kernel: of each layer of the stack, the same along all axes.
        layers: in the stack.
        channels: into and out of each layer.
        axes: number of spatial axes.
        positions: of the map.

    Returns:
        ``params`` and ``macs`` of the one large convolution, the others of the stack.

    Raises:
        InputError: a number is not positive.

    Three layers of 3×3 see 7×7, with 27 C² weights in place of 49 C²:

    >>> price = stacked(kernel=3, layers=3, channels=64)
    >>> price.other_params, price.params, price.params_ratio == 27 / 49
    (110592, 200704, True)
    """
    for name, number in (("kernel", kernel), ("layers", layers), ("channels", channels), ("positions", positions)):
        per_axis(name, number, 1)
    sees = layers * (kernel - 1) + 1
    one, small = channels**2 * sees**axes, layers * channels**2 * kernel**axes
    return WhatIf(one, one * positions, small, small * positions)


def _plain(given: int | Sequence[int]) -> int | tuple[int, ...]:
    return given if isinstance(given, int) else tuple(given)
