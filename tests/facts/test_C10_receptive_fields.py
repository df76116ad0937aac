"""C10: a deep unit's receptive field covers much of the input, although each layer is local."""

from __future__ import annotations

import torch
from torch import nn

import everywindow as ew
from facts_networks import classic_cost


def test_vgg16_layer_by_layer() -> None:
    """No layer reads more than 3×3 positions; the last pooling sees 212 of 224 pixels."""
    rows = [row for row in classic_cost("vgg16").rows if row.family in ("conv", "pool") and row.layer != "avgpool"]
    fields = [row.receptive_field[0] for row in rows]
    assert fields == [3, 5, 6, 10, 14, 16, 24, 32, 40, 44, 60, 76, 92, 100, 132, 164, 196, 212]
    assert fields == sorted(fields)
    assert fields[-1] / 224 > 0.9


def test_the_field_is_what_changes_a_unit() -> None:
    layers = [nn.Conv1d(1, 1, 3), nn.AvgPool1d(2), nn.Conv1d(1, 1, 3, dilation=2), nn.Conv1d(1, 1, 2)]
    net = nn.Sequential(*layers, nn.Flatten())
    rows = ew.cost(net, 31, window=31, predict=False, advise=False).rows
    x = torch.randn(1, 1, 31)
    for index, row in enumerate(rows):
        seen = x.clone().requires_grad_()
        y = net[: index + 1](seen)
        y[0, 0, y.shape[2] // 2].backward()
        touched = (seen.grad[0, 0] != 0).nonzero().flatten()
        assert int(touched[-1] - touched[0]) + 1 == row.receptive_field[0]
