"""What the modes cost and how far they differ: the numbers, over one image or several."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from math import isfinite
from typing import TYPE_CHECKING, Any

from everywindow.geometry import Verdict

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

    from everywindow.report.score_map import ScoreMap


@dataclass(frozen=True)
class Farthest:
    """The score of a window that is farthest from the crops.

    Attributes:
        klass: index of the class.
        name: name of the class.
        index: place of the window in the map, one per spatial axis.
        start: first pixel of the window per axis, in the image as it was scanned (negative in its padding).
        score: of the mode.
        reference: of the crops.
        place: first pixel of the window per axis, in the image as it was given.
        scale: by which that image was asked to be resized (sizes are rounded).
        image: the image's name, where there are several.
    """

    klass: int
    name: str
    index: tuple[int, ...]
    start: tuple[int, ...]
    score: float
    reference: float
    place: tuple[float, ...]
    scale: float = 1.0
    image: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The same as plain data for JSON."""
        scores = {"score": _number(self.score), "reference": _number(self.reference)}
        return asdict(self) | scores


@dataclass(frozen=True)
class ModeRun:
    """One mode over all windows of an image, measured against the crops. Over several images: of all of them.

    Attributes:
        mode: ``"crops"`` (the reference), ``"fcn"`` or ``"exact"``.
        seconds: wall-clock time; None where too few windows were timed to tell that of all.
        macs: mult-adds of the whole scan; 0 where they cannot be counted.
        verdict: whether this mode equals the crops, proved before running.
        max_difference: largest difference of a score from the crops.
        relative_difference: the same, relative to the spread of the crops: the largest difference, over the
            classes, between two windows' scores. (Where the crops tell no two windows apart, the difference itself.)
        agreement: share of windows, 0 to 1, with the same top class as the crops; of a single score, on the
            same side of a half.
        mean_difference, relative_mean_difference: mean over windows and classes, likewise.
        rank_correlations: per class, how far the map puts the windows in the order of the crops: Spearman's rank
            correlation, -1 to 1; None where a map has one value alone. Over several images the means.
        farthest: where the largest difference is (over several images: relative to the spread).
        predicted_seconds: predicted from the rates of the device; None where the network cannot be captured.
        extrapolated: the seconds are those of some windows, times how many more there are.
        plan: how it was run; None of several images.
    """

    mode: str
    seconds: float | None
    macs: int
    verdict: Verdict
    max_difference: float = 0.0
    relative_difference: float = 0.0
    agreement: float = 1.0
    mean_difference: float = 0.0
    relative_mean_difference: float = 0.0
    rank_correlations: tuple[float | None, ...] = ()
    farthest: Farthest | None = None
    predicted_seconds: float | None = None
    extrapolated: bool = False
    plan: Any = None

    @property
    def macs_per_second(self) -> float | None:
        """Mult-adds done per second; None where they cannot be counted."""
        return self.macs / self.seconds if self.macs and self.seconds else None

    @property
    def rank_correlation(self) -> float | None:
        """Mean of the classes' rank correlations; None where there is none."""
        known = self._known_correlations()
        return sum(known) / len(known) if known else None

    @property
    def lowest_rank_correlation(self) -> float | None:
        """Lowest of the classes' rank correlations; None where there is none."""
        return min(self._known_correlations(), default=None)

    def _known_correlations(self) -> list[float]:
        return [value for value in self.rank_correlations if value is not None]


@dataclass(frozen=True)
class LeftOut:
    """A mode that cannot run.

    Attributes:
        mode: which one.
        layer: the layer that is the reason, by the user's name for it.
        why: the reason.
    """

    mode: str
    layer: str
    why: str

    def __str__(self) -> str:
        return f"{self.mode}: no conversion: {self.layer}: {self.why}"


@dataclass(frozen=True)
class Skipped:
    """An image that could not be used.

    Attributes:
        image: its path, or its place in the list.
        why: the reason.
    """

    image: str
    why: str

    def __str__(self) -> str:
        return f"{self.image}: {self.why}"


@dataclass(frozen=True)
class Sample:
    """The windows that went through the original network, where not all did.

    Attributes:
        seed: of the random choice.
        indices: places of the windows among all, the last axis fastest.
        starts: first pixel of each window per axis, in the image as it was scanned.
        scores: ``[classes, windows]``: the crops'.
    """

    seed: int
    indices: tuple[int, ...]
    starts: tuple[tuple[int, ...], ...]
    scores: Tensor = field(repr=False, compare=False)

    def as_dict(self) -> dict[str, Any]:
        """Which windows, as plain data for JSON."""
        return {"seed": self.seed, "windows": len(self.indices), "starts": [list(start) for start in self.starts]}


