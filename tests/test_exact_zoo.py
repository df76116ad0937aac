"""Networks of torchvision in float32: what windows share gives the crops' scores."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("torchvision")

import oracle
from benchmarks.zoo import build
from exactly import exactly
from trial_weights import noise, tells_windows_apart, with_trial_weights

NETWORKS = [
    ("convnext_tiny", 64, (32, 12)),
    ("densenet121", 64, (16, 32)),
    ("efficientnet_b0", 64, (8, 24)),
    ("googlenet", 64, (9, 16)),
    ("mobilenet_v2", 64, (16, 7)),
    ("resnet18", 64, (8, 13)),
    ("shufflenet_v2_x0_5", 64, (16, 16)),
    ("squeezenet1_1", 64, (5, 16)),
    ("vgg11", 64, (16, 12)),
    ("vit_b_32", 224, (16, 40)),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "window", "stride"), NETWORKS)
def test_exact_in_float32(name: str, window: int, stride: tuple[int, int]) -> None:
    options = {"num_classes": 20, "image_size": window} if name.startswith("vit") else {"num_classes": 20}
    module = with_trial_weights(build(name, **options), 3, (window, window), 1, torch.float32)
    size = (window + 2 * stride[0], window + 3 * stride[1] + 5)
    image = noise((1, 3, *size), 5, torch.float32)[0]
    found = exactly(module, image, (window, window), stride)
    expected = oracle.crops(module, image, (window, window), stride)
    assert tells_windows_apart(expected)
    assert oracle.relative_difference(found.scores, expected) <= oracle.TOLERANCE[torch.float32]
    assert found.shares
