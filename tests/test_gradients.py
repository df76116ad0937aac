"""The converted network trains: its gradients are the original's, its layers are still layers."""

from __future__ import annotations

import copy
from collections import OrderedDict

import pytest
import torch
from torch import Tensor, nn

import everywindow as ew
import oracle
from test_handmade import CASES, Tied
from trial_weights import noise, with_trial_weights

NAMES = [
    "lenet",
    "flatten w h C",
    "batch norm in another order",
    "layer norm head",
    "adaptive bins, then a convolution",
    "linear before any flatten",
    "channel shuffle",
    "tied weights",
    "ceil mode mean with padding",
    "padded 1-D",
    "3-D",
]


def gradients(module: nn.Module, loss: Tensor) -> dict[str, Tensor]:
    named = dict(module.named_parameters())
    return dict(zip(named, torch.autograd.grad(loss, list(named.values())), strict=True))


def assert_same(got: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert got.keys() == expected.keys()
    scale = max(float(value.abs().max()) for value in expected.values())
    for name, value in expected.items():
        assert float((got[name] - value).abs().max()) <= 1e-11 * scale, name
    assert all(bool(value.any()) for value in expected.values())


@pytest.mark.parametrize("name", NAMES)
def test_gradients_equal_the_originals_at_the_windows_size(name: str) -> None:
    case = CASES[name]
    module = with_trial_weights(case.module, case.channels, case.window, seed=3)
    converted = ew.convolutionalize(module, window=case.window, channels=case.channels).eval()
    images = noise((4, case.channels, *case.window), 1)
    scores = module(images)
    target = torch.randn_like(scores)
    expected = gradients(module, ((scores - target) ** 2).sum())
    got = gradients(converted, ((converted(images).flatten(1) - target) ** 2).sum())
    assert_same(got, expected)


@pytest.mark.parametrize("name", [name for name in NAMES if not CASES[name].inexact])
def test_gradients_equal_those_summed_over_the_crops(name: str) -> None:
    case = CASES[name]
    module = with_trial_weights(case.module, case.channels, case.window, seed=3)
    converted = ew.convolutionalize(module, window=case.window, channels=case.channels).eval()
    step = [case.network_stride] * len(case.window)
    size = [n + (1 + (axis == 0)) * case.network_stride for axis, n in enumerate(case.window)]
    image = noise((1, case.channels, *size), 2)
    scores = converted(image)[0].flatten(1)
    target = torch.randn_like(scores)
    got = gradients(converted, ((scores - target) ** 2).sum())
    windows = oracle.windows(image[0], case.window, step)
    loss = sum(((module(x.unsqueeze(0)).flatten() - target[:, i]) ** 2).sum() for i, x in enumerate(windows))
    assert isinstance(loss, Tensor)
    assert_same(got, gradients(module, loss))


def test_tied_weights_stay_tied() -> None:
    converted = ew.convolutionalize(with_trial_weights(Tied(), 2, (11, 11)), window=11, channels=2)
    named = dict(converted.named_parameters(remove_duplicate=False))
    assert named["fc1.weight"] is named["fc2.weight"]
    assert "fc2.weight" not in dict(converted.named_parameters())
    assert len(list(converted.parameters())) == len(list(Tied().parameters()))


def trainable(dropout: float = 0.5) -> nn.Module:
    layers = OrderedDict(
        conv=nn.Conv2d(2, 4, 3, stride=2),
        norm=nn.BatchNorm2d(4),
        relu=nn.ReLU(),
        flat=nn.Flatten(),
        drop=nn.Dropout(dropout),
        fc1=nn.Linear(100, 8),
        norm1=nn.BatchNorm1d(8),
        relu1=nn.ReLU(),
        fc2=nn.Linear(8, 3),
    )
    return nn.Sequential(layers)


def test_batch_norm_and_dropout_are_still_layers() -> None:
    module = with_trial_weights(trainable(), 2, (11, 11))
    converted = ew.convolutionalize(module, window=11)
    norms = [layer for layer in converted.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    assert len(norms) == 2
    assert any(isinstance(layer, nn.modules.dropout._DropoutNd) for layer in converted.modules())
    images = noise((4, 2, 11, 11), 1)
    converted.train()
    before = copy.deepcopy(converted.state_dict())
    assert not torch.equal(converted(images), converted(images))
    assert not torch.equal(converted.state_dict()["norm.running_mean"], before["norm.running_mean"])
    converted.eval()
    assert torch.equal(converted(images), converted(images))


def test_training_mode_equals_the_originals() -> None:
    """Statistics of the batch, their running values and all gradients, with dropout at 0."""
    module = with_trial_weights(trainable(dropout=0), 2, (11, 11))
    converted = ew.convolutionalize(module, window=11)
    module.train()
    converted.train()
    images, target = noise((6, 2, 11, 11), 1), torch.randn(6, 3, dtype=torch.float64)
    expected = gradients(module, ((module(images) - target) ** 2).sum())
    got = gradients(converted, ((converted(images).flatten(1) - target) ** 2).sum())
    assert_same(got, expected)
    for name, value in module.state_dict().items():
        assert torch.allclose(converted.state_dict()[name], value, rtol=1e-12, atol=1e-12), name


def test_training_on_larger_images_learns_and_weights_go_back() -> None:
    module = with_trial_weights(trainable(dropout=0), 2, (11, 11))
    converted = ew.convolutionalize(module, window=11).train()
    images = noise((4, 2, 17, 15), 1)
    target = (images.mean((1, 2, 3), keepdim=True) > 0).double().expand(4, 3, 4, 3)
    optimiser = torch.optim.SGD(converted.parameters(), lr=0.02)
    losses = []
    for _ in range(30):
        loss = ((converted(images) - target) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])
    converted.eval()
    module.load_state_dict(converted.state_dict())
    expected = oracle.crops(module, images[0], (11, 11), (2, 2))
    with torch.no_grad():
        assert oracle.relative_difference(converted(images[:1])[0], expected) <= 1e-10
