"""The exact engine equals the crops: random networks, strides, sizes and memory limits, in float64."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exact_law import Tally, check_network
from random_networks import Example, networks
from test_random_networks import drawn

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same'")


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
    assert tally.shared >= 0.3 * tally.scans
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
