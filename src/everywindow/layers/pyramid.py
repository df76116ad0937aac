"""A vector of one length from an input of any size."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from everywindow.errors import InputError
from everywindow.layers.boxes import ADAPTIVE, Reduce, Sizes, axes_of, checked, checked_reduce, sizes


class SpatialPyramidPool(nn.Module):
    """Spatial pyramid pooling (He et al., 2014): a vector of one length from an input of any size.

    Each level cuts the input into so many bins per axis and takes the maximum or mean of each. Takes ``[N, C, *axes]``
    with one, two or three axes and gives ``[N, C * Σ bins]``: level after level, each flattened channels first. The
    bins are those of torch's adaptive pooling: they cover the input, and may share a position where it does not divide.

    torch exports the bins of maxima to ONNX only where they divide the input; those of means always.

    Args:
        levels: bins per axis, for each level an int or one per axis.
        reduce: ``"max"``, as in the paper, or ``"mean"``.

    Raises:
        InputError: no level, one that is not positive, or another word.

    >>> import torch
    >>> [SpatialPyramidPool((1, 2, 4))(torch.rand(1, 8, n, n)).shape[1] for n in (13, 30)]  # 8 * (1 + 4 + 16)
    [168, 168]
    """

    def __init__(self, levels: Sequence[Sizes] = (1, 2, 4), reduce: Reduce = "max") -> None:
        super().__init__()
        if isinstance(levels, int) or not levels:
            raise InputError("levels", f"{levels!r} is no list of levels", "give bins per axis, such as (1, 2, 4)")
        self.levels = tuple(checked("levels", level) for level in levels)
        self.reduce = checked_reduce(reduce)

    def forward(self, x: Tensor) -> Tensor:
        """``[N, C, *axes]`` to ``[N, C * Σ bins]``."""
        axes = axes_of(x, "SpatialPyramidPool")
        pool = ADAPTIVE[self.reduce][axes - 1]
        return torch.cat([pool(x, sizes("levels", level, axes)).flatten(1) for level in self.levels], 1)

    def extra_repr(self) -> str:
        """The settings."""
        return f"levels={self.levels}, reduce={self.reduce!r}"
