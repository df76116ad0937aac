"""Which input each tap of a convolution reads for each output, along one axis: its matrix in integers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import nn

from everywindow.errors import InputError
from everywindow.geometry import Border, LocalOp, per_axis

Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d
Integers = NDArray[np.int64]


class Reads(NamedTuple):
    """One entry for each tap and output that reads an input, and not padding of zeros.

    Attributes:
        taps, outputs, inputs: numbers of the tap, the output and the input.
        kernel, outs, size: how many there are of each.
    """

    taps: Integers
    outputs: Integers
    inputs: Integers
    kernel: int
    outs: int
    size: int


@dataclass(frozen=True)
class Layout:
    """What the matrix of a convolution is made of.

    Attributes:
        axes: per axis, who reads what.
        channels, out_channels: of the maps.
        groups: of the convolution.
    """

    axes: tuple[Reads, ...]
    channels: int
    out_channels: int
    groups: int

    @property
    def rows(self) -> int:
        """Outputs: rows of the matrix."""
        return self.out_channels * int(np.prod([axis.outs for axis in self.axes], dtype=object))

    @property
    def columns(self) -> int:
        """Inputs: columns of the matrix."""
        return self.channels * int(np.prod([axis.size for axis in self.axes], dtype=object))

    @property
    def reads(self) -> int:
        """Products that the convolution adds up, padding of zeros left out."""
        taps = int(np.prod([len(axis.taps) for axis in self.axes], dtype=object))
        return self.out_channels * (self.channels // self.groups) * taps


def layout(conv: nn.Module, input_size: int | tuple[int, ...] | list[int]) -> Layout:
    """The reads of a convolution on a map of ``input_size`` positions per axis.

    Raises:
        InputError: no convolution of one, two or three axes, or its kernel does not fit into the input.
    """
    if not isinstance(conv, Convolution) or isinstance(conv, nn.LazyConv1d | nn.LazyConv2d | nn.LazyConv3d):
        raise InputError(type(conv).__name__, "not a convolution", "give an nn.Conv1d, nn.Conv2d or nn.Conv3d")
    axes = len(conv.kernel_size)
    size = per_axis("input_size", input_size, axes)
    return Layout(
        tuple(_reads(conv, axis, size[axis]) for axis in range(axes)), conv.in_channels, conv.out_channels, conv.groups
    )


def _padding(conv: Convolution, axis: int) -> tuple[int, int]:
    if conv.padding == "same":
        total = conv.dilation[axis] * (conv.kernel_size[axis] - 1)
        return total // 2, total - total // 2
    one = 0 if isinstance(conv.padding, str) else int(conv.padding[axis])
    return one, one


def _reads(conv: Convolution, axis: int, n: int) -> Reads:
    low, high = _padding(conv, axis)
    op = LocalOp(conv.kernel_size[axis], conv.dilation[axis], conv.stride[axis], low, high)
    outs, mode = op.output_length(n), conv.padding_mode
    fits = mode == "zeros" or Border(mode, low, high).fits(n)
    if outs < 1 or not fits:
        why = f"{n} positions are too few for the kernel {conv.kernel_size} with padding {conv.padding} ({mode})"
        raise InputError("input_size", why, "give a larger input")
    taps, outputs = (one.ravel() for one in np.indices((op.kernel, outs)))
    at = outputs * op.stride + taps * op.dilation - low
    if mode == "zeros":
        inside = (at >= 0) & (at < n)
        taps, outputs, at = taps[inside], outputs[inside], at[inside]
    else:
        at = Border(mode, low, high).sources(n)[at + low]
    return Reads(taps, outputs, at, op.kernel, outs, n)
