"""C2: pooling by maximum, mean, Lp norm, and a mean weighted by the distance to the centre; ⌊(n−f)/s⌋+1 outputs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import everywindow as ew
from everywindow import reference as ref
from everywindow.layers import DistanceWeightedPool, LpPool

WEIGHTED = DistanceWeightedPool(3, 2, weights="linear")
POOLS = {
    "max": (nn.MaxPool1d(3, 2), lambda x: ref.max_pool(x, 3, 2)),
    "mean": (nn.AvgPool1d(3, 2), lambda x: ref.mean_pool(x, 3, 2)),
    "lp": (LpPool(3, 3, 2), lambda x: ref.lp_pool(x, 3, 3, 2)),
    "lp mean": (LpPool(3, 3, 2, mean=True), lambda x: ref.lp_pool(x, 3, 3, 2, mean=True)),
    "weighted": (WEIGHTED, lambda x: ref.weighted_pool(x, ref.distance_weights((3,)), 2)),
}


@pytest.mark.parametrize("name", POOLS)
def test_six_inputs_width_three_stride_two_give_two(name: str) -> None:
    layer, plain = POOLS[name]
    x = torch.randn(1, 4, 6, dtype=torch.float64)
    y = layer(x)
    assert y.shape == (1, 4, (6 - 3) // 2 + 1) == (1, 4, 2)
    np.testing.assert_allclose(y, plain(x.numpy()), rtol=1e-10)
    other = x.clone()
    other[:, 1] += 1
    changed = (layer(other) != y).any(-1)[0]
    assert changed.tolist() == [False, True, False, False]  # each channel by itself
    assert not list(layer.parameters())
    net = nn.Sequential(nn.Conv1d(1, 2, 1), layer, nn.Flatten())
    assert ew.cost(net, 6, window=6, predict=False, advise=False).params == 4  # all of the convolution


def test_the_weights_fall_with_the_distance_and_add_up_to_one() -> None:
    for weights, sigma in (("gaussian", 1.3), ("linear", None)):
        kernel = DistanceWeightedPool(5, 2, weights=weights, sigma=sigma).kernel(2)
        np.testing.assert_allclose(kernel, ref.distance_weights((5, 5), sigma), rtol=1e-12)
        assert float(kernel.sum()) == pytest.approx(1)
        middle = kernel[2]
        assert middle[2] > middle[1] > middle[0] > 0
        assert torch.allclose(kernel, kernel.rot90(), rtol=0, atol=1e-15)


def test_the_lp_norm_goes_from_the_sum_to_the_maximum() -> None:
    x = torch.rand(1, 1, 9, dtype=torch.float64)
    assert torch.allclose(LpPool(1, 3)(x), 3 * nn.AvgPool1d(3)(x))
    assert torch.allclose(LpPool(float("inf"), 3)(x), nn.MaxPool1d(3)(x))
    assert torch.allclose(LpPool(300, 3)(x), nn.MaxPool1d(3)(x), rtol=5e-3)
