"""From score maps to detections: separate peaks, and boxes of which none overlaps another much.

Any number of spatial axes, which is why the suppression is written here: libraries have it for pictures alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from math import ceil, inf, isnan, nan
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from everywindow.errors import InputError
from everywindow.report.detection import Detection

if TYPE_CHECKING:
    from everywindow.report.score_map import ScoreMap

Floats = NDArray[np.float64]

_ARRAYS = ("start", "stop", "evidence", "probability", "score", "index")
"""Of :class:`Candidates`: one row for each window."""


@dataclass(frozen=True)
class Candidates:
    """Windows of a class above a threshold, the strongest first: parallel arrays."""

    klass: int
    name: str
    start: Floats
    stop: Floats
    evidence: Floats
    probability: Floats
    score: Floats
    index: NDArray[np.int64]

    @classmethod
    def of(cls, m: ScoreMap, klass: int, threshold: float, among: torch.Tensor | None = None) -> Candidates:
        """The windows of a map, or those of them that are marked, ``[*counts]``."""
        m.scored()
        evidence, probability = m.evidence(klass), m.probabilities()[klass].double()
        wanted = probability >= threshold
        wanted = wanted if among is None else wanted & among
        places = wanted.nonzero().numpy()
        picked = tuple(places.T)
        first = [np.asarray(axis, float)[at] for axis, at in zip(m.offsets, picked, strict=True)]
        last = [a + n for a, n in zip(first, m.window, strict=True)]
        return cls(
            klass,
            m.class_name(klass),
            np.stack([m.to_given(axis, a) for axis, a in enumerate(first)], 1),
            np.stack([m.to_given(axis, a) for axis, a in enumerate(last)], 1),
            evidence.numpy()[picked],
            probability.numpy()[picked],
            m.scores[klass].double().numpy()[picked],
            places,
        ).ranked()

    @classmethod
    def joined(cls, several: Sequence[Candidates]) -> Candidates:
        """Those of several maps."""
        first = several[0]
        arrays = {name: np.concatenate([getattr(one, name) for one in several]) for name in _ARRAYS}
        return cls(first.klass, first.name, **arrays).ranked()

    def ranked(self) -> Candidates:
        """The strongest first."""
        order = np.argsort(-self.evidence, kind="stable")
        kept = {name: getattr(self, name)[order] for name in _ARRAYS}
        return Candidates(self.klass, self.name, **kept)

    def apart(self, distance: float) -> list[Detection]:
        """One after the other, without those whose centre is within ``distance`` of a stronger one's on every axis."""
        centres = (self.start + self.stop) / 2
        groups = _groups(centres, distance, lambda one, others: _near(centres, one, others, distance))
        return [self._detection(group[:1]) for group in groups]

    def merged(self, overlap: float, average: bool) -> list[Detection]:
        """One after the other, without those that overlap a stronger one by more (intersection over union).

        Averaged: each box is the mean of those that it stands for, weighted with their probabilities.
        """
        centres, reach = (self.start + self.stop) / 2, float((self.stop - self.start).max(initial=0))
        groups = _groups(centres, reach, lambda one, others: np.asarray(self._overlaps(one, others) > overlap))
        return [self._detection(group if average else group[:1], len(group)) for group in groups]

    def _overlaps(self, one: int, others: NDArray[np.int64]) -> Floats:
        low, high = np.maximum(self.start[one], self.start[others]), np.minimum(self.stop[one], self.stop[others])
        common = np.prod(np.clip(high - low, 0, None), axis=1)
        own, theirs = (np.prod(self.stop[some] - self.start[some], axis=-1) for some in (one, others))
        overlaps: Floats = common / (own + theirs - common)
        return overlaps

    def _detection(self, group: NDArray[np.int64], windows: int = 1) -> Detection:
        best, weights = group[0], np.abs(self.probability[group])
        weights = weights / weights.sum() if weights.sum() > 0 else np.full(len(group), 1 / len(group))
        start, stop = weights @ self.start[group], weights @ self.stop[group]
        return Detection(
            self.klass,
            self.name,
            tuple(map(float, start)),
            tuple(map(float, stop)),
            float(self.probability[best]),
            float(self.score[best]),
            windows,
            tuple(self.index[best].tolist()),
        )


