"""The guide's running example: a network that reads handwritten digits of 32×32 pixels, trained in seconds.

The pictures are the 1,797 digits that come with scikit-learn, enlarged from 8×8 pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from torch import nn

WINDOW = 32
FOR_TESTS = 397
"""The last digits are kept for tests."""


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures ``[1797, 1, 32, 32]`` from 0 to 1, and what each shows."""
    from sklearn.datasets import load_digits

    small = torch.from_numpy(load_digits().images.astype(np.float32) / 16)[:, None]
    large = nn.functional.interpolate(small, size=WINDOW, mode="bilinear", align_corners=False)
    return large, torch.from_numpy(load_digits().target)


def reader() -> nn.Sequential:
    """Three convolutions halve the size; a fully connected layer reads the 4×4×3 map."""
    return nn.Sequential(
        *(nn.Conv2d(1, 8, 2, stride=2), nn.ReLU()),
        *(nn.Conv2d(8, 32, 2, stride=2), nn.ReLU()),
        nn.Conv2d(32, 3, 2, stride=2),
        nn.Flatten(),
        nn.Linear(48, 10),
    )


def padded_reader() -> nn.Sequential:
    """As most networks are built: convolutions pad, and keep the size."""
    return nn.Sequential(
        *(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Flatten(),
        nn.Linear(256, 10),
    )


def train(
    net: nn.Module, pictures: torch.Tensor, labels: torch.Tensor, steps: int = 400, shift: int = 1
) -> list[float]:
    """Train in place on batches of 64 digits, each batch shifted by up to ``shift`` pixels; gives each step's loss."""
    generator = torch.Generator().manual_seed(0)
    wide = nn.functional.pad(pictures, [shift] * 4)
    optimizer = torch.optim.Adam(net.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=steps)
    losses = []
    for _ in range(steps):
        chosen = torch.randint(len(pictures), (64,), generator=generator)
        down, right = torch.randint(2 * shift + 1, (2,), generator=generator).tolist()
        batch = wide[chosen, :, down : down + WINDOW, right : right + WINDOW]
        loss = nn.functional.cross_entropy(net(batch), labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return losses


@cache
def trained(
    build: Callable[[], nn.Sequential] = reader, steps: int = 400, shift: int = 1
) -> tuple[nn.Sequential, float]:
    """A network that has learnt, ready to use, and its share of right answers on digits that it never saw."""
    pictures, labels = digits()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = build()
        train(net, pictures[:-FOR_TESTS], labels[:-FOR_TESTS], steps, shift)
    net.eval()
    with torch.no_grad():
        right = net(pictures[-FOR_TESTS:]).argmax(1) == labels[-FOR_TESTS:]
    return net, right.float().mean().item()
