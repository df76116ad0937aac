"""Networks that were made in inference mode, and scans in it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import everywindow as ew
from oracle import TOLERANCE, crops, relative_difference
from trial_weights import noise, with_trial_weights


class _Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3)
        self.c.weight = self.b.weight
        self.norm, self.head, self.gains = nn.BatchNorm2d(4), nn.Linear(4, 3), torch.randn(4, 1, 1).double()

    def forward(self, x: Tensor) -> Tensor:
        return self.head((self.norm(self.c(torch.tanh(self.b(self.a(x))))) * self.gains).mean((2, 3)))


@pytest.fixture
def made() -> nn.Module:
    with torch.inference_mode():
        torch.manual_seed(0)
        return with_trial_weights(_Tied(), 2, (9, 8), seed=1)


IMAGE = noise((1, 2, 30, 30), 3)[0]


@pytest.mark.parametrize("inside", [False, True])
def test_a_network_made_in_inference_mode_is_shared(made: nn.Module, inside: bool) -> None:
    weights = dict(made.named_parameters())
    with torch.inference_mode(inside):
        found = ew.scan(made, IMAGE, window=(9, 8), stride=1, progress=False)
    assert "cannot follow" not in found.plan.reason
    assert relative_difference(found.scores, crops(made, IMAGE, (9, 8), (1, 1))) <= TOLERANCE[torch.float64]
    with torch.inference_mode():
        made.b.weight.mul_(2)  # type: ignore[union-attr, operator]
    again = ew.scan(made, IMAGE, window=(9, 8), stride=1, progress=False)
    assert relative_difference(again.scores, crops(made, IMAGE, (9, 8), (1, 1))) <= TOLERANCE[torch.float64]
    assert all(weights[name] is weight for name, weight in made.named_parameters())


def test_it_converts_and_can_be_stored(made: nn.Module, tmp_path: Path) -> None:
    fcn = ew.convolutionalize(made, window=(9, 8))
    fcn(IMAGE[None]).sum().backward()  # its copies of the weights can be trained
    assert all(weight.grad is not None for weight in fcn.parameters())
    ew.Classifier(made, window=(9, 8), channels=2).save(tmp_path / "bundle")
    scores = ew.scan(ew.load(tmp_path / "bundle"), IMAGE, stride=1, progress=False).scores
    assert relative_difference(scores, crops(made, IMAGE, (9, 8), (1, 1))) <= TOLERANCE[torch.float64]


def test_a_scan_in_inference_mode_leaves_what_later_ones_can_use() -> None:
    module = with_trial_weights(_Tied(), 2, (9, 8), seed=1)
    with torch.inference_mode():
        ew.scan(module, IMAGE, window=(9, 8), stride=1, progress=False)
    scores = ew.scan(module, IMAGE, window=(9, 8), stride=1, progress=False).scores
    assert relative_difference(scores, crops(module, IMAGE, (9, 8), (1, 1))) <= TOLERANCE[torch.float64]
    ew.convolutionalize(module, window=(9, 8))(IMAGE[None]).sum().backward()
