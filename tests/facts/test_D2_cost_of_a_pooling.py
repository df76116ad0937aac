"""D2: a pooling has no parameters and W_out·H_out·C outputs; it compares or adds k_h·k_w values for each.

Often one unit is counted for each output; here the values are counted, and they are no mult-adds.
"""

from __future__ import annotations

from torch import nn

import everywindow as ew


def test_counted() -> None:
    for pool, name in ((nn.MaxPool2d((3, 2), 2), "comparisons"), (nn.AvgPool2d((3, 2), 2), "additions")):
        net = nn.Sequential(nn.Conv2d(3, 4, 1), pool, nn.Flatten())
        cost = ew.cost(net, (11, 12), window=(11, 12), predict=False, advise=False)
        row = cost.layers(only="pool")[0]
        outputs = 4 * ((11 - 3) // 2 + 1) * ((12 - 2) // 2 + 1)
        assert row.shape == (4, 5, 6)
        assert (row.params, row.macs) == (0, 0)
        assert getattr(row, name) == outputs * 3 * 2
        assert row.comparisons + row.additions == 720
        assert "values and add" in str(cost)  # it says so
