"""A11: a 1×1 convolution changes the channel number, mixes channels, keeps the layout, and takes any input size."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import everywindow as ew
from trial_weights import noise, with_trial_weights


@torch.no_grad()
@pytest.mark.parametrize("size", [(1, 1), (5, 9), (32, 3)])
def test_it_mixes_channels_at_any_size_and_keeps_the_layout(size: tuple[int, int]) -> None:
    module = with_trial_weights(nn.Sequential(nn.Conv2d(3, 5, 1)), 3, (1, 1))
    converted = ew.convolutionalize(module, window=1).eval()
    image = noise((1, 3, *size), 1)
    scores = converted(image)
    assert scores.shape == (1, 5, *size)
    row, column = size[0] // 2, size[1] - 1
    alone = module[0].weight.reshape(5, 3) @ image[0, :, row, column] + module[0].bias
    assert torch.allclose(scores[0, :, row, column], alone, rtol=0, atol=1e-12)
    changed = image.clone()
    changed[0, :, row, column] += 1
    moved = (converted(changed) != scores).any(1)[0]
    assert moved.nonzero().tolist() == [[row, column]]
