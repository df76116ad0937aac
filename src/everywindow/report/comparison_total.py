"""The comparisons of several images, taken together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import fsum

from everywindow.report.comparison import Comparison, Farthest, ModeRun, Skipped


def in_all(images: Sequence[Comparison], skipped: Sequence[Skipped], farthest: Comparison | None = None) -> Comparison:
    """One comparison over several images; those are kept without their maps.

    Seconds and mult-adds add up, differences are the largest, means and agreement count windows alike, rank
    correlations are means over the images. Relative differences are to the spread of each image.

    Args:
        images: one or more, of the same modes.
        skipped: images that could not be used.
        farthest: the image whose maps are to be drawn.
    """
    first = images[0]
    runs = tuple(_in_all([_run(image, run.mode) for image in images], images) for run in first.runs)
    return Comparison(
        runs=runs,
        windows=sum(image.windows for image in images),
        left_out=first.left_out,
        images=tuple(replace(image, maps={}) for image in images),
        skipped=tuple(skipped),
        farthest=farthest,
    )


def off(image: Comparison) -> float:
    """The largest difference of any mode, relative to the spread."""
    return max((run.relative_difference for run in image.runs), default=0.0)


def _run(image: Comparison, mode: str) -> ModeRun:
    run = image.run(mode)
    assert run is not None
    return run


def _in_all(runs: Sequence[ModeRun], images: Sequence[Comparison]) -> ModeRun:
    windows = [image.compared for image in images]
    counted = all(run.macs for run in runs)
    return ModeRun(
        mode=runs[0].mode,
        seconds=_in_sum([run.seconds for run in runs]),
        macs=sum(run.macs for run in runs) if counted else 0,
        verdict=next((run.verdict for run in runs if not run.verdict.exact), runs[0].verdict),
        max_difference=max(run.max_difference for run in runs),
        relative_difference=max(run.relative_difference for run in runs),
        agreement=_mean([run.agreement for run in runs], windows),
        mean_difference=_mean([run.mean_difference for run in runs], windows),
        relative_mean_difference=_mean([run.relative_mean_difference for run in runs], windows),
        rank_correlations=_correlations(runs),
        farthest=_farthest(runs, images),
        predicted_seconds=_in_sum([run.predicted_seconds for run in runs]),
        extrapolated=any(run.extrapolated for run in runs),
    )


def _in_sum(seconds: Sequence[float | None]) -> float | None:
    """None where one of them is not known."""
    known = [each for each in seconds if each is not None]
    return fsum(known) if len(known) == len(seconds) else None


def _mean(values: Sequence[float], weights: Sequence[int]) -> float:
    return sum(value * weight for value, weight in zip(values, weights, strict=True)) / sum(weights)


def _correlations(runs: Sequence[ModeRun]) -> tuple[float | None, ...]:
    """Of each class the mean over the images whose maps have more than one value."""
    found = []
    for values in zip(*(run.rank_correlations for run in runs), strict=True):
        known = [value for value in values if value is not None]
        found.append(fsum(known) / len(known) if known else None)
    return tuple(found)


def _farthest(runs: Sequence[ModeRun], images: Sequence[Comparison]) -> Farthest | None:
    run, image = max(zip(runs, images, strict=True), key=lambda pair: pair[0].relative_difference)
    return None if run.farthest is None else replace(run.farthest, image=image.name)
