"""Some windows of an image at random, through the original network."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from everywindow.comparing.asked import REFERENCE, Asked
from everywindow.engines import Run, run
from everywindow.geometry import WindowGrid


def chosen_windows(grid: WindowGrid, samples: int | None, seed: int) -> tuple[int, ...] | None:
    """Places of some windows among all, in order, the last axis fastest; None where all are wanted.

    >>> grid = WindowGrid((12, 12), (4, 4), (4, 4))
    >>> chosen_windows(grid, 3, seed=0) == chosen_windows(grid, 3, seed=0), chosen_windows(grid, 9, seed=0)
    (True, None)
    """
    if samples is None or samples >= grid.total:
        return None
    return tuple(sorted(random.Random(seed).sample(range(grid.total), samples)))


def starts_of(grid: WindowGrid, indices: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """The first pixel of each window."""
    places = np.stack(np.unravel_index(indices, grid.counts), axis=1) * np.array(grid.stride)
    return tuple(tuple(int(first) for first in place) for place in places)


def run_sampled(asked: Asked, pixels: Tensor, grid: WindowGrid, indices: tuple[int, ...]) -> Run:
    """The original network on some windows of ``pixels`` ``[C, *size]``; scores are ``[K, n]``.

    Seconds and mult-adds are what all windows would take, worked out from these.
    """
    window = asked.known.window
    parts = [
        pixels[(slice(None), *(slice(first, first + size) for first, size in zip(start, window, strict=True)))]
        for start in starts_of(grid, indices)
    ]
    # Side by side and a window apart, they are the windows of an image of their own.
    finished = run(
        asked.prepared,
        torch.cat(parts, dim=1),
        window,
        window,
        mode=REFERENCE,
        output=asked.output,
        memory=asked.memory,
        progress=asked.progress,
    )
    macs = finished.plan.macs
    plan = replace(finished.plan, macs=None if macs is None else macs // len(indices) * grid.total)
    return replace(
        finished,
        scores=finished.scores.flatten(1),
        plan=plan,
        grid=grid,
        seconds=finished.seconds * grid.total / len(indices),
    )
