"""Operations on the shared values of a rectangle of windows, block by block.

Such a value has the dimensions of one window's, a batch of one, and along each spatial axis a row of
:class:`everywindow.geometry.Positions`. It lies in memory with the spatial axes first and the features last, so
that whatever is gathered is moved in runs of features.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from everywindow.geometry import FILL, Positions, Slabs

CHUNK = 2**23
"""Elements gathered at a time: few enough to stay near the processor, enough for it to be busy."""

FEW_FEATURES, KEPT_POSITIONS = 32, 2**19
"""With so few features at a position, to find positions takes about as long as to move them: so many are kept found."""


class Workspace(threading.local):
    """Memory that gathered slabs are put into, over and over; each thread has its own."""

    def __init__(self) -> None:
        self._buffers: dict[tuple[torch.dtype, torch.device], Tensor] = {}

    def take(self, elements: int, like: Tensor) -> Tensor:
        """So many elements, with anything in them; valid until the next call in this thread."""
        key = (like.dtype, like.device)
        if key not in self._buffers or self._buffers[key].numel() < elements:
            self._buffers.pop(key, None)
            self._buffers[key] = torch.empty(elements, dtype=like.dtype, device=like.device)
        return self._buffers[key][:elements]


WORKSPACE = Workspace()


class Block:
    """A rectangle of an op's output, with one segment of each axis, and the slabs that it is made of.

    Attributes:
        parts: per spatial axis the segment and what it reads.
        spans: per axis first position and one after the last, where a single slab is a rectangle of the input.
        cut: the axis whose pieces are done in turns, where not all fit at a time.
    """

    def __init__(self, parts: Sequence[Slabs], lengths: Sequence[int]) -> None:
        self.parts = tuple(parts)
        spans = [part.span for part in self.parts]
        self.spans = [span for span in spans if span is not None] if all(spans) else None
        self.cut = max(range(len(self.parts)), key=lambda axis: len(self.parts[axis].index))
        self._index = Index([part.index for part in self.parts], lengths)
        self._fills = [part.fills() for part in self.parts]

    @property
    def slab_shape(self) -> tuple[int, ...]:
        """Pieces per axis, then positions of a slab per axis."""
        return tuple(len(part.index) for part in self.parts) + tuple(part.index.shape[1] for part in self.parts)

    def turns(self, features: int) -> Iterator[tuple[slice, ...]]:
        """The pieces per axis that are done at a time, for so many features at a position."""
        shape = self.slab_shape
        everyone = [slice(0, count) for count in shape[: len(self.parts)]]
        pieces = shape[self.cut]
        step = max(1, CHUNK * pieces // max(1, prod(shape) * features)) if self.spans is None else pieces
        for first in range(0, pieces, step):
            everyone[self.cut] = slice(first, min(first + step, pieces))
            yield tuple(everyone)

    def gathered(self, rows: Tensor, pieces: Sequence[slice], fill: float) -> Tensor:
        """Slabs ``[*pieces, *slab, features]`` out of ``[positions, features]``."""
        axes = len(self.parts)
        index = self._index.flat(rows.device, pieces, keep=rows.shape[1] <= FEW_FEATURES)
        shape = (*index.shape, rows.shape[1])
        buffer = WORKSPACE.take(prod(shape), rows)
        slab = torch.index_select(rows, 0, index.reshape(-1), out=buffer.view(-1, rows.shape[1])).view(shape)
        for axis, rectangles in enumerate(self._fills):
            for which, positions in rectangles:
                where: list[slice] = [slice(None)] * (2 * axes)
                where[axis], where[axes + axis] = _within(which, pieces[axis]), positions
                slab[tuple(where)] = fill
        return slab


def _within(part: slice, whole: slice) -> slice:
    """A range counted from the start of another."""
    return slice(max(part.start - whole.start, 0), max(part.stop - whole.start, 0))


class Index:
    """Where the positions of slabs lie among all positions of a value; made when needed, for it can be large.

    Args:
        indices: per axis ``[pieces, slab]``.
        lengths: per axis the positions of the value.
    """

    def __init__(self, indices: Sequence[NDArray[np.int64]], lengths: Sequence[int]) -> None:
        small = np.int32 if prod(lengths) < 2**31 else np.int64
        scaled = [np.maximum(index, 0) * prod(lengths[axis + 1 :]) for axis, index in enumerate(indices)]
        self._kept: dict[tuple[torch.device, tuple[tuple[int, int], ...]], Tensor] = {}
        self._indices = {torch.device("cpu"): [torch.from_numpy(index.astype(small)) for index in scaled]}

    def flat(self, device: torch.device, pieces: Sequence[slice], keep: bool = False) -> Tensor:
        """``[*pieces, *slab]``; kept for the next scan where that is asked for and not too large."""
        key = (device, tuple((which.start, which.stop) for which in pieces))
        found = self._kept.get(key)
        if found is None:
            found = self._made(device, pieces)
            if keep and found.numel() <= KEPT_POSITIONS:
                self._kept[key] = found
        return found

    def _made(self, device: torch.device, pieces: Sequence[slice]) -> Tensor:
        if device not in self._indices:
            here = self._indices[torch.device("cpu")]
            self._indices[device] = [index.to(device) for index in here]
        axes = len(pieces)
        total: Tensor | None = None
        for axis, (index, which) in enumerate(zip(self._indices[device], pieces, strict=True)):
            part = index[which]
            shape = [1] * (2 * axes)
            shape[axis], shape[axes + axis] = part.shape
            part = part.reshape(shape)
            total = part if total is None else total + part
        assert total is not None
        return total


class Moves:
    """A local op over all blocks of a value.

    Args:
        parts: per spatial axis the slabs of every segment of the output.
        source, target: the positions of input and output, per spatial axis.
        dims: where the spatial axes are among the dimensions, before and after.
    """

    def __init__(
        self,
        parts: Sequence[Sequence[Slabs]],
        source: Sequence[Positions],
        target: Sequence[Positions],
        dims: Sequence[int],
    ) -> None:
        self._lengths = [row.length for row in target]
        self._dims = list(dims)
        self.blocks = tuple(Block(combination, [row.length for row in source]) for combination in product(*parts))

    def run(self, x: Tensor, fill: float, apply: Callable[[Tensor], Tensor]) -> Tensor:
        """The op on every block; ``apply`` takes slabs as a batch, without padding."""
        rows = features_last(x, self._dims)
        out: Tensor | None = None
        for block in self.blocks:
            for pieces in block.turns(_features(rows, len(self._dims))):
                made = apply(self._slab(rows, block, pieces, fill))
                if out is None:
                    out = self._empty(made)
                self._put(out, made, block, pieces)
        assert out is not None
        return out.permute(_inverse(_order(out.ndim, self._dims)))

    def _slab(self, rows: Tensor, block: Block, pieces: Sequence[slice], fill: float) -> Tensor:
        axes = len(self._dims)
        if block.spans is not None:
            part = rows
            for axis, (start, stop) in enumerate(block.spans):
                part = part.narrow(axis, start, stop - start)
            return part.permute(_inverse(_order(part.ndim, self._dims)))
        flat = rows.reshape(-1, _features(rows, axes))
        slab = block.gathered(flat, pieces, fill)
        count, inside = slab.shape[:axes], slab.shape[axes : 2 * axes]
        slab = slab.view(prod(count), *inside, *rows.shape[axes + 1 :])
        return slab.permute(_back_from_batch(slab.ndim, self._dims))

    def _empty(self, made: Tensor) -> Tensor:
        """The output with the spatial axes first, then the batch of one, then the features."""
        features = [size for dim, size in enumerate(made.shape) if dim not in (0, *self._dims)]
        return made.new_empty((*self._lengths, 1, *features))

    def _put(self, out: Tensor, made: Tensor, block: Block, pieces: Sequence[slice]) -> None:
        axes = len(self._dims)
        counts = [which.stop - which.start for which in pieces]
        target = out.squeeze(axes)
        for axis, part in enumerate(block.parts):
            length = part.segment.length
            start = part.segment.first + pieces[axis].start * length
            target = target.narrow(axis, start, counts[axis] * length)
        for axis, part in enumerate(block.parts):
            target = target.unflatten(2 * axis, (counts[axis], part.segment.length))
        rest = [dim for dim in range(1, made.ndim) if dim not in self._dims]
        source = made.permute([0, *self._dims, *rest]).unflatten(0, counts)
        paired = [dim for axis in range(axes) for dim in (axis, axes + axis)]
        target.copy_(source.permute([*paired, *range(2 * axes, source.ndim)]))


def features_last(x: Tensor, dims: Sequence[int]) -> Tensor:
    """The spatial dimensions first, then the others; contiguous."""
    return x.permute(_order(x.ndim, dims)).contiguous()


def settled(x: Tensor, dims: Sequence[int]) -> Tensor:
    """The same value, in memory as gathering takes it."""
    return features_last(x, dims).permute(_inverse(_order(x.ndim, dims)))


class Flat:
    """Positions picked along every spatial axis at once.

    Args:
        dims: the spatial dimensions.
        indices: per axis the position to copy, :data:`FILL` for padding.
        lengths: per axis the positions of the input.
    """

    def __init__(self, dims: Sequence[int], indices: Sequence[NDArray[np.int64]], lengths: Sequence[int]) -> None:
        self._dims = tuple(dims)
        self._shape = tuple(len(index) for index in indices)
        self._fills = [_ranges(index == FILL) for index in indices]
        self._index = Index([index[:, None] for index in indices], lengths)

    def __call__(self, x: Tensor, fill: float) -> Tensor:
        """The picked positions, as a tensor of its own."""
        rows = features_last(x, self._dims)
        axes = len(self._dims)
        flat = rows.reshape(-1, _features(rows, axes))
        picked = flat.new_empty((*self._shape, flat.shape[1]))
        step = max(1, CHUNK // max(1, prod(self._shape[1:]) * flat.shape[1]))
        for first in range(0, self._shape[0], step):
            count = min(step, self._shape[0] - first)
            pieces = [slice(first, first + count), *(slice(0, length) for length in self._shape[1:])]
            index = self._index.flat(x.device, pieces).reshape(-1)
            torch.index_select(flat, 0, index, out=picked[first : first + count].view(-1, flat.shape[1]))
        for axis, ranges in enumerate(self._fills):
            for first, stop in ranges:
                picked.narrow(axis, first, stop - first).fill_(fill)
        return picked.view(*self._shape, *rows.shape[axes:]).permute(_inverse(_order(x.ndim, self._dims)))


def _ranges(wanted: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Ranges of neighbouring positions that are wanted."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], wanted, [False]]).astype(np.int8)))
    return [(int(first), int(stop)) for first, stop in edges.reshape(-1, 2)]


def windows_of(x: Tensor, dims: Sequence[int], tables: Sequence[Tensor], members: Tensor) -> Tensor:
    """The value of single windows: ``[batch, dimensions of a window]``.

    Args:
        x: the shared value.
        dims: its spatial dimensions.
        tables: per axis ``[windows, n]``, where the positions of a window lie.
        members: per window of the batch its place on each axis: ``[batch, axes]``.
    """
    rows = features_last(x, dims)
    axes = len(dims)
    flat = tables[0].new_zeros((), dtype=torch.int32 if prod(rows.shape[:axes]) < 2**31 else torch.int64)
    for axis, table in enumerate(tables):
        shape = [len(members)] + [1] * axes
        shape[1 + axis] = table.shape[1]
        flat = flat * rows.shape[axis] + table[members[:, axis]].reshape(shape)
    picked = rows.reshape(-1, _features(rows, axes)).index_select(0, flat.reshape(-1))
    picked = picked.view(*flat.shape, *rows.shape[axes + 1 :])
    return picked.permute(_back_from_batch(picked.ndim, dims))


def _features(rows: Tensor, axes: int) -> int:
    return prod(rows.shape[axes:])


def _order(ndim: int, dims: Sequence[int]) -> list[int]:
    """Spatial dimensions, then the others."""
    return [*dims, *(dim for dim in range(ndim) if dim not in dims)]


def _inverse(order: Sequence[int]) -> list[int]:
    return [list(order).index(dim) for dim in range(len(order))]


def _back_from_batch(ndim: int, dims: Sequence[int]) -> list[int]:
    """From batch, spatial axes, features to the dimensions of a window."""
    rest = [dim for dim in range(1, ndim) if dim not in dims]
    return _inverse([0, *dims, *rest])


__all__ = ["FILL", "Block", "Flat", "Moves", "features_last", "windows_of"]
