"""Networks of torchvision and timm in float32: what windows share gives the crops' scores."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch

pytest.importorskip("torchvision")
pytest.importorskip("timm")

import oracle
from benchmarks.zoo.networks import build
from exactly import exactly
from trial_weights import noise, tells_windows_apart, with_trial_weights


class Case(NamedTuple):
    """A network and how it is scanned; options make a large one small."""

    name: str
    window: int
    stride: tuple[int, int]
    options: dict[str, Any] = {}  # noqa: RUF012  (read only)
    shares: bool = True


CASES = [
    Case("torchvision:vgg11", 64, (16, 12)),  # flatten, then fully connected layers
    Case("torchvision:densenet121", 64, (16, 32)),  # concatenations
    Case("torchvision:shufflenet_v2_x0_5", 64, (16, 16)),  # features in another order
    Case("timm:resnetblur18", 64, (8, 12)),  # blurring behind padding by reflection
    Case("timm:hrnet_w18_small", 64, (8, 12)),  # branches that are made larger and added
    Case("timm:tresnet_m", 64, (16, 12), shares=False),  # space to depth before the first convolution
    Case("timm:resnet50_clip", 64, (32, 16), {"img_size": 64}),  # attention pooling at the end
    Case("timm:vit_tiny_patch16_224", 64, (16, 40), {"img_size": 64, "depth": 4}),
    Case("timm:swin_tiny_patch4_window7_224", 56, (8, 28), {"img_size": 56, "embed_dim": 24, "depths": (2, 2, 2, 2)}),
    Case("timm:mobilevitv2_050", 64, (16, 12)),  # convolutions, then attention
]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_exact_in_float32(case: Case) -> None:
    library, _, name = case.name.partition(":")
    window, stride = (case.window,) * 2, case.stride
    module = with_trial_weights(
        build(library, name, **{"num_classes": 10, **case.options}), 3, window, 1, torch.float32, most=32
    )
    size = (case.window + 2 * stride[0], case.window + 2 * stride[1] + 5)
    image = noise((1, 3, *size), 5, torch.float32)[0]
    found = exactly(module, image, window, stride)
    expected = oracle.crops(module, image, window, stride)
    assert tells_windows_apart(expected)
    assert oracle.relative_difference(found.scores, expected) <= oracle.TOLERANCE[torch.float32]
    assert found.shares or not case.shares
