"""Where a map points, against the true boxes of an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from everywindow.evaluation.boxes import Box
from everywindow.evaluation.needed import needed
from everywindow.report import Pyramid, ScoreMap

LEAST = 0.05
"""Boxes of a lower probability are not looked at."""

MOST = 100
"""Boxes per image and class, the strongest: COCO's own bound."""


class Located(NamedTuple):
    """A class in the maps of one image.

    Attributes:
        hit: whether the strongest window's centre lies in a box of the class; None where the image has none.
        roc: area under the ROC curve of "this window's centre lies in a box"; None where all do or none does, or where
            there are several scales.
        boxes: the boxes that were found, ``(row, column, exclusive row, exclusive column, probability)``.
    """

    hit: bool | None
    roc: float | None
    boxes: tuple[tuple[float, ...], ...]


def located(maps: Sequence[ScoreMap], klass: int, truth: Sequence[Box]) -> Located:
    """A class in the maps of one image (of several scales), against its boxes."""
    counted = [box for box in truth if not box.crowd]
    centre = Pyramid(tuple(maps)).strongest(klass).centre
    hit = any(_inside(centre, box) for box in counted) if counted else None
    roc = _roc(maps[0], klass, truth) if len(maps) == 1 and counted else None
    # In double precision probabilities near 1 still differ, and with them the order of the boxes.
    found = Pyramid(tuple(replace(m, scores=m.scores.double()) for m in maps)).boxes(klass, threshold=LEAST)
    return Located(hit, roc, tuple((*box.start, *box.stop, box.probability) for box in found[:MOST]))


def _centres(m: ScoreMap) -> list[NDArray[np.float64]]:
    """Per axis, the middle of each window in pixels of the image as it was given."""
    return [
        m.to_given(number, np.asarray(axis) + extent / 2)
        for number, (axis, extent) in enumerate(zip(m.offsets, m.window, strict=True))
    ]


def _inside(centre: Sequence[Any], box: Box) -> Any:
    """Whether a centre lies in a box; of arrays, which of them do."""
    low, high = ([at >= first for at, first in zip(centre, box.start, strict=True)],
                 [at < last for at, last in zip(centre, box.stop, strict=True)])  # fmt: skip
    return np.logical_and.reduce([*low, *high])


def _roc(m: ScoreMap, klass: int, truth: Sequence[Box]) -> float | None:
    """By the windows' evidence. Windows on a box that does not count are left out."""
    rows, columns = np.array(list(product(*_centres(m)))).T
    wanted, ignored = np.zeros(len(rows), bool), np.zeros(len(rows), bool)
    for box in truth:
        (ignored if box.crowd else wanted)[_inside((rows, columns), box)] = True
    counts = wanted | ~ignored
    if len(set(wanted[counts].tolist())) < 2:
        return None
    evidence = m.evidence(klass).flatten().numpy()
    return float(needed("scikit-learn").roc_auc_score(wanted[counts], evidence[counts]))