@dataclass(frozen=True)
class Comparison:
    """The modes beside one another; ``str()`` gives the tables.

    Attributes:
        runs: one per mode, the crops first.
        windows: how many the image has (several images: all of theirs).
        left_out: modes that cannot run, and why.
        spread: the largest difference, over the classes, between two windows' scores of the crops; None where it is
            not known, and of several images.
        name: the image's path or place in the list, where it has one.
        sample: the windows that were compared, where not all were (``samples=``).
        maps: score maps of the modes that ran over all windows, to be drawn. Over several images none are kept but
            those of ``farthest``.
        images: over several images, the comparison of each.
        skipped: images that could not be used, and why.
        farthest: over several images, the one that holds the largest difference, relative to the spread.

    >>> exact = Verdict(exact=True)
    >>> near = ModeRun("fcn", 0.1, 500_000, exact, 1e-7, 2e-8, 1.0, 5e-8, 1e-8, (1.0, 0.998), predicted_seconds=0.2)
    >>> print(Comparison((ModeRun("crops", 2.0, 8_000_000, exact, predicted_seconds=3.0), near), windows=25))
    mode   seconds  speed-up  predicted  mult-adds  crops/mode  per second
    crops     2.00       1.0        1.0      8.0 M         1.0       4.0 M
    fcn       0.10      20.0       15.0    500.0 k        16.0       5.0 M
    <BLANKLINE>
    mode  largest difference     mean  of the spread     mean  rank correlation  lowest  same top class
    fcn              1.0e-07  5.0e-08        2.0e-08  1.0e-08            0.9990  0.9980         100.0 %
    <BLANKLINE>
    25 windows
    fcn: equals the crops at every window
    """

    runs: tuple[ModeRun, ...]
    windows: int
    left_out: tuple[LeftOut, ...] = ()
    spread: float | None = None
    name: str | None = None
    sample: Sample | None = None
    maps: Mapping[str, ScoreMap] = field(default_factory=dict, repr=False, compare=False)
    images: tuple[Comparison, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    farthest: Comparison | None = field(default=None, repr=False, compare=False)

    @property
    def compared(self) -> int:
        """Windows that went through the original network: all, or those of the sample."""
        if self.images:
            return sum(image.compared for image in self.images)
        return self.windows if self.sample is None else len(self.sample.indices)

    def run(self, mode: str) -> ModeRun | None:
        """The run of a mode, or None where it was not asked for."""
        return next((run for run in self.runs if run.mode == mode), None)

    def speed_up(self, mode: str) -> float | None:
        """Seconds of the crops over those of a mode; None where one of them is not known."""
        return self._ratio(mode, lambda run: run.seconds)

    def predicted_speed_up(self, mode: str) -> float | None:
        """The same of the predicted seconds; None where they are not known."""
        return self._ratio(mode, lambda run: run.predicted_seconds)

    def _ratio(self, mode: str, seconds_of: Callable[[ModeRun], float | None]) -> float | None:
        """That of the crops over that of a mode."""
        crops, one = (seconds_of(run) if run else None for run in (self.run("crops"), self.run(mode)))
        return crops / one if crops is not None and one else None

    def plot(self, klass: int | str | None = None) -> Figure:
        """The modes' maps of one class side by side, and how far each is from the crops.

        The window with the largest difference is marked. Over several images: of the image that is farthest off.

        Args:
            klass: name or index of the class; by default as for :meth:`ScoreMap.plot`.

        Returns:
            A matplotlib figure that belongs to no window: ``figure.savefig("modes.png")``. Axes are in pixels of
            the image before resizing; scores are as the network puts them out.

        Raises:
            InputError: no such class, or no maps to draw.
        """
        from everywindow.report.comparison_plot import figure

        return figure(self if self.farthest is None else self.farthest, klass)

    def as_dict(self) -> dict[str, Any]:
        """The same as plain data for JSON. What is not finite is None."""
        return {
            "image": self.name,
            "windows": self.windows,
            "compared": self.compared,
            "spread": self.spread,
            "sample": None if self.sample is None else self.sample.as_dict(),
            "runs": [self._run_dict(run) for run in self.runs],
            "left_out": [asdict(each) for each in self.left_out],
            "images": [image.as_dict() for image in self.images],
            "skipped": [asdict(each) for each in self.skipped],
        }

    def to_json(self) -> str:
        """:meth:`as_dict` as a JSON document."""
        return json.dumps(self.as_dict(), indent=2, allow_nan=False)

    def _run_dict(self, run: ModeRun) -> dict[str, Any]:
        return {
            "mode": run.mode,
            "seconds": run.seconds,
            "extrapolated": run.extrapolated,
            "speed_up": self.speed_up(run.mode),
            "predicted_seconds": run.predicted_seconds,
            "predicted_speed_up": self.predicted_speed_up(run.mode),
            "macs": run.macs,
            "macs_per_second": run.macs_per_second,
            "max_difference": _number(run.max_difference),
            "relative_difference": _number(run.relative_difference),
            "mean_difference": _number(run.mean_difference),
            "relative_mean_difference": _number(run.relative_mean_difference),
            "rank_correlations": list(run.rank_correlations),
            "rank_correlation": run.rank_correlation,
            "agreement": run.agreement,
            "farthest": None if run.farthest is None else run.farthest.as_dict(),
            "exact": run.verdict.exact,
            "reasons": [list(reason) for reason in run.verdict.reasons],
            "plan": None if run.plan is None else run.plan.as_dict(),
        }

    def __str__(self) -> str:
        from everywindow.report.comparison_text import comparison_text

        return comparison_text(self)


def _number(value: float) -> float | None:
    return value if isfinite(value) else None
