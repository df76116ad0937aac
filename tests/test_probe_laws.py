"""What ``ew.probe`` measures on networks drawn at random keeps to what their graphs prove."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import everywindow as ew
from random_networks import Example, networks
from trial_weights import noise

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same'")

ROUNDING = 1e-9


@settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(example=st.one_of(networks(axes=axes, padded=padded) for axes in (1, 2) for padded in (True, False)))
def test_maps_move_in_the_interior_and_only_the_border_tells_its_place(example: Example) -> None:
    sizes = [3 * size + 10 for size in example.window]
    clf = ew.Classifier(example.module, example.window, example.channels)
    image = noise((1, example.channels, *sizes), example.seed)[0]
    found = ew.probe(clf, image, shifts=(), angles=(), zooms=(), dtype=torch.float64)
    for layer in found.layers:
        assert layer.interior is None or layer.interior <= ROUNDING, layer
        assert layer.interior is None or layer.interior <= layer.everywhere
    for place in found.places:
        assert place.share <= place.reached + ROUNDING, place
    if not example.padded:
        assert all(layer.whole or layer.everywhere <= ROUNDING for layer in found.layers)
