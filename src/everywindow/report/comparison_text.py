"""A comparison of modes as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from everywindow.geometry import axis_names
from everywindow.report.text import counted, quantity, rough, seconds_text, table

if TYPE_CHECKING:
    from everywindow.report.comparison import Comparison, ModeRun

COSTS = ("mode", "seconds", "speed-up", "predicted", "mult-adds", "crops/mode", "per second")
DIFFERENCES = (
    "mode",
    "largest difference",
    "mean",
    "of the spread",
    "mean",
    "rank correlation",
    "lowest",
    "same top class",
)


def comparison_text(c: Comparison) -> str:
    """What the modes cost, how far they are from the crops, each image of several, verdicts."""
    tables = [table([COSTS, *(_cost_row(c, run) for run in c.runs)])]
    others = [run for run in c.runs if run.mode != "crops"]
    if others:
        tables.append(table([DIFFERENCES, *map(_difference_row, others)]))
    if c.images:
        tables.append(table(_image_rows(c)))
    lines = [
        _windows(c),
        *_untimed(c),
        *_rough(c),
        *_alike(c),
        *(f"{run.mode}: {run.verdict.summary()}" for run in others),
        *_plans(others),
        *_places(others),
    ]
    return "\n\n".join([*tables, "\n".join([*lines, *map(str, c.left_out), *_skipped(c)])])


def _cost_row(c: Comparison, run: ModeRun) -> tuple[str, ...]:
    crops = c.run("crops")
    saved = f"{crops.macs / run.macs:,.1f}" if crops and run.macs else ""
    rate = run.macs_per_second
    return (
        run.mode,
        "unknown" if run.seconds is None else f"{'~' if run.extrapolated else ''}{seconds_text(run.seconds)}",
        _times(c.speed_up(run.mode)),
        _times(c.predicted_speed_up(run.mode)),
        quantity(run.macs) if run.macs else "unknown",
        saved,
        "" if rate is None else quantity(round(rate)),
    )


def _difference_row(run: ModeRun) -> tuple[str, ...]:
    return (
        run.mode,
        f"{run.max_difference:.1e}",
        f"{run.mean_difference:.1e}",
        f"{run.relative_difference:.1e}",
        f"{run.relative_mean_difference:.1e}",
        _correlation(run.rank_correlation),
        _correlation(run.lowest_rank_correlation),
        f"{100 * run.agreement:.1f} %",
    )


def _image_rows(c: Comparison) -> list[tuple[str, ...]]:
    """One row per image: how far each mode is off, of the spread, and how often its top class is the crops'."""
    modes = [run.mode for run in c.runs if run.mode != "crops"]
    head = ("image", "windows", *(cell for mode in modes for cell in (f"{mode}: of the spread", "same top class")))
    return [head, *(_image_row(image, modes) for image in c.images)]


def _image_row(image: Comparison, modes: list[str]) -> tuple[str, ...]:
    runs = [run for mode in modes if (run := image.run(mode)) is not None]
    cells = [cell for run in runs for cell in (f"{run.relative_difference:.1e}", f"{100 * run.agreement:.1f} %")]
    return (image.name or "", f"{image.windows:,}", *cells)


def _windows(c: Comparison) -> str:
    several = f" of {counted(len(c.images), 'image')}" if c.images else ""
    if c.compared == c.windows:
        return f"{counted(c.windows, 'window')}{several}"
    return (
        f"compared at {c.compared:,} random windows of {c.windows:,}{several}; ~ stands for all, worked out from those"
    )


def _untimed(c: Comparison) -> list[str]:
    crops = c.run("crops")
    return ["speed-up: not enough samples to tell"] if crops is not None and crops.seconds is None else []


def _rough(c: Comparison) -> list[str]:
    axes = next((len(run.farthest.start) for run in c.runs if run.farthest is not None), 2)
    return rough(axes) if any(run.predicted_seconds is not None for run in c.runs) else []


def _alike(c: Comparison) -> list[str]:
    """Where there is no spread that differences could be measured in."""
    several = [image.name or "" for image in c.images if image.spread == 0 and image.compared > 1]
    if several:
        return [f"the crops give all windows the same scores, so nothing is relative to a spread: {', '.join(several)}"]
    if c.spread == 0 and c.compared > 1:
        return ["the crops give all windows the same scores: differences are not relative to a spread"]
    return []


def _plans(runs: list[ModeRun]) -> list[str]:
    """Why a mode ran as it did, where the plan chose."""
    chosen = [run for run in runs if run.plan is not None and run.mode == "exact"]
    return [f"{run.mode}: {run.plan.reason}" for run in chosen]


def _places(runs: list[ModeRun]) -> list[str]:
    """Where modes that do not equal the crops are farthest off."""
    found = [(run, run.farthest) for run in runs if run.farthest is not None and not run.verdict.exact]
    return [
        f"{run.mode}: farthest off in the window that starts at {place_text(at.place)}"
        f"{f' of {at.image}' if at.image else ''}: {at.name} has {at.score:.4g}, by the crops {at.reference:.4g}"
        for run, at in found
    ]


def _skipped(c: Comparison) -> list[str]:
    if not c.skipped:
        return []
    images = counted(len(c.skipped) + len(c.images), "image")
    return [f"{len(c.skipped)} of {images} left out:", *(f"  {each}" for each in c.skipped)]


def place_text(place: tuple[float, ...]) -> str:
    """A pixel's place for people.

    >>> place_text((20, 53.3333))
    'y 20, x 53.3'
    """
    return ", ".join(f"{name} {round(at, 1):g}" for name, at in zip(axis_names(len(place)), place, strict=True))


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:,.1f}"


def _correlation(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
