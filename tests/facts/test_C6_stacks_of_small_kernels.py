"""C6: stacks of small kernels reach the receptive field of a large one with fewer weights."""

from __future__ import annotations

from torch import nn

import everywindow as ew
from everywindow.costing import stacked
from facts_networks import weights


def test_three_of_3x3_are_one_of_7x7() -> None:
    """27·C² against 49·C² weights."""
    channels = 8
    stack = nn.Sequential(*(nn.Conv2d(channels, channels, 3, bias=False) for _ in range(3)), nn.Flatten())
    one = nn.Sequential(nn.Conv2d(channels, channels, 7, bias=False), nn.Flatten())
    costs = [ew.cost(ew.Classifier(net, 7, channels), 7, predict=False, advise=False) for net in (stack, one)]
    assert [cost.rows[-1].receptive_field for cost in costs] == [(7, 7), (7, 7)]
    assert [cost.params for cost in costs] == [27 * channels**2, 49 * channels**2]
    assert [weights(net) for net in (stack, one)] == [27 * channels**2, 49 * channels**2]
    price = stacked(kernel=3, layers=3, channels=channels)
    assert (price.other_params, price.params) == (27 * channels**2, 49 * channels**2)
