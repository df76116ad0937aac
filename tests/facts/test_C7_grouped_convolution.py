"""C7: in a grouped convolution each kernel sees only part of the channels."""

from __future__ import annotations

import torch
from torch import nn

import everywindow as ew
import oracle
from laws import EQUAL
from trial_weights import noise, with_trial_weights


def test_each_kernel_sees_its_group() -> None:
    conv = nn.Conv2d(6, 9, 3, groups=3).double()
    assert conv.weight.shape == (9, 2, 3, 3)
    for output in range(9):
        image = torch.randn(1, 6, 5, 5, dtype=torch.float64, requires_grad=True)
        conv(image)[:, output].sum().backward()
        seen = image.grad.abs().sum((0, 2, 3)) > 0
        assert seen.nonzero().flatten().tolist() == [2 * (output // 3), 2 * (output // 3) + 1]


def test_a_third_of_the_weights_and_mult_adds() -> None:
    rows = [
        ew.cost(ew.Classifier(nn.Sequential(conv, nn.Flatten()), 5, 6), 5, predict=False, advise=False).rows[0]
        for conv in (nn.Conv2d(6, 9, 3, groups=3, bias=False), nn.Conv2d(6, 9, 3, bias=False))
    ]
    assert (3 * rows[0].params, 3 * rows[0].macs) == (rows[1].params, rows[1].macs)


def test_it_converts_and_scans_exactly() -> None:
    layers = [nn.Conv2d(2, 6, 3), nn.ReLU(), nn.Conv2d(6, 9, 3, padding=1, groups=3), nn.Flatten()]
    module = with_trial_weights(nn.Sequential(*layers, nn.Linear(9 * 36, 4)), 2, (8, 8))
    image = noise((1, 2, 15, 13), 1)[0]
    expected = oracle.crops(module, image, (8, 8), (1, 1))
    scan = ew.scan(module, image, window=8, dtype=torch.float64)
    assert oracle.relative_difference(scan.scores, expected) <= EQUAL
