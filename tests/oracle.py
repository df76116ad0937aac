"""The plain sliding window, and the measure that results are compared with.

Imports nothing of the package: what is tested shares no code with what tests it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn import functional as F

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-4}
"""Largest difference that counts as equal, relative to the spread of the scores between windows."""


def window_offsets(image_size: Sequence[int], window: Sequence[int], stride: Sequence[int]) -> list[list[int]]:
    """First pixel of every window that lies inside the image, per axis.

    >>> window_offsets((10, 7), (4, 4), (3, 2))
    [[0, 3, 6], [0, 2]]
    """
    return [
        [first for first in range(0, size, step) if first + length <= size]
        for size, length, step in zip(image_size, window, stride, strict=True)
    ]


def windows(image: Tensor, window: Sequence[int], stride: Sequence[int]) -> Iterator[Tensor]:
    """Every window ``[C, *window]`` of an image ``[C, *size]``, the last axis fastest."""
    for corner in product(*window_offsets(image.shape[1:], window, stride)):
        yield image[(slice(None), *(slice(first, first + n) for first, n in zip(corner, window, strict=True)))]


@torch.no_grad()
def crops(
    module: nn.Module,
    image: Tensor,
    window: Sequence[int],
    stride: Sequence[int],
    pick: Callable[[object], Tensor] | None = None,
) -> Tensor:
    """Scores ``[K, *counts]`` of the module on every window of an image ``[C, *size]``, one by one.

    Each window goes through by itself, as a batch of one. ``pick`` takes one output of several.
    """
    was_training = module.training
    module.eval()
    scores = []
    for pixels in windows(image, window, stride):
        out = module(pixels.clone().unsqueeze(0))
        scores.append((pick(out) if pick else out).reshape(-1))
    module.train(was_training)
    counts = [len(axis) for axis in window_offsets(image.shape[1:], window, stride)]
    return torch.stack(scores, dim=1).reshape(-1, *counts)


@torch.no_grad()
def shift_and_stitch(
    whole: Callable[[Tensor], Tensor],
    image: Tensor,
    window: Sequence[int],
    coarse: Sequence[int],
    fine: Sequence[int],
) -> Tensor:
    """Scores at stride ``fine`` from a function that gives them at stride ``coarse`` (a multiple of it).

    The image is shifted by every multiple of ``fine`` below ``coarse``, and the maps are interleaved.
    """
    offsets = window_offsets(image.shape[1:], window, fine)
    phases = [c // f for c, f in zip(coarse, fine, strict=True)]
    stitched: Tensor | None = None
    for shift in product(*(range(min(p, len(axis))) for p, axis in zip(phases, offsets, strict=True))):
        crop = image[(slice(None), *(slice(i * f, None) for i, f in zip(shift, fine, strict=True)))]
        part = whole(crop.unsqueeze(0))[0]
        if stitched is None:
            stitched = part.new_full((part.shape[0], *(len(axis) for axis in offsets)), torch.nan)
        target = stitched[(slice(None), *(slice(i, None, p) for i, p in zip(shift, phases, strict=True)))]
        target.copy_(part[(slice(None), *(slice(0, n) for n in target.shape[1:]))])
    assert stitched is not None
    return stitched


def enlarged(image: Tensor, margin: Sequence[int], value: float) -> Tensor:
    """The image ``[C, *size]`` with ``margin`` pixels of one value around it."""
    sides = [side for pixels in reversed(list(margin)) for side in (pixels, pixels)]
    return F.pad(image, sides, value=value)


def spread(scores: Tensor) -> float:
    """Largest over the classes of (maximum - minimum) over the windows, for scores ``[K, ...]``."""
    flat = scores.reshape(scores.shape[0], -1)
    return float((flat.max(dim=1).values - flat.min(dim=1).values).max())


def relative_difference(result: Tensor, reference: Tensor, scale: float | None = None) -> float:
    """Largest difference over the spread of the reference between windows; both ``[K, ...]``.

    Infinite where the two have different shapes, where a value is not a number, or where the reference
    tells no two windows apart, for such a comparison proves nothing. ``scale`` is the spread where it is
    known from more windows than these.
    """
    if result.shape != reference.shape or not torch.isfinite(reference).all() or not torch.isfinite(result).all():
        return float("inf")
    scale = spread(reference) if scale is None else scale
    if scale == 0:
        return float("inf")
    return float((result - reference).abs().max()) / scale
