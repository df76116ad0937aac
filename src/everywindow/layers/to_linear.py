"""A convolution as the fully connected layer that it is."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
import torch
from torch import Tensor, nn

from everywindow.errors import InputError
from everywindow.layers.reads import Convolution, Layout, layout
from everywindow.layers.sparse import SparseLinear

DENSE_BYTES = 64 * 2**20
"""A dense matrix of more is held sparse where the caller leaves the choice."""

MAX_BYTES = 2**30
"""A matrix of more is refused where the caller names no limit."""


def conv_to_linear(
    conv: Convolution,
    input_size: int | Sequence[int],
    sparse: bool | None = None,
    max_bytes: int = MAX_BYTES,
) -> nn.Linear | SparseLinear:
    """The fully connected layer that equals a convolution on a map of one size: mostly zeros, and values that repeat.

    It takes the map flattened channels first (``x.flatten(1)``) and gives the convolution's output flattened so. Its
    numbers are copies: a fully connected layer does not share its weights, so training it ends the convolution.

    Args:
        conv: an ``nn.Conv1d``, ``nn.Conv2d`` or ``nn.Conv3d`` of any settings, also with copies as padding.
        input_size: positions of its input, an int or one per axis.
        sparse: an ``nn.Linear`` (False) or a :class:`SparseLinear` (True); by default sparse above 64 MiB.
        max_bytes: of the matrix.

    Raises:
        InputError: no convolution, its kernel does not fit, or the matrix is larger than ``max_bytes``.

    >>> conv = nn.Conv2d(3, 8, 3, stride=2, padding=1)
    >>> conv_to_linear(conv, 16)
    Linear(in_features=768, out_features=512, bias=True)
    >>> x = torch.rand(1, 3, 16, 16)
    >>> torch.allclose(conv_to_linear(conv, 16)(x.flatten(1)), conv(x).flatten(1), atol=1e-5)
    True
    """
    made = layout(conv, input_size if isinstance(input_size, int) else tuple(input_size))
    dense = made.rows * made.columns * conv.weight.element_size()
    if sparse is None:
        sparse = dense > DENSE_BYTES
    held = _sparse_bytes(made, conv.weight.element_size()) if sparse else dense
    if held > max_bytes:
        less = "a smaller input_size, or a larger max_bytes" if sparse else "sparse=True, or a smaller input_size"
        why = f"its {'sparse' if sparse else 'dense'} matrix of {made.rows:,}×{made.columns:,} takes {held:,} bytes"
        raise InputError("input_size", f"{why}, and max_bytes is {max_bytes:,}", f"give {less}")
    with torch.no_grad():
        return _sparse(conv, made) if sparse else _dense(conv, made)


def matrix(conv: Convolution, made: Layout) -> Tensor:
    """The dense matrix, ``[outputs, inputs]``: per axis, 0 and 1 say which tap brings which input to which output."""
    group = made.out_channels // made.groups
    values = conv.weight.detach()
    for axis in made.axes:
        moves = values.new_zeros(axis.kernel, axis.outs, axis.size)
        moves[axis.taps, axis.outputs, axis.inputs] = 1
        values = torch.tensordot(values, moves, dims=([2], [0]))
    # [out, in, outs and size of each axis] to [out, outs ..., in, sizes ...]
    axes = range(len(made.axes))
    values = values.permute(0, *(2 + 2 * at for at in axes), 1, *(3 + 2 * at for at in axes))
    blocks = [block.reshape(-1, made.columns // made.groups) for block in values.split(group)]
    whole: Tensor = torch.block_diag(*blocks)
    return whole


def _dense(conv: Convolution, made: Layout) -> nn.Linear:
    weight = conv.weight
    linear = nn.Linear(made.columns, made.rows, conv.bias is not None, device="meta", dtype=weight.dtype)
    linear.weight = nn.Parameter(matrix(conv, made), weight.requires_grad)
    if conv.bias is not None:
        linear.bias = nn.Parameter(_bias(conv.bias, made), conv.bias.requires_grad)
    return linear.train(conv.training)


def _sparse(conv: Convolution, made: Layout) -> SparseLinear:
    weight = conv.weight
    taps, outputs, inputs = _entries(made)
    channels, outs = made.channels // made.groups, made.rows // made.out_channels
    size, group = made.columns // made.channels, made.out_channels // made.groups
    out, within = (one.reshape(-1, 1) for one in np.indices((made.out_channels, channels)))
    rows = torch.from_numpy((out * outs + outputs).ravel())
    columns = torch.from_numpy(((out // group * channels + within) * size + inputs).ravel())
    values = weight.detach().flatten(2)[:, :, torch.from_numpy(taps)].reshape(-1)
    rows, columns, values = _added_up(rows.to(weight.device), columns.to(weight.device), values, made.columns)
    bias = None if conv.bias is None else _bias(conv.bias, made)
    return SparseLinear(rows, columns, values, made.columns, made.rows, bias).train(conv.training)


def _entries(made: Layout) -> tuple[np.ndarray, ...]:
    """Flat numbers of tap, output and input for every read of one channel by one channel."""
    flat = [np.zeros(1, dtype=np.int64) for _ in range(3)]
    for axis in made.axes:
        lengths = (axis.kernel, axis.outs, axis.size)
        along = (axis.taps, axis.outputs, axis.inputs)
        flat = [np.add.outer(one * n, more).ravel() for one, n, more in zip(flat, lengths, along, strict=True)]
    return tuple(flat)


def _added_up(rows: Tensor, columns: Tensor, values: Tensor, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Entries of one place as one: padding with copies brings an input to an output by several taps."""
    places, which = torch.unique(rows * width + columns, return_inverse=True)
    return places // width, places % width, values.new_zeros(len(places)).index_add_(0, which, values)


def _bias(bias: Tensor, made: Layout) -> Tensor:
    return bias.detach().repeat_interleave(prod(axis.outs for axis in made.axes))


def _sparse_bytes(made: Layout, itemsize: int) -> int:
    """Values, columns and starts of rows."""
    return made.reads * (itemsize + 8) + (made.rows + 1) * 8
