"""C3: a pool whose window adapts to the input copes with any size."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from everywindow import reference as ref
from everywindow.layers import AdaptiveWindowPool


@pytest.mark.parametrize("size", [(4, 4), (7, 9), (13, 5), (32, 21)])
@pytest.mark.parametrize("reduce", ["max", "mean"])
def test_one_head_for_any_size(size: tuple[int, int], reduce: str) -> None:
    x = torch.randn(1, 3, *size, dtype=torch.float64)
    bins = {"max": nn.AdaptiveMaxPool2d(4), "mean": nn.AdaptiveAvgPool2d(4)}[reduce]
    assert torch.allclose(bins(x), torch.tensor(ref.adaptive_pool(x, 4, reduce)), rtol=0, atol=1e-12)
    follows = AdaptiveWindowPool(4, reduce)(x)
    window, stride = [-(-n // 4) for n in size], [n // 4 for n in size]
    plain = {"max": ref.max_pool, "mean": ref.mean_pool}[reduce](x, window, stride)[..., :4, :4]
    assert torch.allclose(follows, torch.tensor(plain), rtol=0, atol=1e-12)
    for layer in (bins, AdaptiveWindowPool(4, reduce)):
        assert nn.Sequential(layer, nn.Flatten(), nn.Linear(48, 2).double())(x).shape == (1, 2)
