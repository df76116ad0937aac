"""The scores of every window of an image, with where each window lies."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

import numpy as np
import torch

from everywindow.errors import InputError
from everywindow.geometry import Place, Verdict
from everywindow.report.classes import class_index
from everywindow.report.detection import Detection

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Activation = Literal["softmax", "sigmoid", "none"]
Reduction = Literal["mean_probability", "mean_score", "sum_score", "max"]
PathLike = str | os.PathLike[str]
Positions = TypeVar("Positions", float, np.ndarray)


@dataclass(frozen=True, eq=False, repr=False)
class ScoreMap:
    """The score of every class at every window.

    Attributes:
        scores: what the network puts out, ``[classes, *counts]``: one count of windows per spatial axis. NaN where
            nothing was scored; such windows count nowhere.
        offsets: per axis, the first pixel of each window in the scanned image, before padding
            (negative where padding was asked for).
        window: extent of a window per axis, in pixels.
        stride: distance between neighbouring windows per axis, in pixels.
        mode: how the scores were asked for: ``"exact"``, ``"fcn"`` or ``"crops"``.
        verdict: ``verdict.exact`` says whether the scores are proved to be those of the crops; if not,
            ``verdict.reasons`` names the layers that are the reason.
        activation: what turns scores into probabilities: ``"softmax"`` over the classes, ``"sigmoid"``
            for each class by itself, ``"none"`` where the scores are to be taken as they are.
        classes: names of the classes, or None.
        image_size: extent of the scanned image per axis in pixels: after resizing, before padding.
        plan: how the scan was run.
        scale: pixels of the scanned image per pixel of the image that was given.
        path: file of the image, or None.
        seconds: wall-clock time of the scan.
        picture: the scanned image (padding included) as ``uint8 [height, width, 3]``, to draw the map on.
            Not written by :meth:`save`.
        place: where the windows lie, if a level of the image or a part of it was scanned; by ``offsets`` and ``scale``
            where it is None.
        source: what the image's file says about it: ``spacing``, ``unit``, ``crs``, ``transform`` and their like.

    >>> m = ScoreMap(scores=torch.tensor([[0.0, 2.0], [1.0, 0.0]]), offsets=((0, 4),), window=(8,), stride=(4,),
    ...              mode="crops", verdict=Verdict(exact=True), classes=("noise", "beat"), image_size=(12,))
    >>> m.strongest("noise").start
    (4.0,)
    >>> m.image_scores("sum_score")
    tensor([0.7311, 0.2689])
    """

    scores: torch.Tensor
    offsets: tuple[tuple[int, ...], ...]
    window: tuple[int, ...]
    stride: tuple[int, ...]
    mode: str
    verdict: Verdict
    activation: Activation = "softmax"
    classes: tuple[str, ...] | None = None
    image_size: tuple[int, ...] = ()
    plan: Any = None
    scale: float = 1.0
    path: str | None = None
    seconds: float = 0.0
    picture: np.ndarray | None = None
    place: Place | None = None
    source: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        counts = tuple(len(axis) for axis in self.offsets)
        if not counts or tuple(self.scores.shape[1:]) != counts:
            raise InputError(
                "scores",
                f"shape {tuple(self.scores.shape)} does not fit {counts} windows",
                "give [classes, *counts]",
            )
        if not len(self.window) == len(self.stride) == len(counts):
            raise InputError(
                "window and stride",
                f"{self.window} and {self.stride} for {len(counts)} axes",
                "give one number per spatial axis",
            )
        if self.classes is not None and len(self.classes) != len(self.scores):
            raise InputError(
                "classes",
                f"{len(self.classes)} names for {len(self.scores)} scores",
                "give one name per class",
            )
        if self.activation not in get_args(Activation):
            raise InputError(
                "activation",
                f"{self.activation!r} is not known",
                f"use one of {', '.join(get_args(Activation))}",
            )
        if self.activation == "softmax" and len(self.scores) == 1:
            raise InputError("activation", "the softmax over a single score is always 1", "use 'sigmoid' or 'none'")

    def __repr__(self) -> str:
        parts = {
            "mode": repr(self.mode),
            "scores": list(self.scores.shape),
            "window": list(self.window),
            "stride": list(self.stride),
            "image_size": list(self.image_size),
            "verdict": repr(str(self.verdict)),
        }
        return f"ScoreMap({', '.join(f'{name}={value}' for name, value in parts.items())})"

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of windows per axis."""
        return tuple(self.scores.shape[1:])

    @property
    def windows(self) -> int:
        """Number of windows."""
        return int(np.prod(self.counts))

    @property
    def where(self) -> Place:
        """Where the windows lie in the image as it was given."""
        if self.place is not None:
            return self.place
        first, axes = tuple(-axis[0] for axis in self.offsets), len(self.counts)
        return Place(self.window, self.stride, first, (0.0,) * axes, (1 / self.scale,) * axes)

    def to_given(self, axis: int, position: Positions) -> Positions:
        """A position in the scanned image, in pixels of the image as it was given."""
        if self.place is None:
            return position / self.scale
        return (position + self.place.origin[axis]) * self.place.downsample[axis]

    def length_given(self, axis: int, length: float) -> float:
        """A distance in the scanned image, in pixels of the image as it was given."""
        return length / self.scale if self.place is None else length * self.place.downsample[axis]

    def scored(self) -> torch.Tensor:
        """Which windows have scores, ``[*counts]``.

        Raises:
            InputError: none has.
        """
        there = ~self.scores.isnan().any(0)
        if not there.any():
            raise InputError("score map", "nothing was scored: every window was left out", "scan a part with content")
        return there

    def class_name(self, klass: int) -> str:
        """Name of a class, or ``class 3`` where the classifier names none."""
        return self.classes[klass] if self.classes is not None else f"class {klass}"

    def class_index(self, klass: int | str) -> int:
        """Index of a class given by name or by index (names first; digits are read as an index)."""
        return class_index(klass, self.classes, len(self.scores))

    def probabilities(self) -> torch.Tensor:
        """The scores by the activation: ``[classes, *counts]``; NaN where nothing was scored."""
        return activated(self.scores, self.activation)

    def image_scores(self, kind: Reduction = "mean_probability") -> torch.Tensor:
        """One value per class for the whole image.

        Args:
            kind: ``"mean_probability"``: mean over the windows of their probabilities.
                ``"mean_score"``, ``"sum_score"`` and ``"max"``: mean, sum or maximum over the windows of the
                scores, and the activation after that.
        """
        there = self.scored().flatten()
        if kind == "mean_probability":
            return _only(self.probabilities().flatten(1), there).mean(1)
        flat = _only(self.scores.flatten(1), there)
        reduced = {
            "mean_score": lambda: flat.mean(1),
            "sum_score": lambda: flat.sum(1),
            "max": lambda: flat.amax(1),
        }
        if kind not in reduced:
            raise InputError("kind", f"{kind!r} is not known", f"use one of {', '.join(get_args(Reduction))}")
        return activated(reduced[kind](), self.activation)

    def top(self, k: int = 5, kind: Reduction = "mean_probability") -> list[tuple[int, str, float]]:
        """The ``k`` strongest classes of the image: index, name, value of :meth:`image_scores`.

        Values that round to the same number are in the order of the evidence.
        """
        from everywindow.report.ranking import ranking

        values, order = self.image_scores(kind), ranking([self], kind).order[:k]
        return [(i, self.class_name(i), float(values[i])) for i in order]

    def shown_class(self, klass: int | str | None = None) -> int:
        """Index of the class to look for where none is named.

        That is the image's top class; of two classes the second, which by convention is the one that is sought.
        """
        if klass is not None:
            return self.class_index(klass)
        return 1 if len(self.scores) == 2 else self.top(1)[0][0]

    def strongest(self, klass: int | str | None = None) -> Detection:
        """The window with the highest probability of a class (:meth:`shown_class` by default), as a box.

        Among probabilities that round to the same number the evidence decides: a class' score against
        all others.
        """
        self.scored()
        k = self.shown_class(klass)
        flat = int(self.evidence(k).argmax())
        index = tuple(int(i) for i in np.unravel_index(flat, self.counts))
        first = tuple(float(axis[i]) for axis, i in zip(self.offsets, index, strict=True))
        start = tuple(self.to_given(axis, a) for axis, a in enumerate(first))
        stop = tuple(self.to_given(axis, a + self.window[axis]) for axis, a in enumerate(first))
        there = self.scores.flatten(1)[:, flat]
        probability = float(activated(there, self.activation)[k])
        return Detection(k, self.class_name(k), start, stop, probability, float(there[k]), index=index)

    def evidence(self, klass: int) -> torch.Tensor:
        """A value that grows with the probability of a class and does not round to 0 or 1: ``[*counts]``.

        Minus infinity where nothing was scored.
        """
        evidence = _evidence(self.scores.double(), klass, self.activation)
        return evidence.masked_fill(evidence.isnan(), -torch.inf)

    def peaks(
        self, klass: int | str | None = None, threshold: float = 0.5, min_distance: float | None = None
    ) -> list[Detection]:
        """Where a class responds more strongly than around it, the strongest first.

        Args:
            klass: name or index of the class; :meth:`shown_class` by default.
            threshold: least probability (by the map's activation), 0 to 1; without activation the least score.
            min_distance: pixels of the image as it was given, within which a peak is the strongest window; half a
                window by default.

        >>> m = ScoreMap(scores=torch.tensor([[0.1, 0.9, 0.2, 0.1, 0.7]]), offsets=((0, 4, 8, 12, 16),), window=(4,),
        ...              stride=(4,), mode="crops", verdict=Verdict(exact=True), activation="none")
        >>> [peak.centre for peak in m.peaks(0)]
        [(6.0,), (18.0,)]
        """
        from everywindow.report.detections import checked_distance, checked_threshold, peaks

        distance, least = checked_distance(self, min_distance), checked_threshold(self, threshold)
        return peaks(self, self.shown_class(klass), least, distance).apart(distance)

    def boxes(
        self, klass: int | str | None = None, threshold: float = 0.5, overlap: float = 0.3, average: bool = False
    ) -> list[Detection]:
        """Windows of a class as boxes in pixels of the image as it was given, the strongest first.

        Of boxes that overlap only the strongest stays (non-maximum suppression).

        Args:
            klass: name or index of the class; :meth:`shown_class` by default.
            threshold: least probability (by the map's activation), 0 to 1; without activation the least score.
            overlap: intersection over union up to which two boxes both stay.
            average: give the mean of the boxes that each one stands for, weighted with their probabilities.

        >>> m = ScoreMap(scores=torch.tensor([[0.1, 0.9, 0.8, 0.1, 0.7]]), offsets=((0, 1, 2, 3, 4),), window=(2,),
        ...              stride=(1,), mode="crops", verdict=Verdict(exact=True), activation="none")
        >>> [(box.start, box.stop, box.windows) for box in m.boxes(0)]
        [((1.0,), (3.0,), 2), ((4.0,), (6.0,), 1)]
        """
        from everywindow.report.detections import Candidates, checked_overlap, checked_threshold

        found = Candidates.of(self, self.shown_class(klass), checked_threshold(self, threshold))
        return found.merged(checked_overlap(overlap), average)

    def plot(self, image: Any = None, klass: int | str | None = None) -> Figure:
        """Heat map of one class over the image, each cell on its window's centre.

        Args:
            image: ``[height, width]`` or ``[height, width, 3]`` array or picture file to draw on; it is
                taken to cover the scanned image, whatever its resolution. By default the scanned image.
            klass: name or index of the class; :meth:`shown_class` by default.

        Returns:
            A matplotlib figure that belongs to no window: ``figure.savefig("map.png")``. Axes are in pixels of
            the image before resizing. Probabilities are drawn from 0 to 1 whatever the map holds.
        """
        from everywindow.report.plot import figure

        return figure(self, image, klass)

    def save(self, path: PathLike, klass: int | str | None = None) -> None:
        """Write the map as ``.npz`` or ``.zarr``, or its picture as ``.png``; the file appears only when complete.

        Args:
            path: the file; its suffix says which of the three.
            klass: for ``.png``, the class to draw, as for :meth:`plot`.

        Raises:
            InputError: another suffix, the scanned image itself, or a place that cannot be written.
        """
        from everywindow.report.files import save

        save(self, path, klass)

    @staticmethod
    def check_writable(path: PathLike) -> None:
        """See before a long scan whether :meth:`save` can write there.

        Raises:
            InputError: another suffix, or a directory that is no zarr store is in the way.
        """
        from everywindow.report.files import check_writable

        check_writable(path)

    def plan_record(self) -> Any:
        """The plan as plain data."""
        from everywindow.report.files import plain

        return plain(self.plan)

    @staticmethod
    def load(path: PathLike) -> ScoreMap:
        """Read a map that :meth:`save` wrote as ``.npz`` or ``.zarr``.

        Raises:
            InputError: not such a file, or a damaged one.
        """
        from everywindow.report.files import load

        return load(path)


def _only(flat: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
    """The windows that have scores."""
    return flat if bool(there.all()) else flat[:, there]


def activated(scores: torch.Tensor, activation: Activation) -> torch.Tensor:
    """Probabilities of scores ``[classes, ...]``; the scores as they are where there is no activation."""
    if activation == "softmax":
        return scores.softmax(0)
    return scores.sigmoid() if activation == "sigmoid" else scores


def _evidence(scores: torch.Tensor, klass: int, activation: Activation) -> torch.Tensor:
    """A value that grows with the probability of a class and does not saturate."""
    if activation != "softmax" or len(scores) == 1:
        return scores[klass]
    others = torch.cat([scores[:klass], scores[klass + 1 :]])
    return scores[klass] - others.logsumexp(0)
