"""Small labelled folders, and a classifier whose answers on them are neither all right nor all wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

import everywindow as ew

CLASSES = ("red", "green", "blue")
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
WINDOW = 12


def classifier(padding: int = 1, classes: tuple[str, ...] | None = CLASSES, outputs: int = 3) -> ew.Classifier:
    """Random weights that tell windows apart."""
    torch.manual_seed(3)
    size = WINDOW - 4 + 4 * padding
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=padding),
        nn.ReLU(),
        nn.Conv2d(6, 6, 3, padding=padding),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(6 * size * size, outputs),
    )
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.2)
    return ew.Classifier(net.eval(), WINDOW, mean=MEAN, std=STD, classes=classes)


def folder(root: Path, sizes: tuple[tuple[int, int], ...] = ((20, 26), (17, 15), (12, 12)), each: int = 2) -> Path:
    """``each`` pictures of every size for each class: noise with a tint of the class and a bright corner."""
    rng = np.random.default_rng(0)
    for channel, name in enumerate(CLASSES):
        (root / name).mkdir(parents=True, exist_ok=True)
        for i, (height, width) in enumerate(sizes * each):
            pixels = rng.integers(0, 200, (height, width, 3))
            pixels[: height // 2, : width // 2, channel] += 55
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{name}{i}.png")
    return root
