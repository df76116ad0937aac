"""D3: an FC layer over the same maps has W_in·H_in·C_in·W_out·H_out·C_out parameters and as many mult-adds."""

from __future__ import annotations

from torch import nn

import everywindow as ew
from everywindow.costing import as_fully_connected


def test_32x32_with_a_2x2_kernel() -> None:
    """246,016 times the parameters and 256 times the computation."""
    price = as_fully_connected(size=32, kernel=2)
    assert (price.params_ratio, price.macs_ratio) == (246_016, 256)
    counts = ew.matrix_counts(nn.Conv2d(1, 1, 2, bias=False), 32)
    assert counts.entries == 32 * 32 * 31 * 31 == 246_016 * counts.params
    assert counts.entries == 256 * counts.nonzeros


def test_as_layers() -> None:
    conv = nn.Conv2d(2, 3, 2, bias=False)
    fc = nn.Linear(2 * 6 * 6, 3 * 5 * 5, bias=False)
    assert ew.conv_to_linear(conv, 6).weight.shape == fc.weight.shape
    nets = [nn.Sequential(conv, nn.Flatten()), nn.Sequential(nn.Flatten(), fc)]
    rows = [ew.cost(ew.Classifier(net, 6, 2), 6, predict=False, advise=False).rows[0] for net in nets]
    price = as_fully_connected(6, 2, channels=2, out_channels=3)
    assert [(row.params, row.macs) for row in rows] == [
        (price.params, price.macs),
        (price.other_params, price.other_macs),
    ]
    assert rows[1].params == rows[1].macs == 2 * 6 * 6 * 3 * 5 * 5
