"""The matrix of a convolution, drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from everywindow.errors import InputError
from everywindow.layers.counts import MatrixCounts, matrix_counts
from everywindow.layers.reads import Convolution, Layout, layout
from everywindow.layers.to_linear import matrix

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_ENTRIES = 2**22
"""Entries of a matrix beyond which a drawing shows nothing any more."""

LEGIBLE = 60
"""Cells along a side up to which each has a border."""

COLOURS, PAPER, RULE = "turbo", "#f4f4f1", "#8a8a86"


def toeplitz_figure(conv: Convolution, input_size: int | Sequence[int]) -> Figure:
    """Draw the fully connected matrix that a convolution is: one row per output, one column per input.

    Each different value has a colour, the same wherever it is repeated; zeros are blank. The kernel stands beside it in
    the same colours. Lines part the rows of the maps (the blocks of a doubly blocked Toeplitz matrix), heavier ones the
    channels.

    Args:
        conv: an ``nn.Conv1d``, ``nn.Conv2d`` or ``nn.Conv3d`` of any settings.
        input_size: positions of its input, an int or one per axis; small ones can be read.

    Returns:
        A matplotlib figure; ``.savefig("matrix.png")`` writes it.

    Raises:
        InputError: no convolution, its kernel does not fit, or the matrix has more than four million entries.

    >>> from torch import nn
    >>> toeplitz_figure(nn.Conv2d(1, 1, 3), 6).axes[1].get_title(loc="left")
    '432 of 576 entries are zero; 9 different values stand in the other 144'
    """
    from matplotlib.figure import Figure

    made = layout(conv, input_size if isinstance(input_size, int) else tuple(input_size))
    if made.rows * made.columns > MOST_ENTRIES:
        why = f"a matrix of {made.rows:,}×{made.columns:,} is too large to be drawn"
        raise InputError("input_size", why, "give a smaller one; matrix_counts takes any size")
    entries = matrix(conv, made).double().cpu().numpy()
    values = np.unique(entries[entries != 0])
    kernel = _as_picture(conv.weight.detach().double().cpu())
    width, height = _figure_size(made)
    drawn = Figure(figsize=(width + 2.6, height + 0.9), dpi=120, layout="constrained")
    drawn.get_layout_engine().set(w_pad=0.12)  # type: ignore[union-attr, call-arg]
    left, right = drawn.subplots(1, 2, width_ratios=[2.2, width])
    _draw_kernel(left, kernel, values, conv)
    _draw_matrix(right, entries, values, made)
    right.set_title(_told(matrix_counts(conv, [axis.size for axis in made.axes])), loc="left", fontsize=10)
    return drawn


def _told(counts: MatrixCounts) -> str:
    return (
        f"{counts.zeros:,} of {counts.entries:,} entries are zero; "
        f"{counts.distinct:,} different values stand in the other {counts.nonzeros:,}"
    )


def _figure_size(made: Layout) -> tuple[float, float]:
    """Inches of the matrix, in its own proportions where these can be drawn."""
    ratio = min(max(made.rows / made.columns, 0.3), 1.4)
    return 7.2, 7.2 * ratio


def _as_picture(weight: torch.Tensor) -> np.ndarray:
    """Weights ``[out, in, *kernel]`` as one table: filters below one another, what they take of each channel beside."""
    while weight.ndim < 4:
        weight = weight.unsqueeze(2)
    weight = weight.flatten(2, -2)
    out, channels, rows, columns = weight.shape
    spaced = np.full((out * (rows + 1) - 1, channels * (columns + 1) - 1), np.nan)
    for at in range(out):
        for channel in range(channels):
            top, start = at * (rows + 1), channel * (columns + 1)
            spaced[top : top + rows, start : start + columns] = weight[at, channel].numpy()
    return spaced


def _coloured(table: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The colour of each entry, by the rank of its value: near values stay apart. Zeros and gaps are paper."""
    from matplotlib import colormaps
    from matplotlib.colors import to_rgb

    colours = colormaps[COLOURS](np.linspace(0.1, 0.9, max(1, len(values))))[:, :3]
    picture = np.empty((*table.shape, 3))
    picture[:] = to_rgb(PAPER)
    known = np.isin(table, values)
    picture[known] = colours[np.searchsorted(values, table[known])]
    picture[np.isnan(table)] = 1
    return picture


def _draw_kernel(axes: Axes, kernel: np.ndarray, values: np.ndarray, conv: Convolution) -> None:
    axes.imshow(_coloured(kernel, values), interpolation="nearest")
    axes.set_title(
        "the kernel" if conv.out_channels * conv.in_channels == 1 else "the kernels", loc="left", fontsize=10
    )
    axes.axis("off")
    if max(kernel.shape) > 8:
        return
    for (row, column), value in np.ndenumerate(kernel):
        if not np.isnan(value):
            place = (len(values) and np.searchsorted(values, value) / max(1, len(values) - 1)) or 0
            ink = "black" if 0.15 < place < 0.8 else "white"
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color=ink)


def _draw_matrix(axes: Axes, entries: np.ndarray, values: np.ndarray, made: Layout) -> None:
    axes.imshow(_coloured(entries, values), interpolation="nearest", aspect="auto")
    axes.set_xlabel(f"input: {_named(made.channels, [axis.size for axis in made.axes])} = {made.columns:,}")
    axes.set_ylabel(f"output: {_named(made.out_channels, [axis.outs for axis in made.axes])} = {made.rows:,}")
    axes.tick_params(labelsize=8)
    if max(made.rows, made.columns) <= LEGIBLE:
        _rule(axes, 1, made.columns, "v", linewidth=0.3, color="white")
        _rule(axes, 1, made.rows, "h", linewidth=0.3, color="white")
    line = (made.axes[-1].size, made.axes[-1].outs)
    channel = (made.columns // made.channels, made.rows // made.out_channels)
    for steps, style in ((line, {"linewidth": 0.5}), (channel, {"linewidth": 1.4})):
        _rule(axes, steps[0], made.columns, "v", color=RULE, **style)
        _rule(axes, steps[1], made.rows, "h", color=RULE, **style)


def _rule(axes: Axes, step: int, length: int, way: str, **style: Any) -> None:
    """Lines between cells, every ``step`` of them, where they leave room."""
    places = [at - 0.5 for at in range(step, length, step)]
    if len(places) > LEGIBLE:
        return
    for place in places:
        (axes.axvline if way == "v" else axes.axhline)(place, **style)


def _named(channels: int, sizes: list[int]) -> str:
    return "×".join(str(n) for n in ([channels, *sizes] if channels > 1 or len(sizes) == 1 else sizes))
