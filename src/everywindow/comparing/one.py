"""The modes on one image."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
from torch import Tensor

from everywindow.comparing.asked import REFERENCE, Asked
from everywindow.comparing.differences import differences, spread_of
from everywindow.comparing.maps import activation_of, checked_classes, score_map, warn_of_pixels
from everywindow.comparing.sampling import chosen_windows, run_sampled, settled, starts_of
from everywindow.engines import Run, predicted_seconds, run, windows_of
from everywindow.errors import ConversionError
from everywindow.geometry import WindowGrid
from everywindow.io import Image
from everywindow.report import Comparison, Farthest, LeftOut, ModeRun, Sample


class _Reference(NamedTuple):
    """The crops.

    Attributes:
        scores: ``[K, n]``.
        indices: the places of their windows among all; None for all.
        activation: what makes probabilities of scores.
    """

    scores: Tensor
    indices: tuple[int, ...] | None
    activation: str

    def of(self, scores: Tensor) -> Tensor:
        """Of the scores ``[K, *counts]`` of all windows those of the same windows, ``[K, n]``."""
        flat = scores.flatten(1)
        return flat if self.indices is None else flat[:, list(self.indices)]


def grid_for(asked: Asked, read: Image) -> WindowGrid:
    """The windows of an image.

    Raises:
        InputError: it is smaller than a window, or than a stride that was asked for.
    """
    asked.check_stride(read.size)
    return windows_of(asked.prepared, read.size, asked.known.window, asked.stride, asked.output)


def compare_one(asked: Asked, read: Image, name: str | None = None) -> Comparison:
    """All modes on an image, measured against the crops.

    Raises:
        InputError, IndependenceError: as for a scan.
        ConversionError: a mode that was asked for cannot run.
    """
    grid = grid_for(asked, read)
    warn_of_pixels(asked.known, read, asked.stride)
    indices = chosen_windows(grid, asked.samples, asked.seed)
    crops, timed = (
        (_scanned(asked, read, REFERENCE), True) if indices is None else run_sampled(asked, read.pixels, grid, indices)
    )
    checked_classes(asked.known, asked.prepared, crops.scores, asked.output)
    by = activation_of(asked.known, asked.prepared, crops.scores, asked.output)
    reference = _Reference(crops.scores.flatten(1), indices, by)
    others, left_out = _others(asked, read, warm=indices is not None)
    rows = [_reference_row(asked, crops, indices is not None, timed)]
    rows += [_row(asked, read, finished, reference) for finished in others]
    mapped = others if indices is not None else [crops, *others]
    return Comparison(
        runs=tuple(rows),
        windows=grid.total,
        left_out=left_out,
        spread=spread_of(reference.scores),
        name=name,
        sample=None if indices is None else _sample(asked, read, grid, reference),
        maps={run.plan.mode: score_map(asked.known, asked.prepared, read, run, asked.output) for run in mapped},
    )


def _others(asked: Asked, read: Image, warm: bool) -> tuple[list[Run], tuple[LeftOut, ...]]:
    """The other modes, and those that cannot run; ``warm``: timed as the crops of a sample are."""
    runs: list[Run] = []
    left_out: list[LeftOut] = []
    for mode in asked.modes[1:]:
        try:
            again = partial(_scanned, asked, read, mode)
            runs.append(settled(again(), again) if warm else again())
        except ConversionError as error:
            if asked.strictly:
                raise ConversionError(error.what, f"{error.why}: no {mode}", f"leave {mode} out of modes=") from error
            left_out.append(LeftOut(mode, error.layer, error.why))
    return runs, tuple(left_out)


def _scanned(asked: Asked, read: Image, mode: str) -> Run:
    return run(
        asked.prepared,
        read.pixels,
        asked.known.window,
        asked.stride,
        mode=mode,
        output=asked.output,
        memory=asked.memory,
        progress=asked.progress,
    )


def _reference_row(asked: Asked, crops: Run, extrapolated: bool, timed: bool) -> ModeRun:
    return ModeRun(
        mode=REFERENCE,
        seconds=crops.seconds if timed else None,
        macs=crops.plan.macs or 0,
        verdict=crops.verdict,
        predicted_seconds=_predicted(asked, crops),
        extrapolated=extrapolated,
        plan=crops.plan,
    )


def _row(asked: Asked, read: Image, finished: Run, reference: _Reference) -> ModeRun:
    found = differences(reference.of(finished.scores), reference.scores, reference.activation)
    classes = checked_classes(asked.known, asked.prepared, finished.scores, asked.output)
    window = found.window if reference.indices is None else reference.indices[found.window]
    index = tuple(int(i) for i in np.unravel_index(window, finished.grid.counts))
    where = score_map(asked.known, asked.prepared, read, finished, asked.output).where
    return ModeRun(
        mode=finished.plan.mode,
        seconds=finished.seconds,
        macs=finished.plan.macs or 0,
        verdict=finished.verdict,
        max_difference=found.largest,
        relative_difference=found.relative_largest,
        agreement=found.agreement,
        mean_difference=found.mean,
        relative_mean_difference=found.relative_mean,
        rank_correlations=found.rank_correlations,
        farthest=Farthest(
            klass=found.klass,
            name=classes[found.klass] if classes else f"class {found.klass}",
            index=index,
            start=_unpadded(read, starts_of(finished.grid, (window,)))[0],
            score=float(finished.scores.flatten(1)[found.klass, window]),
            reference=float(reference.scores[found.klass, found.window]),
            place=tuple(first for first, _ in where.box(index)),
            scale=read.scale,
        ),
        predicted_seconds=_predicted(asked, finished),
        plan=finished.plan,
    )


def _predicted(asked: Asked, finished: Run) -> float | None:
    return predicted_seconds(asked.prepared, finished.grid, finished.plan.engine, asked.output, asked.memory)


def _sample(asked: Asked, read: Image, grid: WindowGrid, reference: _Reference) -> Sample:
    assert reference.indices is not None
    starts = _unpadded(read, starts_of(grid, reference.indices))
    return Sample(asked.seed, reference.indices, starts, reference.scores)


def _unpadded(read: Image, starts: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, ...], ...]:
    """In pixels of the image before it was padded."""
    return tuple(tuple(first - pad for first, pad in zip(start, read.pad, strict=True)) for start in starts)
