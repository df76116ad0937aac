"""D1: C_in·C_out·k_h·k_w (+C_out) parameters, W_out·H_out·C_out·C_in·k_h·k_w mult-adds."""

from __future__ import annotations

import pytest
from torch import nn

import everywindow as ew


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("channels", "out", "kernel", "stride", "padding"),
    [(1, 1, (2, 2), (1, 1), (0, 0)), (3, 8, (3, 5), (2, 1), (1, 0)), (4, 6, (1, 7), (3, 2), (0, 3))],
)
def test_counted(
    channels: int, out: int, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int], bias: bool
) -> None:
    net = nn.Sequential(nn.Conv2d(channels, out, kernel, stride, padding, bias=bias), nn.Flatten())
    (row,) = ew.cost(ew.Classifier(net, (32, 30), channels), (32, 30), predict=False, advise=False).rows
    height, width = ((n + 2 * p - k) // s + 1 for n, p, k, s in zip((32, 30), padding, kernel, stride, strict=True))
    assert row.shape == (out, height, width)
    assert row.params == channels * out * kernel[0] * kernel[1] + (out if bias else 0)
    assert row.macs == width * height * out * channels * kernel[0] * kernel[1]
