"""Small networks and images that streamed scans are tried on, and what is on disk after one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import everywindow as ew

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
POOLS = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)


def network(axes: int, window: int, padding: int = 0, channels: int = 1, seed: int = 0) -> nn.Module:
    """A convolution, a pooling by 2 and a linear head, in double precision."""
    torch.manual_seed(seed)
    left = (window + 2 * padding - 2) // 2
    net = nn.Sequential(
        CONVOLUTIONS[axes - 1](channels, 3, 3, padding=padding),
        nn.ReLU(),
        POOLS[axes - 1](2),
        nn.Flatten(),
        nn.Linear(3 * left**axes, 2),
    )
    return net.double().eval()


def classifier(axes: int = 2, window: int = 8, padding: int = 1, channels: int = 1, seed: int = 0) -> ew.Classifier:
    """That network, with normalisation."""
    net = network(axes, window, padding, channels, seed)
    return ew.Classifier(net, window=(window,) * axes, mean=[0.4] * channels, std=[0.3] * channels)


def noise(size: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Bytes of noise."""
    return np.random.default_rng(seed).integers(0, 256, size, np.uint8)


def saved(folder: Path, size: tuple[int, ...], seed: int = 0) -> Path:
    """An image of noise, of one channel."""
    file = folder / "image.npy"
    np.save(file, noise(size, seed))
    return file


def content(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file with its bytes and the time of its last change."""
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Every file with its bytes."""
    return {name: found for name, (found, _) in content(folder).items()}


def tiles(counts: tuple[int, ...], tile: int) -> list[tuple[slice, ...]]:
    """The windows of each tile, the last axis fastest."""
    return list(product(*([slice(a, min(a + tile, n)) for a in range(0, n, tile)] for n in counts)))


@contextmanager
def patched(owner: Any, name: str, value: Any) -> Iterator[None]:
    """An attribute is another one meanwhile."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)
