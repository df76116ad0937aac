"""A7: averaging the windows' class probabilities gives the image's probability."""

from __future__ import annotations

import pytest
import torch

import everywindow as ew
import oracle
from facts_networks import article, thin_vgg
from trial_weights import noise


def test_a_slightly_larger_image() -> None:
    """2×2 = 4 crops."""
    module, image = article(), noise((1, 1, 40, 40), 1)[0]
    classifier = ew.Classifier(module, window=32, channels=1, activation="softmax")
    crops = oracle.crops(module, image, (32, 32), (8, 8)).flatten(1)
    assert crops.shape == (10, 4)
    scan = ew.scan(classifier, image, dtype=torch.float64)
    expected = torch.stack([crops[:, i].softmax(0) for i in range(4)]).mean(0)
    assert torch.allclose(scan.image_scores("mean_probability"), expected, rtol=0, atol=1e-12)


def test_vgg_at_384_is_the_mean_over_36() -> None:
    classifier = ew.Classifier(thin_vgg(), window=224, channels=3, activation="softmax")
    scan = ew.scan(classifier, noise((1, 3, 384, 384), 1, torch.float32)[0], mode="fcn", dtype=torch.float32)
    assert scan.windows == 36
    scores = scan.scores.flatten(1)
    expected = sum(scores[:, i].softmax(0) for i in range(36)) / 36
    assert torch.allclose(scan.image_scores(), expected, rtol=0, atol=1e-6)
    assert float(expected.sum()) == pytest.approx(1, abs=1e-5)
