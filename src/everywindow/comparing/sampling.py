"""Some windows of an image at random, through the original network."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from everywindow.comparing.asked import REFERENCE, Asked
from everywindow.engines import Run, first_batch, run
from everywindow.geometry import WindowGrid

TIMED_SECONDS = 0.3
"""Work that is timed takes so long, or is repeated."""

MOST_VALUES = 2**25
"""Of windows that are repeated to be timed."""

BATCHES = 2
"""So many of the least batches are timed, or nothing is said of the seconds."""


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


def run_sampled(asked: Asked, pixels: Tensor, grid: WindowGrid, indices: tuple[int, ...]) -> tuple[Run, bool]:
    """The original network on some windows of ``pixels`` ``[C, *size]``, and whether its seconds say anything.

    Scores are ``[K, n]``. Seconds and mult-adds are what all windows would take, worked out from these.
    """
    window = asked.known.window
    parts = [
        pixels[(slice(None), *(slice(first, first + size) for first, size in zip(start, window, strict=True)))]
        for start in starts_of(grid, indices)
    ]
    finished = _side_by_side(asked, parts, asked.progress)
    each, enough = _seconds_of_one(asked, parts, grid, finished)
    macs = finished.plan.macs
    plan = replace(finished.plan, macs=None if macs is None else macs // len(indices) * grid.total)
    done = replace(finished, scores=finished.scores.flatten(1), plan=plan, grid=grid, seconds=each * grid.total)
    return done, enough


def _seconds_of_one(asked: Asked, parts: list[Tensor], grid: WindowGrid, first: Run) -> tuple[float, bool]:
    """Seconds of a window among all, and whether whole batches of windows have been timed.

    The first run warmed up. What a call takes by itself is shared by all windows of a batch: so the windows are
    repeated, up to as many as there are, until they fill batches as those of the image do; the second time counts, when
    the size of a batch has been found.
    """
    each = first.seconds / len(parts)
    fits = max(1, MOST_VALUES // parts[0].numel())
    count = min(grid.total, max(len(parts), min(fits, round(TIMED_SECONDS / max(each, 1e-9)))))
    repeated = [parts[index % len(parts)] for index in range(count)]
    timed = [_side_by_side(asked, repeated, progress=False) for _ in range(2)]
    seconds = min(one.seconds for one in timed) / count
    return seconds, count == grid.total or count >= BATCHES * first_batch(parts[0].numel())


def _side_by_side(asked: Asked, parts: list[Tensor], progress: bool | None) -> Run:
    """Side by side and a window apart, windows are those of an image of their own."""
    window = asked.known.window
    return run(
        asked.prepared,
        torch.cat(parts, dim=1),
        window,
        window,
        mode=REFERENCE,
        output=asked.output,
        memory=asked.memory,
        progress=progress,
    )


def settled(first: Run, again: Callable[[], Run]) -> Run:
    """A run, or the faster of two where it was so brief that what is done once would count much."""
    return first if first.seconds > TIMED_SECONDS else min(first, again(), key=lambda one: one.seconds)
