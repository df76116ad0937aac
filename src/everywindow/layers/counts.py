"""What the matrix of a convolution holds, counted without building it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from torch import Tensor

from everywindow.layers.reads import Convolution, Layout, Reads, layout


@dataclass(frozen=True)
class MatrixCounts:
    """The fully connected layer that equals a convolution on an input of one size: its matrix, counted.

    Attributes:
        outputs, inputs: rows and columns of the matrix.
        entries: of the matrix: weights of a fully connected layer between the same maps, and its mult-adds.
        zeros: entries that are zero (sparse interaction).
        distinct: different values among the others (parameter sharing).
        params: weights of the convolution.
        inputs_per_output: inputs that an output sees, at most; a fully connected one sees all.
        outputs_per_input: outputs that an input feeds, at most.
        uses_per_weight: products that a weight takes part in, on average; 1 in a fully connected layer.

    Biases are not counted.
    """

    outputs: int
    inputs: int
    entries: int
    zeros: int
    distinct: int
    params: int
    inputs_per_output: int
    outputs_per_input: int
    uses_per_weight: float

    @property
    def nonzeros(self) -> int:
        """Entries that are not zero."""
        return self.entries - self.zeros


def matrix_counts(conv: Convolution, input_size: int | Sequence[int]) -> MatrixCounts:
    """Count zeros, distinct values and weights of the matrix that a convolution is on a flattened map.

    The matrix is not built, so any size will do.

    Args:
        conv: an ``nn.Conv1d``, ``nn.Conv2d`` or ``nn.Conv3d``, of any settings.
        input_size: positions of its input, an int or one per axis.

    Raises:
        InputError: no convolution, or its kernel does not fit.

    >>> from torch import nn
    >>> counts = matrix_counts(nn.Conv2d(1, 1, 2, bias=False), 32)
    >>> counts.entries // counts.params, counts.inputs_per_output, counts.distinct
    (246016, 4, 4)
    """
    made = layout(conv, input_size if isinstance(input_size, int) else tuple(input_size))
    values, times = _values(conv.weight.detach(), made)
    shown = values != 0
    nonzeros = int((shown.numpy() * times).sum())
    return MatrixCounts(
        outputs=made.rows,
        inputs=made.columns,
        entries=made.rows * made.columns,
        zeros=made.rows * made.columns - nonzeros,
        distinct=int(values[shown].unique().numel()),
        params=conv.weight.numel(),
        inputs_per_output=made.channels // made.groups * prod(_most(axis.outputs, axis) for axis in made.axes),
        outputs_per_input=made.out_channels // made.groups * prod(_most(axis.inputs, axis) for axis in made.axes),
        uses_per_weight=made.reads / conv.weight.numel(),
    )


def _pairs(axis: Reads) -> tuple[np.ndarray, np.ndarray]:
    """For each output and input that meet, in order: their number, and the place of its first tap when so sorted."""
    met = axis.outputs * axis.size + axis.inputs
    order = np.lexsort((axis.taps, met))
    return order, np.flatnonzero(np.diff(met[order], prepend=-1))


def _most(of: np.ndarray, axis: Reads) -> int:
    """Most partners of an output (or input) along an axis; two taps on one input are one."""
    order, starts = _pairs(axis)
    return int(np.bincount(of[order[starts]]).max(initial=0))


def _values(weight: Tensor, made: Layout) -> tuple[Tensor, np.ndarray]:
    """All values that entries off padding have, ``[out, in, *sets]``, and how often those of the sets occur.

    An entry is the sum of the weights of the taps that bring this input to this output: with copies at the border they
    may be several along an axis. Along each axis only so many sets of taps occur.
    """
    values, times = weight.cpu(), np.ones((), dtype=np.int64)
    for axis in made.axes:
        sets = _tap_sets(axis)
        chosen = torch.zeros(len(sets), axis.kernel, dtype=values.dtype)
        for row, taps in enumerate(sets):
            chosen[row, list(taps)] = 1
        values = torch.tensordot(values, chosen, dims=([2], [1]))  # the axis goes last, so the next is third again
        times = np.multiply.outer(times, np.array(list(sets.values()), dtype=np.int64))
    return values, times


def _tap_sets(axis: Reads) -> Counter[tuple[int, ...]]:
    """The sets of taps by which an input comes to an output, and for how many pairs each does."""
    order, starts = _pairs(axis)
    groups = np.split(axis.taps[order], starts[1:])
    single = np.array([group[0] for group in groups if len(group) == 1], dtype=np.int64)
    sets: Counter[tuple[int, ...]] = Counter(
        {(tap,): int(count) for tap, count in enumerate(np.bincount(single)) if count}
    )
    sets.update(tuple(int(tap) for tap in group) for group in groups if len(group) > 1)
    return sets
