"""The oracle, the test weights and the random networks are tested too: they must be able to fail."""

from __future__ import annotations

from math import inf

import pytest
import torch
from hypothesis import Phase, given, settings
from torch import nn

import oracle
from random_networks import Example, networks
from trial_weights import noise, sees_the_border, tells_windows_apart, with_trial_weights

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same'")


def small_network() -> nn.Module:
    layers = [
        nn.Conv2d(2, 4, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 5, 3),
        nn.Flatten(),
        nn.Linear(20, 3),
    ]
    return with_trial_weights(nn.Sequential(*layers), 2, (10, 10))


def test_a_known_sliding_window() -> None:
    class Corner(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x[:, :, 0, -1]

    image = torch.arange(42.0).reshape(1, 6, 7)
    scores = oracle.crops(Corner(), image, (3, 4), (2, 3))
    assert scores.tolist() == [[[3.0, 6.0], [17.0, 20.0]]]


def test_shift_and_stitch_agrees_with_the_plain_sliding_window() -> None:
    module, image = small_network(), noise((1, 2, 17, 20), 0)[0]

    def coarse(batch: torch.Tensor) -> torch.Tensor:
        return oracle.crops(module, batch[0], (10, 10), (4, 6)).unsqueeze(0)

    expected = oracle.crops(module, image, (10, 10), (2, 3))
    assert torch.equal(oracle.shift_and_stitch(coarse, image, (10, 10), (4, 6), (2, 3)), expected)


def test_relative_difference_is_measured_against_the_spread() -> None:
    reference = torch.tensor([[100.0, 102.0], [0.0, 0.5]])
    changed = reference.clone()
    changed[1, 0] += 0.5
    assert oracle.relative_difference(changed, reference) == 0.25
    assert oracle.relative_difference(reference, reference) == 0


def test_what_proves_nothing_is_no_success() -> None:
    flat = torch.ones(2, 4)
    assert oracle.relative_difference(flat, flat) == inf
    assert oracle.relative_difference(flat[:, :3], flat) == inf
    broken = torch.tensor([[1.0, torch.nan]])
    assert oracle.relative_difference(broken, torch.tensor([[1.0, 2.0]])) == inf


def test_trial_weights_tell_windows_apart_where_initial_weights_do_not() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 2)).double().eval()
    nn.init.zeros_(module[3].weight)
    images = noise((6, 3, 8, 8), 0)
    with torch.no_grad():
        assert not tells_windows_apart(module(images).T)
        with_trial_weights(module, 3, (8, 8))
        assert tells_windows_apart(module(images).T)
    assert sees_the_border(module, images[0])


def test_random_networks_run_and_are_varied() -> None:
    """Every network runs on its window, most tell windows apart, and each kind of layer is drawn.

    What is drawn depends on the modules that are loaded, too (Hypothesis takes numbers from them), so there are many.
    """
    texts, apart = [], []

    @settings(max_examples=800, deadline=None, derandomize=True, database=None, phases=[Phase.generate])
    @given(example=networks())
    def collect(example: Example) -> None:
        with torch.no_grad():
            scores = example.module(noise((5, example.channels, *example.window), 0)).flatten(1)
        assert torch.isfinite(scores).all()
        texts.append(repr(example))
        apart.append(tells_windows_apart(scores.T))

    collect()
    assert sum(apart) > 0.85 * len(apart)
    wanted = [
        "Conv3d",
        "MaxPool1d",
        "AvgPool2d",
        "ChannelsLast",
        "FlattenAs",
        "Shuffle",
        "Concat",
        "in_place=True",
    ]
    wanted += [
        "ceil_mode=True",
        "padding=same",
        "BatchNorm1d",
        "AdaptiveMaxPool",
        "LogSoftmax",
        "groups=2",
        "-1, -1",
        "mode=circular",
        "padding_mode=reflect",
        "Blur(replicate)",
        "PixelUnshuffle",
        "SpaceToDepth((3,",
        "(over): Linear",
    ]
    missing = [word for word in wanted if not any(word in text for text in texts)]
    assert not missing
