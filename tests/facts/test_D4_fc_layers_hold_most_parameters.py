"""D4: fully connected layers hold most of a classic network's parameters."""

from __future__ import annotations

import pytest

from facts_networks import classic_cost


@pytest.mark.parametrize(("name", "percent"), [("alexnet", 96.0), ("vgg16", 89.4)])
def test_share(name: str, percent: float) -> None:
    cost = classic_cost(name)
    assert round(100 * cost.fc_share, 1) == percent
    assert f"{percent} % of them in fully connected layers" in str(cost)
