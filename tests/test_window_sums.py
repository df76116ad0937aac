"""Means and sums over windows, added up from shared values in place of taking the windows apart."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from everywindow.sharing import build
from exactly import captured_network, exactly
from oracle import TOLERANCE, crops, relative_difference
from trial_weights import noise, with_trial_weights


class _Head(nn.Module):
    """Two padded convolutions, and a head that reduces the map."""

    def __init__(self, how: str, axes: int = 2) -> None:
        super().__init__()
        conv: Any = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[axes]
        self.a, self.b, self.how, self.axes = conv(2, 5, 3, padding=1), conv(5, 6, 3, 2, padding=1), how, axes
        self.h = nn.Linear(6, 3)
        self.pool = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}[axes](1)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.tanh(self.b(torch.tanh(self.a(x))))
        dims = tuple(range(2, 2 + self.axes))
        if self.how == "mean":
            return self.h(y.mean(dims))
        if self.how == "keepdim":
            return self.h(y.mean(dims, keepdim=True).flatten(1))
        if self.how == "sum":
            return self.h(y.sum(dims))
        if self.how == "pool":
            return self.h(self.pool(y).flatten(1))
        if self.how == "gate":
            return self.h((y * y.mean(dims, keepdim=True).sigmoid()).amax(dims))
        if self.how == "last":
            return self.h(y.movedim(1, -1).mean(tuple(range(1, 1 + self.axes))))
        return self.h(y.mean(2).amax(tuple(range(2, 1 + self.axes))))


@pytest.mark.parametrize("how", ["mean", "keepdim", "sum", "pool", "gate", "last"])
@pytest.mark.parametrize(("axes", "stride"), [(1, (1,)), (2, (1, 2)), (2, (2, 3)), (3, (2, 1, 3))])
@pytest.mark.parametrize("memory", [1.0, 0.4])
def test_windows_are_added_up(how: str, axes: int, stride: tuple[int, ...], memory: float) -> None:
    window = (13, 11, 9)[:axes]
    module = with_trial_weights(_Head(how, axes), 2, window, seed=1)
    image = noise((1, 2, *(n + 5 * s + 1 for n, s in zip(window, stride, strict=True))), 3)[0]
    program = build(captured_network(module, window, 2), (6,) * axes, stride)
    assert len(program.sums) == 1
    assert (program.sums[0].source in program.frontier) == (how == "gate")
    found = exactly(module, image, window, stride, memory=memory).scores
    assert relative_difference(found, crops(module, image, window, stride)) <= TOLERANCE[torch.float64]


def test_other_reductions_take_windows_apart() -> None:
    module = with_trial_weights(_Head("rows"), 2, (13, 11), seed=1)
    program = build(captured_network(module, (13, 11), 2), (6, 6), (1, 1))
    assert not program.sums
    assert program.frontier


def test_what_is_no_number_stays_in_its_windows() -> None:
    module = with_trial_weights(_Head("mean"), 2, (13, 11), seed=1)
    image = noise((1, 2, 20, 20), 3)[0]
    image[0, 3, 4] = torch.nan
    found = exactly(module, image, (13, 11), (1, 1)).scores
    assert torch.equal(found.isnan(), crops(module, image, (13, 11), (1, 1)).isnan())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precisions_are_added_up_in_single(dtype: torch.dtype) -> None:
    module = with_trial_weights(_Head("mean"), 2, (13, 11), seed=1).to(dtype)
    image = noise((1, 2, 30, 30), 3).to(dtype)[0]
    found = exactly(module, image, (13, 11), (2, 2)).scores
    expected = crops(module, image, (13, 11), (2, 2))
    assert relative_difference(found.double(), expected.double()) <= 30 * torch.finfo(dtype).eps
