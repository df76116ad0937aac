"""A8: the map may be summed or its maximum taken before the softmax; the strongest response is where the object is."""

from __future__ import annotations

import torch

import everywindow as ew
import oracle
from facts_networks import article, cross_detector
from trial_weights import noise


def test_four_reductions() -> None:
    """Mean of probabilities, mean of logits, sum, maximum."""
    module, image = article(), noise((1, 1, 48, 40), 1)[0]
    classifier = ew.Classifier(module, window=32, channels=1, activation="softmax")
    scan = ew.scan(classifier, image, dtype=torch.float64)
    crops = oracle.crops(module, image, (32, 32), (8, 8)).flatten(1)
    expected = {"sum_score": crops.sum(1), "max": crops.max(1).values, "mean_score": crops.mean(1)}
    for kind, scores in expected.items():
        assert torch.allclose(scan.image_scores(kind), scores.softmax(0), rtol=0, atol=1e-12), kind
    mean = crops.softmax(0).mean(1)
    assert torch.allclose(scan.image_scores("mean_probability"), mean, rtol=0, atol=1e-12)


def test_the_strongest_response_is_where_the_object_is() -> None:
    module, cross = cross_detector()
    image = 0.1 * torch.rand(1, 40, 52)
    image[0, 22:29, 13:20] += cross
    scan = ew.scan(ew.Classifier(module, window=7, channels=1, activation="softmax"), image)
    assert scan.strongest(1).start == (22, 13)
    assert scan.strongest(1).stop == (29, 20)