def _near(centres: Floats, one: int, others: NDArray[np.int64], distance: float) -> NDArray[np.bool_]:
    near: NDArray[np.bool_] = np.abs(centres[others] - centres[one]).max(axis=1) < distance
    return near


def _groups(
    centres: Floats, reach: float, same: Callable[[int, NDArray[np.int64]], NDArray[np.bool_]]
) -> list[NDArray[np.int64]]:
    """Greedy: the first one left and all that are the same as it, then the first of the others, and so on.

    Those that are the same lie within ``reach`` on every axis, so that no others need to be looked at.
    """
    cells = np.floor(centres / reach).astype(np.int64) if reach > 0 else np.zeros(centres.shape, np.int64)
    within = _by_cell(cells)
    around = list(product((-1, 0, 1), repeat=centres.shape[1]))
    left, found = np.ones(len(centres), bool), []
    for one in range(len(centres)):
        if not left[one]:
            continue
        left[one] = False
        near = (within.get(tuple((cells[one] + step).tolist())) for step in around)
        others = np.sort(np.concatenate([some[left[some]] for some in near if some is not None]))
        together = others[same(one, others)]
        left[together] = False
        found.append(np.concatenate([[one], together]))
    return found


def _by_cell(cells: NDArray[np.int64]) -> dict[tuple[int, ...], NDArray[np.int64]]:
    """The rows that hold each cell."""
    if not len(cells):
        return {}
    order = np.lexsort(cells.T)
    ordered = cells[order]
    starts = np.flatnonzero((ordered[1:] != ordered[:-1]).any(1)) + 1
    first = ordered[[0, *starts.tolist()]].tolist()
    return {tuple(cell): rows for cell, rows in zip(first, np.split(order, starts), strict=True)}


def peaks(m: ScoreMap, klass: int, threshold: float, min_distance: float) -> Candidates:
    """The windows that are the strongest within ``min_distance`` pixels of the given image along each axis."""
    evidence = m.evidence(klass)
    most = evidence
    for axis, step in enumerate(m.stride):
        reach = max(1, ceil(min_distance / m.length_given(axis, step)) - 1)
        rows = most.movedim(axis, -1)
        reach = min(reach, rows.shape[-1])
        flat = rows.reshape(1, -1, rows.shape[-1])
        padded = F.pad(flat, (reach, reach), value=-torch.inf)
        most = F.max_pool1d(padded, 2 * reach + 1, 1).reshape(rows.shape).movedim(-1, axis)
    return Candidates.of(m, klass, threshold, evidence >= most)


def checked_distance(m: ScoreMap, min_distance: float | None) -> float:
    """The distance between peaks in pixels of the given image: half a window, if none is given."""
    least = min(m.length_given(axis, extent) for axis, extent in enumerate(m.window))
    distance = least / 2 if min_distance is None else _number(min_distance)
    if not 0 <= distance < inf:
        why = "negative" if distance < 0 else "no distance"
        raise InputError("min_distance", f"{min_distance!r} is {why}", "give pixels of the image, 0 or more")
    return distance


def checked_threshold(m: ScoreMap, threshold: float) -> float:
    """The least probability; of a map without activation the least score, which may be any number."""
    least = _number(threshold)
    if m.activation == "none" and isnan(least):
        raise InputError("threshold", f"{threshold!r} is no score", "give a number")
    if m.activation != "none" and not 0 <= least <= 1:
        raise InputError("threshold", f"{threshold!r} is no probability", "give 0 to 1")
    return least


def checked_overlap(overlap: float) -> float:
    """A share of two boxes' common area."""
    share = _number(overlap)
    if not 0 <= share <= 1:
        raise InputError("overlap", f"{overlap!r} is no share", "give 0 (boxes apart) to 1 (every window)")
    return share


def _number(value: Any) -> float:
    """Any kind of number; text and other things are none."""
    try:
        return nan if isinstance(value, str) else float(value)
    except (TypeError, ValueError):
        return nan
