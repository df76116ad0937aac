"""A5: on a larger image one pass of the converted network gives the scores of every window."""

from __future__ import annotations

import torch

import everywindow as ew
import oracle
from facts_networks import article, classic_cost, thin_vgg
from laws import EQUAL
from trial_weights import noise


@torch.no_grad()
def test_windows_of_32_on_64_pixels() -> None:
    """64×64 pixels: map 8×8×3, scores 5×5×10, 25 windows of 32×32 at stride 8."""
    module, image = article(), noise((1, 1, 64, 64), 1)
    assert module[:6](image).shape == (1, 3, 8, 8)
    converted = ew.convolutionalize(module, window=32).eval()
    assert converted.geometry.stride == (8, 8)
    assert converted(image).shape == (1, 10, 5, 5)
    expected = oracle.crops(module, image[0], (32, 32), (8, 8))
    assert expected[0].numel() == 25
    assert oracle.relative_difference(converted(image)[0], expected) <= EQUAL


@torch.no_grad()
def test_vgg_on_384_pixels() -> None:
    """Map 512×12×12, scores 1000×6×6: 36 windows of 224×224 at stride 32."""
    from torchvision import models

    with torch.device("meta"):  # sizes alone: the map of VGG16 itself, and the scores of one as deep with 1000 classes
        features, image = models.vgg16().features, torch.empty(1, 3, 384, 384)
    assert features(image).shape == (1, 512, 12, 12)
    converted = ew.convolutionalize(thin_vgg(1000), window=224).to("meta")
    assert converted.geometry.stride == (32, 32)
    assert converted(image.double()).shape == (1, 1000, 6, 6)
    cost = classic_cost("vgg16")
    assert (cost.windows, cost.stride, cost.rows[-1].shape) == (36, (32, 32), (1000,))
