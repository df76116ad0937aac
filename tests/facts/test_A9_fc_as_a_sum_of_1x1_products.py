"""A9: an FC layer is 1×1 products that are summed, with a weight for each position: no 1×1 convolution and mean.

A 1×1 convolution shares its weight over the positions. A mean pooling behind it cannot tell them apart.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import everywindow as ew
from facts_networks import weights
from trial_weights import noise, redraw


@torch.no_grad()
@pytest.mark.parametrize(
    ("channels", "size", "outputs", "count"), [(1, (3, 3), 1, 9), (1, (2, 2), 2, 8)], ids=["9 to 1", "(1,2,2) to 2"]
)
def test_a_weight_for_each_position_and_a_sum(channels: int, size: tuple[int, int], outputs: int, count: int) -> None:
    """9 inputs to 1 output with 9 weights; (1,2,2) to 2 outputs with 8 weights."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(channels * size[0] * size[1], outputs, bias=False)).double()
    redraw(module, 1)
    assert weights(module) == count
    image = noise((1, channels, *size), 1)
    products = module[1].weight.reshape(outputs, channels, *size) * image  # each position has its own 1×1 product
    assert torch.allclose(products.sum((1, 2, 3)), module(image)[0], rtol=0, atol=1e-12)
    converted = ew.convolutionalize(module, window=size, channels=channels).eval()
    assert torch.allclose(products.sum((1, 2, 3)), converted(image).flatten(), rtol=0, atol=1e-12)
    as_channels = F.conv2d(image.reshape(1, -1, 1, 1), module[1].weight[:, :, None, None])
    assert torch.allclose(as_channels.flatten(1), module(image), rtol=0, atol=1e-12)  # positions made channels: A2


@torch.no_grad()
def test_a_1x1_convolution_and_a_mean_is_another_layer() -> None:
    """The counterexample: two images of the same pixels in another order; the FC layer tells them apart."""
    fc = nn.Sequential(nn.Flatten(), nn.Linear(4, 1, bias=False)).double()
    fc[1].weight.copy_(torch.tensor([[1.0, 0.0, 0.0, 0.0]]))
    shared = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten()).double()
    one, other = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]]), torch.tensor([[[0.0, 0.0], [0.0, 1.0]]])
    both = torch.stack([one, other]).double()
    assert fc(both).flatten().tolist() == [1, 0]
    for weight in (1.0, -3.0, 4.0):  # whatever it is
        shared[0].weight.fill_(weight)
        first, second = shared(both).flatten().tolist()
        assert first == second == weight / 4
    assert (weights(fc), weights(shared)) == (4, 1)
    costs = [ew.cost(ew.Classifier(net, 2, 1), 2, predict=False, advise=False) for net in (fc, shared)]
    assert [cost.params for cost in costs] == [4, 1]


@torch.no_grad()
def test_it_is_the_same_layer_where_all_positions_have_the_same_weight() -> None:
    """What the common explanation is right about: then the weight of the FC layer is that of the convolution over n."""
    fc = nn.Sequential(nn.Flatten(), nn.Linear(9, 1, bias=False)).double()
    fc[1].weight.fill_(0.7 / 9)
    image = noise((1, 1, 3, 3), 1)
    assert torch.allclose(fc(image).flatten(), (0.7 * image).mean().reshape(1), rtol=0, atol=1e-12)
