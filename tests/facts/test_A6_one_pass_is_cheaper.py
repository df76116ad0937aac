"""A6: the one pass is far cheaper than the windows one by one, for it computes what they share once."""

from __future__ import annotations

import pytest
import torch

import everywindow as ew
import oracle
from facts_networks import article, best_seconds, classic_cost
from trial_weights import noise


def test_as_counted_and_as_measured() -> None:
    module, image = article(), noise((1, 1, 96, 96), 1)[0]
    macs = ew.cost(module, image_size=(96, 96), window=32, stride=8, predict=False, advise=False).macs
    window = 8 * 4 * 256 + 8 * 8 * 4 * 64 + 3 * 8 * 4 * 16 + 480
    assert macs["crops"] == 81 * window
    assert macs["fcn"] == 9 * (window - 480) + 81 * 480
    converted = ew.convolutionalize(module, window=32).eval()
    crops = best_seconds(lambda: oracle.crops(module, image, (32, 32), (8, 8)))
    with torch.no_grad():
        assert best_seconds(lambda: converted(image.unsqueeze(0))) < crops / 2


def test_vgg_on_384_pixels() -> None:
    """36 windows one by one take 11.2 times the mult-adds of one pass."""
    macs = classic_cost("vgg16").macs
    assert macs["crops"] / macs["fcn"] == pytest.approx(11.2, abs=0.05)
