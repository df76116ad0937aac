"""C9: convolution, batch normalisation and ReLU are one block, in either order."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import everywindow as ew
import oracle
from everywindow import reference as ref
from laws import EQUAL
from trial_weights import noise, with_trial_weights


def block(order: str, inputs: int, outputs: int) -> list[nn.Module]:
    last = [nn.BatchNorm2d(outputs), nn.ReLU()]
    return [nn.Conv2d(inputs, outputs, 3), *(last if order == "norm first" else reversed(last))]


@pytest.mark.parametrize("order", ["norm first", "ReLU first"])
def test_both_orders_convert_and_scan_exactly(order: str) -> None:
    layers = [*block(order, 2, 6), *block(order, 6, 5), nn.Flatten()]
    module = with_trial_weights(nn.Sequential(*layers, nn.Linear(5 * 36, 4)), 2, (10, 10))
    image = noise((1, 2, 18, 15), 1)[0]
    expected = oracle.crops(module, image, (10, 10), (1, 1))
    converted = ew.convolutionalize(module, window=10).eval()
    assert converted.verdict.exact
    with torch.no_grad():
        assert oracle.relative_difference(converted(image[None])[0], expected) <= EQUAL
    scan = ew.scan(module, image, window=10, dtype=torch.float64)
    assert oracle.relative_difference(scan.scores, expected) <= EQUAL


@torch.no_grad()
@pytest.mark.parametrize("order", ["norm first", "ReLU first"])
def test_the_block_is_its_formulas(order: str) -> None:
    module = with_trial_weights(nn.Sequential(*block(order, 2, 6)), 2, (10, 10))
    norm = next(layer for layer in module if isinstance(layer, nn.BatchNorm2d))
    known = ref.Statistics(norm.running_mean.numpy(), norm.running_var.numpy())
    x = noise((2, 2, 10, 10), 1)
    y = ref.conv(x, module[0].weight, module[0].bias)
    steps = [lambda y: ref.batch_norm(y, norm.weight, norm.bias, known), ref.relu]
    for step in steps if order == "norm first" else steps[::-1]:
        y = step(y)
    np.testing.assert_allclose(module(x), y, rtol=1e-10, atol=1e-10)
