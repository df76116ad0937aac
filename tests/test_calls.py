"""Calls that are easily taken for something else than they are: every mode must give the crops' scores."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from calls import Net, require_crops_scores

INTEGER_POOLS = {
    "mean": lambda y: F.avg_pool2d(y, 3, 2, 1),
    "mean without padding": lambda y: F.avg_pool2d(y, 3, 2),
    "mean with a divisor": lambda y: F.avg_pool2d(y, 2, 2, divisor_override=3),
    "max": lambda y: F.max_pool2d(y, 3, 2, 1),
    "max without padding": lambda y: F.max_pool2d(y, 3, 2),
    "max of small integers": lambda y: F.max_pool2d(y.to(torch.int32), 3, 2, 1),
}


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("name", INTEGER_POOLS)
def test_pooling_of_integers(name: str, padding: int) -> None:
    """Torch's average of integers drops the fraction; nothing but floats has an infinity to pad with."""
    pool = INTEGER_POOLS[name]

    def code(net: Net, x: Tensor) -> Tensor:
        return net.head(pool((net.conv(x) * 9).long()).to(x.dtype).mean((2, 3)))

    net = Net(code, conv=nn.Conv2d(2, 3, 3, padding=padding), head=nn.Linear(3, 3))
    found = require_crops_scores(net, 2, (12, 11))
    assert "shared" in found
    assert ("fcn" in found) == (padding == 0 and name == "max without padding")
