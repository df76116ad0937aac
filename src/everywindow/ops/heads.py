"""Fully connected layers on the flattened map of every window, and what follows them window by window."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import torch
from torch import Tensor
from torch.nn import functional as F

from everywindow.kernels import Rows, Shape
from everywindow.ops.functional import gather_windows

Step = Callable[[Tensor], Tensor]
"""A call on vectors ``[windows, features]`` that takes each by itself."""

PATCH_ELEMENTS = 1 << 24
"""Elements of gathered windows that exist at one time: bounds the memory of a fully connected layer."""

MANY_VECTORS = 4
"""So many vectors for each row of the weights, and it pays to bring the weights into the order of the map's memory."""

SMALL_KERNEL = 16
"""Up to so many positions in a window, a convolution routine beats the product over gathered windows."""

FEW_VECTORS = 96
"""Up to so many vectors the large matrix comes first in a product."""


def window_linear(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    axes: Sequence[Sequence[int]],
    counts: Sequence[int],
    order: Sequence[int],
    then: Sequence[Step] | None = None,
) -> Tensor:
    """A fully connected layer on the flattened map of every window: the convolution that it equals.

    Each row of ``weight`` is one kernel, in the flatten's order. Computed as one matrix product over gathered
    windows, which beats the convolution routines for the large kernels of classifier heads; in bands of rows,
    so that the gathered windows stay small. Returns ``[N·rows·cols, out]``.

    ``then`` is for inference alone: what follows window by window is called on each band of rows, while that is near
    the processor, and convolutions take the fastest routine, which has no gradient.
    """
    rows = counts[0]
    row_elements = x.shape[0] * prod(counts[1:]) * weight.shape[1]
    exporting = torch.compiler.is_exporting()
    if not exporting and x.shape[0] * prod(counts) >= MANY_VECTORS * len(weight):
        if _is_small_kernel(x, axes, order):
            return _convolved(x, weight, bias, axes, counts, then)
        weight, order = _in_memory_order(x, weight, axes, order)
    room = max(PATCH_ELEMENTS, FEW_VECTORS * weight.shape[1])
    band = rows if exporting else max(1, room // max(1, row_elements))
    if band >= rows:
        return _after(_product(gather_windows(x, axes, counts, order, (0,)), weight, bias), then)
    kernel, dilation, step = axes[0]
    parts = []
    for first in range(0, rows, band):
        count = min(band, rows - first)
        slab = x.narrow(1, first * step, (count - 1) * step + dilation * (kernel - 1) + 1)
        flat = gather_windows(slab, axes, (count, *counts[1:]), order, (0,))
        parts.append(_after(_product(flat, weight, bias), then).unflatten(0, (x.shape[0], -1)))
    return torch.cat(parts, 1).flatten(0, 1)


def _after(vectors: Tensor, then: Sequence[Step] | None) -> Tensor:
    for step in then or ():
        vectors = step(vectors)
    return vectors


def _is_small_kernel(x: Tensor, axes: Sequence[Sequence[int]], order: Sequence[int]) -> bool:
    """Whether a convolution routine is faster than a matrix product over gathered windows."""
    kernel = prod(length for length, _, _ in axes)
    return x.ndim == 4 and kernel <= SMALL_KERNEL and tuple(order) == (-x.shape[-1], 0, 1)


def _convolved(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    axes: Sequence[Sequence[int]],
    counts: Sequence[int],
    then: Sequence[Step] | None,
) -> Tensor:
    """:func:`window_linear` of a map ``[N, h, w, C]`` by the convolution routine."""
    kernel = weight.unflatten(1, (x.shape[-1], *(length for length, _, _ in axes)))
    kernel = kernel.contiguous(memory_format=torch.channels_last)
    (_, down, row_step), (_, across, step) = axes
    features_first, shape = x.permute(0, 3, 1, 2), Shape((row_step, step), (0, 0), (down, across), 1)
    if then is None or len(x) > 1:
        scores = F.conv2d(features_first, kernel, bias, shape.stride, 0, shape.dilation)
        scores = scores[:, :, : counts[0], : counts[1]]
        return _after(scores.permute(0, 2, 3, 1).flatten(0, 2), then)
    rows = Rows(features_first[:, :, : (counts[0] - 1) * row_step + down * (axes[0][0] - 1) + 1], kernel, bias, shape)
    parts = []
    for first, count in rows.bands():
        band = rows.made(first, count)[:, :, :, : counts[1]]
        parts.append(_after(band.permute(0, 2, 3, 1).flatten(0, 2), then))
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _in_memory_order(
    x: Tensor, weight: Tensor, axes: Sequence[Sequence[int]], order: Sequence[int]
) -> tuple[Tensor, Sequence[int]]:
    """The weights' columns and the vector's order changed to the map's: axes first, then features."""
    if sum(part < 0 for part in order) != 1 or x.stride(-1) != 1:
        return weight, order
    memory = sorted(order, key=lambda part: (part < 0, part))
    sizes = [-part if part < 0 else axes[part][0] for part in order]
    columns = weight.unflatten(1, sizes).permute(0, *(1 + list(order).index(part) for part in memory))
    return columns.flatten(1), memory


def _product(vectors: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``vectors @ weight.T + bias``; for few vectors with the large matrix in front, which CPU libraries do faster."""
    if torch.compiler.is_exporting() or len(vectors) > FEW_VECTORS:
        return F.linear(vectors, weight, bias)
    product = (weight @ vectors.T).T
    return product if bias is None else product + bias
