"""C5c: pooling is an infinitely strong prior: where exact places matter, max pooling raises the training error."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

LENGTH, POOL = 16, 4


def training_error(pools: bool, seed: int) -> float:
    """Is a spike at an even place? Error on the 16 examples that were trained on."""
    torch.manual_seed(seed)
    spikes, labels = torch.eye(LENGTH)[:, None], torch.arange(LENGTH) % 2
    features = [nn.Conv1d(1, 8, 3, padding=1), nn.ReLU(), *([nn.MaxPool1d(POOL)] if pools else []), nn.Flatten()]
    net = nn.Sequential(*features, nn.Linear(8 * LENGTH // (POOL if pools else 1), 2))
    optimizer = torch.optim.Adam(net.parameters(), 0.02)
    for _ in range(300):
        optimizer.zero_grad()
        F.cross_entropy(net(spikes), labels).backward()
        optimizer.step()
    return float((net(spikes).argmax(1) != labels).float().mean())


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_where_exact_places_matter(seed: int) -> None:
    """In each of the 4 pools two neighbouring places give the same maxima, whatever the weights: 4 errors at least."""
    assert training_error(False, seed) == 0
    assert training_error(True, seed) >= 4 / LENGTH


def test_two_places_look_alike_behind_the_pool() -> None:
    net = nn.Sequential(nn.Conv1d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool1d(POOL))
    with torch.no_grad():
        maxima = net(torch.eye(LENGTH)[:, None])
    for start in range(0, LENGTH, POOL):
        assert torch.equal(maxima[start + 1], maxima[start + 2])
