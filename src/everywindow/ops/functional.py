"""The tensor operations that converted networks need beside ATen's: any number of axes, dilation everywhere.

All are differentiable and hold no state. ``dim`` counts physical dimensions; lengths are positions of the map.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from math import prod

import torch
from torch import Tensor
from torch.nn import functional as F

from everywindow.kernels import every, taps

MANY_TAPS = 3
"""Boxes with more taps are combined by doubling: 56 taps take 7 calls in place of 55."""


def euclidean(x: Tensor, dims: Sequence[int], keepdim: bool) -> Tensor:
    """The Euclidean norm over some dimensions."""
    norm: Tensor = torch.linalg.vector_norm(x, 2, list(dims), keepdim)
    return norm


REDUCTIONS: dict[str, Callable[..., Tensor]] = {
    "mean": torch.ops.aten.mean.dim,
    "sum": torch.ops.aten.sum.dim_IntList,
    "amax": torch.ops.aten.amax.default,
    "amin": torch.ops.aten.amin.default,
    "norm": euclidean,
}


def window_counts(image: Tensor, window: Sequence[int], stride: Sequence[int]) -> list[int]:
    """Windows per axis of an image batch ``[N, C, *size]``."""
    sizes = image.shape[2:]
    return [(size - extent) // step + 1 for size, extent, step in zip(sizes, window, stride, strict=True)]


def rearrange(x: Tensor, splits: Sequence[Sequence[int]], order: Sequence[int], groups: Sequence[int]) -> Tensor:
    """Split, permute and merge dimensions: see :class:`everywindow.ops.form.Rearrangement`."""
    pieces: list[int] = []
    for size, split in zip(x.shape, splits, strict=True):
        known = prod(part for part in split if part > 0)
        pieces += [size if part == 0 else size // known if part < 0 else part for part in split]
    x = x.reshape(pieces).permute(list(order))
    merged, start = [], 0
    for group in groups:
        merged.append(prod(x.shape[start : start + group]))
        start += group
    return x.reshape(merged)


def axis_first(x: Tensor, dim: int, at: int) -> Tensor:
    """A spatial axis behind the batch, and a dimension of size 1 for what stood at ``at``."""
    return x.movedim(dim, 1).unsqueeze(1 + at)


def cut_to(x: Tensor, dim: int, others: Sequence[tuple[Tensor, int]]) -> Tensor:
    """The leading part of ``x`` that is as long as the shortest of others, each along a dimension of its own."""
    return x.narrow(dim, 0, reduce(torch.sym_min, (other.shape[at] for other, at in others)))


def pad(x: Tensor, amounts: Sequence[Sequence[int]], value: float) -> Tensor:
    """Constant padding; ``amounts`` holds ``(dim, low, high)``, negative amounts remove positions."""
    flat = [0, 0] * x.ndim
    for dim, low, high in amounts:
        at = 2 * (x.ndim - 1 - dim)
        flat[at : at + 2] = [low, high]
    return F.pad(x, flat, value=value)


def box_sum(x: Tensor, dim: int, kernel: int, dilation: int, stride: int) -> Tensor:
    """Sum over the taps of a kernel along one dimension, see :func:`wide`."""
    return box_reduce(torch.add, wide(x), dim, kernel, dilation, stride)


def wide(x: Tensor) -> Tensor:
    """What sums of it are added up in, as torch does: half precisions in float32, the rest in its own dtype.

    Whoever sums brings the final result back.
    """
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def box_max(x: Tensor, dim: int, kernel: int, dilation: int, stride: int) -> Tensor:
    """Largest value over the taps of a kernel along one dimension."""
    return box_reduce(torch.maximum, x, dim, kernel, dilation, stride)


def box_reduce(
    combine: Callable[[Tensor, Tensor], Tensor], x: Tensor, dim: int, kernel: int, dilation: int, stride: int
) -> Tensor:
    """The taps of a kernel along one dimension, combined: at every position by doubling, else one after the other."""
    if stride > 1 or kernel <= MANY_TAPS:
        return reduce(combine, taps(x, dim, kernel, dilation, stride))
    length = x.shape[dim] - dilation * (kernel - 1)
    parts, taken, size = [], 0, 1
    while True:
        if kernel & size:
            parts.append(x.narrow(dim, taken * dilation, length))
            taken += size
        if taken == kernel:
            return reduce(combine, parts)
        shift = size * dilation
        left = x.shape[dim] - shift
        x = combine(x.narrow(dim, 0, left), x.narrow(dim, shift, left))
        size *= 2


def average_pool(
    x: Tensor, axes: Sequence[Sequence[int]], counted_padding: Sequence[Sequence[int]], divisor: int | None
) -> Tensor:
    """Average pooling with dilation, padding that differs by side, and windows that hang over the end.

    Args:
        x: the map.
        axes: per pooled axis ``(dim, kernel, dilation, stride, pad_low, pad_high)``.
        counted_padding: per pooled axis the positions before and after the map that count as zeros; what lies
            farther out is neither added nor counted.
        divisor: divide by this in place of the count.
    """
    dtype = x.dtype
    for (dim, kernel, dilation, stride, low, high), counted in zip(axes, counted_padding, strict=True):
        length = x.shape[dim]
        x = box_sum(pad(x, [(dim, low, high)], 0.0), dim, kernel, dilation, stride)
        if divisor is None:
            count = _tap_count(x.shape[dim], length, (kernel, dilation, stride, low), counted, x)
            x = x / count.reshape([-1] + [1] * (x.ndim - 1 - dim))
    return (x if divisor is None else x / divisor).to(dtype)


def _tap_count(outputs: int, length: int, op: Sequence[int], counted: Sequence[int], like: Tensor) -> Tensor:
    """How many taps of each output lie on the map or its counted padding."""
    kernel, dilation, stride, low = op
    starts = torch.arange(outputs, device=like.device) * stride - low
    seen = starts[:, None] + torch.arange(kernel, device=like.device) * dilation
    inside = (seen >= -counted[0]) & (seen < length + counted[1])
    return inside.sum(1).to(like.dtype)


def window_reduce(
    x: Tensor, features: Sequence[int], axes: Sequence[Sequence[int]], counts: Sequence[int], kind: str
) -> Tensor:
    """Mean, sum, largest or smallest value over each window, axis by axis.

    ``axes`` holds per axis ``(dim, positions in the window, dilation, step between windows)``; the axes stay
    where they are, with one position per window. ``features`` are dimensions that are reduced beside them, to size 1.
    """
    dtype = x.dtype
    if kind == "norm":
        x = wide(x).square()
    if features:
        x = REDUCTIONS[_SUMMED.get(kind, kind)](wide(x), list(features), True)
    for (dim, kernel, dilation, step), count in zip(axes, counts, strict=True):
        if kind == "amin":
            x = box_reduce(torch.minimum, x, dim, kernel, dilation, step)
        elif kind == "amax":
            x = box_max(x, dim, kernel, dilation, step)
        else:
            x = box_sum(x, dim, kernel, dilation, step)
        x = x.narrow(dim, 0, count)
        x = x / kernel if kind == "mean" else x
    return (x.sqrt() if kind == "norm" else x).to(dtype)


_SUMMED = {"norm": "sum"}
"""What is done with the squares of a norm."""


def windows_to_batch(x: Tensor, axes: Sequence[Sequence[int]], counts: Sequence[int]) -> Tensor:
    """Axes with one position per window into the batch: ``[N, C, rows, cols]`` to ``[N·rows·cols, C]``.

    ``axes`` holds per axis ``(dim, step between windows)``.
    """
    for (dim, step), count in zip(axes, counts, strict=True):
        x = every(x, dim, step).narrow(dim, 0, count)
    moved = [dim for dim, _ in axes]
    rest = [dim for dim in range(1, x.ndim) if dim not in moved]
    x = x.permute([0, *moved, *rest])
    if torch.compiler.is_exporting():  # whether flattening copies must not depend on the number of windows
        x = x.clone(memory_format=torch.contiguous_format)
    return x.flatten(0, len(moved))


def positions_left(x: Tensor, dim: int, reach: int) -> int:
    """Positions along a dimension that have so many behind them."""
    return x.shape[dim] - reach


def around_positions(
    x: Tensor, image: Tensor, counts: Sequence[int], back: Sequence[tuple[int, int, int, int, Tensor]]
) -> Tensor:
    """Values of windows in the batch at the positions that those lie around: ``[N·rows·cols, C, 1, 1]`` to a map.

    A position too near the map's border for a window around it takes the nearest window's value.

    Args:
        x: the batch, and behind it the dimensions of the map, of size 1 where an axis is to come back.
        image: tells the size of the batch.
        counts: windows along each axis that has gone into the batch, in that order.
        back: for each axis that comes back: its number among these, the map's dimension, the positions in a window,
            those of the map between them, and the map.
    """
    gone = len(counts)
    x = x.reshape([image.shape[0], *counts, *x.shape[1:]])
    for which, dim, n, dilation, like in back:
        x = nearest_window(x, 1 + which, n, dilation, like.shape[dim])
    places = {dim: 1 + which for which, dim, *_ in back}
    kept = [1 + which for which in range(gone) if 1 + which not in places.values()]
    spatial = [gone + dim for dim in sorted(places, reverse=True)]
    dims = [places.get(dim, gone + dim) for dim in range(1, x.ndim - gone)]
    x = x.permute([0, *kept, *dims, *reversed(spatial)])
    for _ in spatial:
        x = x.squeeze(-1)
    return x.flatten(0, len(kept)) if kept else x


def nearest_window(x: Tensor, dim: int, n: int, dilation: int, length: int) -> Tensor:
    """From a value for each window to one for each of ``length`` positions: that of the window around it.

    Of the windows that have the position among their ``n``, each ``dilation`` after the one before, it is the one
    with it nearest to the middle. Where the map ends before such a window does, it is the last one that fits.
    """
    places = torch.arange(length, device=x.device)
    last = x.shape[dim] - 1
    latest = last - torch.remainder(last - places, dilation)
    first = torch.minimum(places - (n - 1) // 2 * dilation, latest)
    first = torch.maximum(first, torch.remainder(places, dilation))
    return x.index_select(dim, first.clamp(0, last))


def norm_around(
    x: Tensor,
    groups: int,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
    axes: Sequence[tuple[int, int, int]],
) -> Tensor:
    """Group normalisation of ``[N, C, *map]`` with the statistics of the window around each position.

    ``axes`` holds per spatial axis ``(dim, positions in a window, dilation)``, channels stand in dimension 1.
    """
    parts = wide(x).unflatten(1, (groups, -1))
    count = parts.shape[2] * prod(n for _, n, _ in axes)
    # Squares of small numbers lose less.
    parts = parts - parts.mean([2, *(1 + dim for dim, _, _ in axes)], keepdim=True)
    total, squares = parts.sum(2), parts.square().sum(2)
    for dim, n, dilation in axes:
        total, squares = (box_sum(value, dim, n, dilation, 1) for value in (total, squares))
    mean = total / count
    scale = (squares / count - mean.square()).clamp_min(0).add(eps).rsqrt()
    for dim, n, dilation in axes:
        mean, scale = (nearest_window(value, dim, n, dilation, x.shape[dim]) for value in (mean, scale))
    made = ((parts - mean.unsqueeze(2)) * scale.unsqueeze(2)).flatten(1, 2).to(x.dtype)
    shape = [-1] + [1] * (x.ndim - 2)
    made = made if weight is None else made * weight.reshape(shape)
    return made if bias is None else torch.add(made, bias.reshape(shape))


def gather_windows(
    x: Tensor,
    axes: Sequence[Sequence[int]],
    counts: Sequence[int],
    order: Sequence[int],
    tail_dims: Sequence[int],
) -> Tensor:
    """Each window's flattened vector: ``[N, rows, cols, C]`` to ``[N·rows·cols, C·h·w]``, in the flatten's order.

    Args:
        x: batch, then the spatial axes, then the other dimensions (see :mod:`everywindow.ops.form`).
        axes: per axis ``(positions in the window, dilation, step between windows)``.
        counts: windows per axis.
        order: what the vector is made of, outermost first: ``a ≥ 0`` is the a-th axis, ``-s`` features of size s.
        tail_dims: sizes of the other dimensions, where the vector stands among them as 0.
    """
    windows = _window_views(x, [(1 + index, *axis) for index, axis in enumerate(axes)], counts)
    parts = _vector_parts(windows, order, tail_dims, len(axes))
    return parts.reshape([-1, *(prod(-s if s < 0 else axes[s][0] for s in order) if d == 0 else d for d in tail_dims)])


def gather_maps(x: Tensor, axes: Sequence[Sequence[int]], counts: Sequence[int]) -> Tensor:
    """Each window's own part of a map: ``[N, C, h, w]`` to ``[N·rows·cols, C, n, m]``, any order of dimensions.

    ``axes`` holds per axis ``(dim, positions in the window, dilation, step between windows)``.
    """
    inside = {dim: x.ndim + index for index, (dim, *_) in enumerate(axes)}
    order = [inside.get(dim, dim) for dim in range(1, x.ndim)]
    return _window_views(x, axes, counts).permute([0, *inside, *order]).flatten(0, len(axes))


def _window_views(x: Tensor, axes: Sequence[Sequence[int]], counts: Sequence[int]) -> Tensor:
    """All windows as a view: the positions inside the window as new last dimensions, one per axis.

    ``axes`` holds per axis ``(dim, positions in the window, dilation, step between windows)``.
    """
    for (dim, kernel, dilation, step), count in zip(axes, counts, strict=True):
        x = x.unfold(dim, dilation * (kernel - 1) + 1, step).narrow(dim, 0, count)
        x = every(x, x.ndim - 1, dilation)
    return x


def _vector_parts(windows: Tensor, order: Sequence[int], tail_dims: Sequence[int], axes: int) -> Tensor:
    """The views with the parts of the vector in its order."""
    features = [-part for part in order if part < 0]
    at = 1 + axes + list(tail_dims).index(0)
    windows = windows.unflatten(at, features) if features else windows.squeeze(at)
    extra = len(features)
    first_inside = windows.ndim - axes
    feature_dims = iter(range(at, at + extra))
    vector = [next(feature_dims) if part < 0 else first_inside + part for part in order]
    before, after = range(at), range(at + extra, first_inside)
    return windows.permute([*before, *vector, *after])


def spread(x: Tensor, image: Tensor, counts: Sequence[int], axes: Sequence[int]) -> Tensor:
    """Scores of the windows in the batch as a map: ``[N·rows·cols, K]`` to ``[N, K, rows, cols]``.

    ``image`` tells the size of the batch, ``axes`` holds the spatial axes in the order in which they went into it.
    """
    x = x.reshape([image.shape[0], *(counts[axis] for axis in axes), *x.shape[1:]])
    if x.ndim == 1 + len(axes):
        x = x.unsqueeze(-1)
    where = [1 + axes.index(axis) for axis in range(len(axes))]
    rest = range(1 + len(axes), x.ndim)
    return x.permute([0, *rest, *where])
