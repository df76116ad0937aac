"""An image's classes in order, where probabilities themselves round to 0 and to 1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from everywindow.errors import InputError

if TYPE_CHECKING:
    from everywindow.report.score_map import ScoreMap

REDUCED = {
    "mean_probability": lambda scores: scores,
    "mean_score": lambda scores: scores.mean(1, keepdim=True),
    "sum_score": lambda scores: scores.sum(1, keepdim=True),
    "max": lambda scores: scores.amax(1, keepdim=True),
}
"""What becomes of a map's scores ``[classes, windows]`` before the activation; probabilities are averaged after it."""


class Ranking(NamedTuple):
    """An image's classes, in double precision: ``[classes]`` each.

    Attributes:
        probability: as :meth:`ScoreMap.image_scores` has it, averaged over the maps.
        evidence: what grows with it and does not round to the same number: the logarithm of the probability where
            classes exclude each other, of its odds where they do not; without activation the score.
    """

    probability: Tensor
    evidence: Tensor

    @property
    def order(self) -> list[int]:
        """The classes, the strongest first; of equals the first."""
        return [int(index) for index in self.evidence.argsort(descending=True, stable=True)]


def ranking(maps: Sequence[ScoreMap], kind: str = "mean_probability") -> Ranking:
    """The classes of one image, from its maps at some scales, each of which counts alike.

    Windows without scores do not count.

    Raises:
        InputError: another kind, or a map where nothing was scored.
    """
    if kind not in REDUCED:
        raise InputError("kind", f"{kind!r} is not known", f"use one of {', '.join(REDUCED)}")
    reduced = [REDUCED[kind](_flat(m)) for m in maps]
    if maps[0].activation == "none":
        mean = torch.stack([scores.mean(1) for scores in reduced]).mean(0)
        return Ranking(mean, mean)
    if maps[0].activation == "softmax":
        # Of classes that exclude each other only one comes near 1, so the logarithm tells all of them apart.
        logarithm = _log_mean([scores.log_softmax(0) for scores in reduced])
        return Ranking(logarithm.exp(), logarithm)
    yes, no = (_log_mean([F.logsigmoid(sign * scores) for scores in reduced]) for sign in (1, -1))
    return Ranking(yes.exp(), yes - no)


def _flat(m: ScoreMap) -> Tensor:
    flat, there = m.scores.double().flatten(1), m.scored().flatten()
    return flat if bool(there.all()) else flat[:, there]


def _log_mean(several: Sequence[Tensor]) -> Tensor:
    """Logarithm of the mean over the maps of the mean over their windows, from logarithms ``[classes, windows]``."""
    each = torch.stack([logs.logsumexp(1) - math.log(logs.shape[1]) for logs in several])
    return each.logsumexp(0) - math.log(len(several))
