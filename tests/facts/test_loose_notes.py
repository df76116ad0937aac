"""Where a common explanation is loose, and what is true."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import everywindow as ew
from everywindow.layers import AdaptiveWindowPool, SpatialPyramidPool


def test_it_is_the_fully_connected_layer_that_does_not_share() -> None:
    """A convolution shares its weights; its matrix repeats them. An FC layer of its own repeats nothing."""
    counts = ew.matrix_counts(nn.Conv2d(1, 1, 3, bias=False), 6)
    assert (counts.nonzeros, counts.distinct) == (144, 9)
    assert nn.Linear(36, 16).weight.unique().numel() == 36 * 16


def test_only_adaptive_and_pyramid_poolings_give_a_fixed_size() -> None:
    one, other = torch.randn(1, 2, 8, 8), torch.randn(1, 2, 12, 9)
    for pool in (nn.MaxPool2d(2), nn.AvgPool2d(3, 1)):
        assert pool(one).shape != pool(other).shape
    for pool in (nn.AdaptiveMaxPool2d(2), AdaptiveWindowPool(2), SpatialPyramidPool((1, 2))):
        assert pool(one).shape == pool(other).shape


@pytest.mark.parametrize(("size", "window", "stride"), [(64, 32, 8), (6, 3, 2), (384, 224, 32), (7, 3, 2)])
def test_the_number_of_outputs_is_one_more(size: int, window: int, stride: int) -> None:
    """n ≤ (N − W) / S counts from 0."""
    last = (size - window) // stride
    net = nn.Sequential(nn.Conv1d(1, 1, window, stride), nn.Flatten())
    scan = ew.scan(net, torch.randn(1, size), window=window, stride=stride)
    assert scan.counts == (last + 1,)
    assert scan.offsets[0][-1] == last * stride
