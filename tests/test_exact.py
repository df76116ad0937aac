"""The exact engine equals the crops: random networks, strides, sizes and memory limits, in float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

import oracle
from everywindow.sharing import build
from exact_law import Tally, check_network
from exactly import captured_network, exactly
from laws import EQUAL
from random_networks import Example, networks
from test_random_networks import drawn
from trial_weights import noise, with_trial_weights

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same'")


class Varied(nn.Module):
    """Calls with several outputs, joins, views and values that are read again, in one network."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace=True))
        self.second = nn.Conv2d(3, 3, 3, stride=2, padding=1)
        self.third = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.Hardswish(inplace=True))
        self.head = nn.Linear(3 * 9 * 9, 4)

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.first(x).chunk(2, 1)
        left, right = self.second(left * torch.sigmoid(right)), F.avg_pool2d(right, 2, ceil_mode=True)
        left += right
        right += F.adaptive_max_pool2d(left, 9)
        left = self.third(left)
        left += right
        return self.head(left.reshape(left.shape[0], -1))


def test_sharing_may_end_behind_any_call() -> None:
    module = with_trial_weights(Varied(), 2, (18, 17))
    image = noise((1, 2, 31, 29), 3)[0]
    expected = oracle.crops(module, image, (18, 17), (2, 3))
    network = captured_network(module, (18, 17), 2)
    assert any(isinstance(node.meta.get("shape"), list) for node in network.graph.nodes), "no call with several outputs"
    steps = len(build(network, (7, 5), (2, 3)).steps)
    assert steps > 10
    for share in range(steps + 1):
        found = exactly(module, image, (18, 17), (2, 3), share=(share + 0.5) / steps)
        assert oracle.relative_difference(found.scores, expected) <= EQUAL, share


class OtherStrides(nn.Module):
    """``torch.export`` foretells memory in order behind the padding, and leaves out ``contiguous``."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(2 * 6**3, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 4, 1).contiguous().permute(0, 4, 1, 2, 3)
        return self.head(F.pad(x, [0, 1] * 3, mode="replicate").contiguous().view(-1, 2 * 6**3))


def test_a_view_of_memory_in_another_order_than_foretold() -> None:
    module = with_trial_weights(OtherStrides(), 2, (5, 5, 5))
    image = noise((1, 2, 7, 6, 8), 3)[0]
    expected = oracle.crops(module, image, (5, 5, 5), (1, 1, 1))
    found = exactly(module, image, (5, 5, 5), (1, 1, 1))
    assert oracle.relative_difference(found.scores, expected) <= EQUAL


def tallied(examples: int, strategy: st.SearchStrategy[Example]) -> Tally:
    """Check so many networks, two scans each."""
    tally = Tally()

    @drawn(examples)
    @given(data=st.data(), example=strategy)
    def check(data: st.DataObject, example: Example) -> None:
        check_network(data.draw, example, tally, count=2)

    check()
    print(tally)
    return tally


@pytest.mark.parametrize(("axes", "examples"), [(1, 30), (2, 50), (3, 20)])
@pytest.mark.parametrize("padded", [False, True], ids=["unpadded", "padded"])
def test_exact_is_the_crops(axes: int, padded: bool, examples: int) -> None:
    tally = tallied(examples, networks(axes=axes, padded=padded))
    assert tally.crops_only == 0, tally.why
    assert tally.networks >= 0.7 * examples
    assert tally.shared >= (0.15 if axes == 3 else 0.3) * tally.scans  # cubes of 6 to 11 pixels are mostly border
    assert tally.rectangles >= 0.1 * tally.scans
    assert tally.outside >= 0.3 * tally.scans
    assert tally.border >= 0.3 * tally.scans


@pytest.mark.parametrize(("axes", "examples"), [(1, 25), (2, 55), (3, 20)])
def test_exact_is_the_crops_with_whole_window_layers(axes: int, examples: int) -> None:
    tally = tallied(examples, networks(axes=axes, wide=True))
    assert tally.crops_only <= 0.1 * examples, tally.why
    assert tally.networks >= 0.6 * examples
    assert tally.shared >= 0.2 * tally.scans
    assert tally.rectangles >= 0.1 * tally.scans
