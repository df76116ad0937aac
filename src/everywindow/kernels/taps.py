"""The positions that the taps of a kernel see along one dimension."""

from __future__ import annotations

import torch
from torch import Tensor


def taps(x: Tensor, dim: int, kernel: int, dilation: int, stride: int) -> list[Tensor]:
    """For each tap of a kernel the positions that it sees, all of the output's length."""
    length = (x.shape[dim] - dilation * (kernel - 1) - 1) // stride + 1
    reach = (length - 1) * stride + 1
    return [every(x.narrow(dim, tap * dilation, reach), dim, stride) for tap in range(kernel)]


def every(x: Tensor, dim: int, step: int) -> Tensor:
    """Every ``step``-th position."""
    return x if step == 1 else torch.ops.aten.slice.Tensor(x, dim, 0, None, step)
