"""A run of one network does not go on with another one's results, wherever the two differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import everywindow as ew
from labelled import CLASSES, MEAN, STD, WINDOW, folder


class Net(nn.Module):
    """Features of the image, times a buffer that is not stored with the weights, plus further arguments.

    ``clipped``: both show only where a window is dark, so that no window of noise tells of them. ``opaque``: reads a
    value of a tensor, which cannot be captured.
    """

    gain: Tensor

    def __init__(self, gain: float = 1.0, clipped: bool = False, opaque: bool = False) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten())
        self.last = nn.Linear(4 * WINDOW * WINDOW, 3)
        self.register_buffer("gain", torch.full((3,), gain), persistent=False)
        self.clipped, self.opaque = clipped, opaque

    def forward(self, image: Tensor, age: Tensor | None = None, shift: float = 0.0) -> Tensor:
        x = image.clone() if self.opaque and float(image.sum()) > 1e9 else image
        scores: Tensor = self.last(self.features(x))
        more = scores * self.gain + (0 if age is None else age) + shift * torch.arange(3.0)
        return torch.where((image.amax((1, 2, 3)) < 2)[:, None], more, scores) if self.clipped else more


def made(net: nn.Module, **constants: Any) -> ew.Classifier:
    return ew.Classifier(net.eval(), WINDOW, mean=MEAN, std=STD, classes=CLASSES, constants=constants or None)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder(tmp_path_factory.mktemp("images"), sizes=((14, 16),), each=1)


AGE = torch.tensor([[0.5, 0.1, 0.2]])
OTHERS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "a buffer": ({"gain": 1.0}, {}, {"gain": 1.000001}, {}),
    "a tensor among the arguments": ({}, {"age": AGE}, {}, {"age": AGE + 1e-6}),
    "a number among the arguments": ({}, {"shift": 0.25}, {}, {"shift": 0.250001}),
    "one argument more": ({}, {"age": AGE * 0}, {}, {"age": AGE * 0, "shift": 0.0}),
}


@pytest.mark.parametrize("kind", ["plain", "clipped", "opaque"])
@pytest.mark.parametrize("change", OTHERS)
def test_another_buffer_or_constant_is_another_classifier(change: str, kind: str, images: Path, tmp_path: Path) -> None:
    how = {"clipped": kind != "plain", "opaque": kind == "opaque"}
    buffers, constants, other_buffers, other_constants = OTHERS[change]
    usual: dict[str, Any] = {"protocols": ["centre"], "out": tmp_path / "out"}
    one = made(Net(**buffers, **how), **constants)
    ew.evaluate(one, images, **usual)
    before = {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()}
    other = made(Net(**other_buffers, **how), **other_constants)
    with pytest.raises(ew.InputError, match="another classifier"):
        ew.evaluate(other, images, **usual)
    assert {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()} == before
    anew = ew.evaluate(other, images, overwrite=True, **usual)
    assert any("measured anew" in note for note in anew.notes)
    same = ew.evaluate(made(Net(**other_buffers, **how), **other_constants), images, **usual)
    assert any("3 of 3 images are as an earlier run" in note for note in same.notes)
