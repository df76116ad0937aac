"""The verdict is proved, not lazily pessimistic; and the checks that these tests rest on can fail."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from torch import nn

import everywindow as ew
import oracle
from everywindow.geometry import AxisRecord
from laws import EQUAL, larger_difference
from random_networks import Example, networks
from test_handmade import CASES, Case
from test_random_networks import drawn
from trial_weights import noise, positive_twin, with_trial_weights

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same'")

BRIGHT = 1000.0


def bright_surroundings(module: nn.Module, converted: nn.Module, channels: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores of one window amid bright pixels: by itself, and by the converted network.

    Every layer of a positive twin increases in every input. So where a layer's padding shows in the scores,
    the bright pixels that take its place make some score larger, and nothing can make up for it.
    """
    geometry = converted.geometry
    margin = [-(-n // step) * step for n, step in zip(geometry.window, geometry.stride, strict=True)]
    inside = 0.2 + 0.8 * torch.rand(channels, *geometry.window, dtype=torch.float64)
    image = oracle.enlarged(inside, margin, BRIGHT)
    centre = [m // step for m, step in zip(margin, geometry.stride, strict=True)]
    with torch.no_grad():
        alone = module(inside.unsqueeze(0)).flatten()
        amid = converted(image.unsqueeze(0))[(0, slice(None), *centre)]
    return alone, amid


def check_twin(module: nn.Module, window: tuple[int, ...], channels: int) -> None:
    converted = ew.convolutionalize(module, window=window, channels=channels).eval()
    alone, amid = bright_surroundings(module, converted, channels)
    largest = float(((amid - alone) / alone.abs()).abs().max())
    if converted.verdict.exact:
        assert largest <= EQUAL
    else:
        assert largest > 1e-9, f"{converted.verdict.summary()}, but the window's surroundings change nothing"
        assert bool((amid >= alone - 1e-9 * alone.abs()).all())


@drawn(20)
@given(example=networks(axes=2, padded=True, monotone=True))
def test_what_is_called_inexact_is_inexact_2d(example: Example) -> None:
    check_twin(example.module, example.window, example.channels)


@drawn(10)
@given(example=networks(axes=1, padded=True, monotone=True))
def test_what_is_called_inexact_is_inexact_1d(example: Example) -> None:
    check_twin(example.module, example.window, example.channels)


@drawn(8)
@given(example=networks(axes=3, padded=True, monotone=True))
def test_what_is_called_inexact_is_inexact_3d(example: Example) -> None:
    check_twin(example.module, example.window, example.channels)


@pytest.mark.parametrize("name", sorted(name for name, case in CASES.items() if case.inexact))
def test_each_inexact_network_by_hand_has_an_image_that_differs(name: str) -> None:
    case = CASES[name]
    check_twin(positive_twin(copy.deepcopy(case.module).double()), case.window, case.channels)


def trial(name: str) -> tuple[Case, nn.Module, nn.Module, torch.Tensor]:
    case = CASES[name]
    module = with_trial_weights(copy.deepcopy(case.module), case.channels, case.window, seed=3)
    converted = ew.convolutionalize(module, window=case.window, channels=case.channels).eval()
    size = [n + 2 * case.network_stride for n in case.window]
    return case, module, converted, noise((1, case.channels, *size), 5)[0]


def most_felt(converted: nn.Module, image: torch.Tensor) -> list[torch.Tensor]:
    """The weight of each parameter that the scores depend on most, as a view of it."""
    parameters = list(converted.parameters())
    slopes = torch.autograd.grad(converted(image.unsqueeze(0)).square().sum(), parameters)
    return [p.detach().view(-1)[slope.abs().argmax()] for p, slope in zip(parameters, slopes, strict=True)]


@pytest.mark.parametrize("name", ["lenet", "flatten w h C", "linear before any flatten", "tied weights", "1-D"])
def test_one_changed_weight_makes_the_comparison_fail(name: str) -> None:
    """Whichever parameter it is in."""
    case, module, converted, image = trial(name)
    stride = [case.network_stride] * len(case.window)
    assert larger_difference(module, converted, image, case.window, stride) <= EQUAL
    for weight in most_felt(converted, image):
        kept = weight.clone()
        weight += 1e-3
        assert larger_difference(module, converted, image, case.window, stride) > 1e3 * EQUAL
        weight.copy_(kept)
    assert larger_difference(module, converted, image, case.window, stride) <= EQUAL


@torch.no_grad()
def test_a_changed_weight_shows_in_float32_too() -> None:
    case, module, _, image = trial("lenet")
    module, image = module.float(), image.float()
    converted = ew.convolutionalize(module, window=case.window).eval()
    limit = oracle.TOLERANCE[torch.float32]
    assert larger_difference(module, converted, image, case.window, [4, 4]) <= limit
    converted.get_parameter("conv2.weight")[3, 2, 1, 1] += 1e-2
    assert larger_difference(module, converted, image, case.window, [4, 4]) > limit


BREAKS = {
    "padding unseen": lambda record, after: replace(after, head=0, tail=0),
    "head one too small": lambda record, after: replace(after, head=max(after.head - 1, 0)),
    "tail one too small": lambda record, after: replace(after, tail=max(after.tail - 1, 0)),
}


@pytest.mark.parametrize("broken", BREAKS)
def test_a_broken_record_is_found_out(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records that forget padding call a network exact that is not, and the law for exact networks fails."""
    sound = AxisRecord.after

    def after(self: AxisRecord, *arguments: Any, **options: Any) -> AxisRecord:
        return BREAKS[broken](self, sound(self, *arguments, **options))

    low, high = (1, 0) if broken != "tail one too small" else (0, 1)
    layers = [
        nn.ZeroPad2d((low, high, low, high)),
        nn.Conv2d(2, 4, 2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(256, 3),
    ]
    module = with_trial_weights(nn.Sequential(*layers), 2, (8, 8), seed=3)
    image = noise((1, 2, 11, 10), 5)[0]
    honest = ew.convolutionalize(module, window=8, channels=2)
    assert not honest.verdict.exact
    monkeypatch.setattr(AxisRecord, "after", after)
    deceived = ew.convolutionalize(copy.deepcopy(module), window=8, channels=2).eval()
    assert deceived.verdict.exact
    assert larger_difference(module, deceived, image, (8, 8), (1, 1)) > EQUAL


def test_a_verdict_is_the_same_whatever_the_weights() -> None:
    """It is proved from the graph: weights of zero, which hide the padding, make nothing exact."""
    module = copy.deepcopy(CASES["vgg"].module).double()
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    converted = ew.convolutionalize(module, window=28)
    assert not converted.verdict.exact
    assert converted.verdict.reasons[0].layer == "features.0"
