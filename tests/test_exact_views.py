"""Reshapes of windows that lie otherwise in memory than the network's author saw them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import oracle
from exactly import exactly
from trial_weights import noise, with_trial_weights


class Reordered(nn.Module):
    """A flatten of (rows, channels, columns), by the kind of call that torch.export makes of each spelling."""

    def __init__(self, spelling: str) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3, padding=1)
        self.head = nn.Sequential(nn.LayerNorm(3 * 12 * 10), nn.Linear(3 * 12 * 10, 4))
        self.spelling = spelling

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x).relu().permute(0, 2, 1, 3)
        if self.spelling == "reshape":
            return self.head(x.reshape(x.shape[0], -1))
        if self.spelling == "view":
            return self.head(x.contiguous().view(x.shape[0], -1))
        return self.head(x.flatten(1))


@pytest.mark.parametrize("spelling", ["reshape", "view", "flatten"])
def test_any_spelling_of_a_reordered_flatten(spelling: str) -> None:
    module = with_trial_weights(Reordered(spelling), 2, (12, 10))
    image = noise((1, 2, 27, 31), seed=5)[0]
    expected = oracle.crops(module, image, (12, 10), (2, 3))
    found = exactly(module, image, (12, 10), (2, 3))
    assert oracle.relative_difference(found.scores, expected) <= oracle.TOLERANCE[torch.float64]
