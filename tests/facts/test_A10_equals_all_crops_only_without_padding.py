"""A10: one pass equals all crops only where no layer pads and nothing looks at the whole window; exact mode always."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import everywindow as ew
import oracle
from laws import EQUAL
from trial_weights import noise, with_trial_weights


@pytest.mark.parametrize("pads", [False, True])
def test_one_pass_equals_the_crops_only_where_nothing_pads(pads: bool) -> None:
    """Either way the scan without a mode gives the crops' scores."""
    layers = [nn.Conv2d(1, 6, 3, padding=int(pads)), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    module = nn.Sequential(*layers, nn.Linear(6 * (36 if pads else 25), 4))
    module = with_trial_weights(module, 1, (12, 12))
    image = noise((1, 1, 22, 20), 1)[0]
    expected = oracle.crops(module, image, (12, 12), (2, 2))
    fcn = ew.scan(module, image, window=12, mode="fcn", dtype=torch.float64)
    assert fcn.verdict.exact == (not pads)
    assert (oracle.relative_difference(fcn.scores, expected) > 1e-3) == pads
    best = ew.scan(module, image, window=12, dtype=torch.float64)
    assert best.mode == "exact"
    assert best.plan.engine in (("crops", "exact") if pads else ("crops", "exact", "fcn"))
    assert oracle.relative_difference(best.scores, expected) <= EQUAL


class Gated(nn.Module):
    """A map times a gate that looks at the whole window."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.gate = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 1)
        self.head = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x).relu()
        x = x * self.gate(x.mean((2, 3), keepdim=True)).sigmoid()
        return self.head(x.amax((2, 3)))


def test_a_gate_over_the_whole_window_is_a_reason_too() -> None:
    module, image = with_trial_weights(Gated(), 1, (8, 8)), noise((1, 1, 16, 14), 1)[0]
    expected = oracle.crops(module, image, (8, 8), (2, 2))
    fcn = ew.scan(module, image, window=8, stride=2, mode="fcn", dtype=torch.float64)
    assert not fcn.verdict.exact
    assert oracle.relative_difference(fcn.scores, expected) > 1e-3
    exact = ew.scan(module, image, window=8, stride=2, dtype=torch.float64)
    assert oracle.relative_difference(exact.scores, expected) <= EQUAL


@pytest.mark.slow
@torch.no_grad()
def test_vgg_on_384_pixels_differs_by_about_a_third() -> None:
    """With random weights: relative difference about 0.3. The first layer that pads is named."""
    models = pytest.importorskip("torchvision.models")
    module = models.vgg16(init_weights=False).eval()
    for parameter in module.parameters():
        if parameter.ndim > 1:
            parameter.mul_(2.4)
    converted = ew.convolutionalize(module, window=224).eval()
    assert converted.verdict.reasons[0].layer == "features.0"
    image = noise((1, 3, 384, 384), 1, torch.float32)
    scores = converted(image)[0]
    corners = oracle.crops(module, image[0], (224, 224), (160, 160))
    difference = (scores[:, ::5, ::5] - corners).norm() / corners.norm()
    assert 0.2 < difference < 0.4
