"""C8: dropout trains with a keep probability and is the identity at test time; with 1 the loss falls steadily."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import everywindow as ew
from everywindow import reference as ref
from trial_weights import noise, with_trial_weights


def losses(keep: float, seed: int, steps: int = 60) -> list[float]:
    """Of a small network while it learns by plain gradient descent, written out."""
    generator = np.random.default_rng(seed)
    x, labels = generator.standard_normal((24, 6)), generator.integers(0, 3, 24)
    w1, w2 = 0.5 * generator.standard_normal((16, 6)), 0.5 * generator.standard_normal((3, 16))
    found = []
    for _ in range(steps):
        mask = ref.dropout_mask((24, 16), keep, generator)
        before = ref.linear(x, w1)
        hidden = ref.dropout(ref.relu(before), keep, mask)
        z = ref.linear(hidden, w2)
        found.append(ref.cross_entropy(z, labels))
        second = ref.linear_backward(ref.cross_entropy_backward(z, labels), hidden, w2)
        first = ref.linear_backward(ref.relu_backward(ref.dropout_backward(second.dx, keep, mask), before), x, w1)
        w1, w2 = w1 - 0.1 * first.dw, w2 - 0.1 * second.dw
    return found


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_with_keep_1_the_loss_falls_steadily(seed: int) -> None:
    """The check before it is switched on; then the loss goes up and down."""
    steady, noisy = np.diff(losses(1.0, seed)), np.diff(losses(0.5, seed))
    assert (steady < 0).all()
    assert (noisy > 0).sum() > 10


def test_the_identity_at_test_time() -> None:
    layers = [nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Dropout2d(0.5), nn.Flatten(), nn.Dropout(0.9), nn.Linear(4 * 16, 3)]
    module = with_trial_weights(nn.Sequential(*layers), 1, (6, 6))
    plain = nn.Sequential(*(layer for layer in layers if "Dropout" not in type(layer).__name__))
    image = noise((1, 1, 11, 9), 1)[0]
    scans = [ew.scan(net, image, window=6, dtype=torch.float64).scores for net in (module, plain)]
    assert torch.equal(*scans)
    x = np.arange(6.0)
    assert (ref.dropout(x) == x).all()


def test_in_the_one_pass_it_trains_again() -> None:
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Dropout(0.5), nn.Linear(4 * 16, 3))
    converted = ew.convolutionalize(module, window=6)
    image = torch.randn(1, 1, 11, 9)
    assert not torch.equal(converted.train()(image), converted.train()(image))
    assert torch.equal(converted.eval()(image), converted.eval()(image))
