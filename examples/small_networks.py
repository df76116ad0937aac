"""What the four examples of scans share: a small network, how it learns from crops, and how well it does elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import everywindow as ew

BATCH = 64
HELD_OUT = 2000
"""Windows that are tried, at most."""


@dataclass(frozen=True)
class Found:
    """How well a classifier does on crops that share no pixel with those it learned from.

    Attributes:
        classes: their names.
        counts: crops by true class (rows) and by the classifier's (columns).
    """

    classes: tuple[str, ...]
    counts: np.ndarray

    @property
    def accuracy(self) -> float:
        return float(np.trace(self.counts) / self.counts.sum())

    @property
    def commonest(self) -> float:
        """Accuracy of always saying the commonest class."""
        return float(self.counts.sum(1).max() / self.counts.sum())

    @property
    def recalls(self) -> tuple[float, ...]:
        """Share of each class that is found; NaN where there is none of it."""
        rows = self.counts.sum(1)
        return tuple(float(self.counts[n, n] / rows[n]) if rows[n] else float("nan") for n in range(len(rows)))

    def __str__(self) -> str:
        lines = [f"{self.counts.sum():,} held-out windows: accuracy {self.accuracy:.3f}"]
        lines[0] += f" (the commonest class alone: {self.commonest:.3f})"
        for name, row, recall in zip(self.classes, self.counts, self.recalls, strict=True):
            lines.append(
                f"  {name}: {recall:.3f} of {row.sum():,}; as {dict(zip(self.classes, row.tolist(), strict=True))}"
            )
        return "\n".join(lines)


def network(window: Sequence[int], channels: int, classes: int, widths: Sequence[int] = (16, 32, 32)) -> nn.Module:
    """Convolutions that pad with zeros, each followed by a pooling, and a linear layer.

    It begins by normalising, for images in units of their own.
    """
    axes = len(window)
    conv: Any = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[axes - 1]
    norm: Any = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)[axes - 1]
    pool: Any = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)[axes - 1]
    layers: list[nn.Module] = [norm(channels)]
    sizes, before = list(window), channels
    for after in widths:
        layers += [conv(before, after, 3 if axes > 1 else 7, padding="same"), norm(after), nn.ReLU(), pool(2)]
        sizes, before = [n // 2 for n in sizes], after
    return nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.3), nn.Linear(before * int(np.prod(sizes)), classes))


def crops(image: np.ndarray, centres: np.ndarray, window: Sequence[int]) -> Tensor:
    """Windows ``[N, C, *window]`` of an image ``[*size, C]``; a centre is the pixel ``window // 2`` after the first."""
    cut = [image[tuple(slice(c - n // 2, c - n // 2 + n) for c, n in zip(at, window, strict=True))] for at in centres]
    return torch.from_numpy(np.stack(cut)).movedim(-1, 1).float()


def centres_in(part: Sequence[tuple[int, int]], window: Sequence[int], labels: np.ndarray) -> np.ndarray:
    """Which places of ``labels`` are centres of windows inside a part of the image, and have a class (not −1)."""
    inside = np.zeros(labels.shape, bool)
    inside[tuple(slice(a + n // 2, b - n + n // 2 + 1) for (a, b), n in zip(part, window, strict=True))] = True
    return np.argwhere(inside & (labels >= 0))


def drawn(centres: np.ndarray, labels: np.ndarray, each: int, rng: np.random.Generator) -> np.ndarray:
    """Up to so many centres of each class."""
    classes = labels[tuple(centres.T)]
    members = [np.flatnonzero(classes == klass) for klass in np.unique(classes)]
    return centres[np.concatenate([rng.permutation(some)[:each] for some in members])]


def fit(clf: ew.Classifier, images: Tensor, classes: Tensor, steps: int, flips: Sequence[int] = ()) -> None:
    """Learn from crops in the units in which a scan hands them to the network, each class as often as the others.

    ``flips`` are axes along which the crops may be mirrored.
    """
    share = 1 / torch.bincount(classes).clamp(min=1)
    optimizer = torch.optim.AdamW(clf.module.parameters(), weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=steps)
    clf.module.train()
    for _ in range(steps):
        picked = torch.multinomial(share[classes], BATCH, replacement=True)
        batch = normalised(clf, images[picked]).flip([axis for axis in flips if torch.rand(()) < 0.5])
        optimizer.zero_grad()
        F.cross_entropy(clf.module(batch), classes[picked]).backward()
        optimizer.step()
        schedule.step()
    clf.module.eval()


def normalised(clf: ew.Classifier, images: Tensor) -> Tensor:
    """As a scan does it."""
    assert clf.mean is not None
    assert clf.std is not None
    shape = (-1, *(1 for _ in clf.window))
    return (images - torch.tensor(clf.mean).reshape(shape)) / torch.tensor(clf.std).reshape(shape)


@torch.no_grad()
def held_out(clf: ew.Classifier, images: Tensor, classes: Tensor) -> Found:
    """What the classifier says of crops, beside what they are."""
    assert clf.classes is not None
    said = torch.cat([clf.module(normalised(clf, some)).argmax(1) for some in images.split(256)])
    counts = np.zeros((len(clf.classes),) * 2, int)
    np.add.at(counts, (classes.numpy(), said.numpy()), 1)
    return Found(clf.classes, counts)


def learned(
    clf: ew.Classifier,
    image: np.ndarray,
    labels: np.ndarray,
    parts: tuple[Sequence[tuple[int, int]], Sequence[tuple[int, int]]],
    steps: int,
    each: int,
    seed: int,
    flips: Sequence[int] = (),
) -> Found:
    """Learn on windows of one part of an image, and try those of another, drawn at random.

    Args:
        clf: what learns.
        image: ``[*size, C]``, in the units of a scan.
        labels: class of the window around each pixel, or −1 where it is not to be used.
        parts: boxes, the first to learn from.
        steps: batches to learn from.
        each: windows of each class to learn from.
        seed: for what is drawn.
        flips: axes of ``[N, C, *window]`` along which windows may be mirrored.
    """
    rng = np.random.default_rng(seed)
    centres = drawn(centres_in(parts[0], clf.window, labels), labels, each, rng)
    classes = torch.from_numpy(labels[tuple(centres.T)]).long()
    fit(clf, crops(image, centres, clf.window), classes, steps, flips)
    others = rng.permutation(centres_in(parts[1], clf.window, labels))[:HELD_OUT]
    return held_out(clf, crops(image, others, clf.window), torch.from_numpy(labels[tuple(others.T)]).long())
