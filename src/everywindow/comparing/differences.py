"""How far scores are from the reference: tensors ``[K, n]`` of the same windows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from torch import Tensor


class Differences(NamedTuple):
    """How far two sets of scores differ.

    Attributes:
        largest, mean: of a score.
        relative_largest, relative_mean: the same over the spread of the reference between windows; the same as above
            where it has none.
        agreement: share of the windows with the same top class.
        rank_correlations: per class.
        klass, window: where the largest difference is.
    """

    largest: float
    mean: float
    relative_largest: float
    relative_mean: float
    agreement: float
    rank_correlations: tuple[float | None, ...]
    klass: int
    window: int


def differences(scores: Tensor, reference: Tensor, activation: str) -> Differences:
    """Of scores ``[K, n]`` from the reference's; a value that is not finite in one of them alone is infinitely far."""
    apart = _apart(scores.double(), reference.double())
    at = int(apart.argmax())
    largest, mean, spread = float(apart.max()), float(apart.mean()), spread_of(reference)
    same = (_decided(scores, activation) == _decided(reference, activation)).double().mean()
    return Differences(
        largest=largest,
        mean=mean,
        relative_largest=largest / spread if spread else largest,
        relative_mean=mean / spread if spread else mean,
        agreement=float(same),
        rank_correlations=tuple(
            rank_correlation(a.cpu().numpy(), b.cpu().numpy())
            for a, b in zip(scores.double(), reference.double(), strict=True)
        ),
        klass=at // apart.shape[1],
        window=at % apart.shape[1],
    )


def spread_of(scores: Tensor) -> float:
    """Largest difference between two windows' scores ``[K, n]``, over the classes; of those that are finite."""
    values = scores.double()
    finite = values.isfinite()
    highest = values.where(finite, values.new_tensor(-np.inf)).amax(1)
    lowest = values.where(finite, values.new_tensor(np.inf)).amin(1)
    return max(0.0, float((highest - lowest).max()))


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    """Spearman's rank correlation of two rows of numbers; None where one of them has one value alone.

    >>> rank_correlation(np.array([1.0, 2.0, 3.0]), np.array([0.1, 0.3, 0.2]))
    0.5
    """
    ranks_a, ranks_b = (ranks(row) - (len(row) + 1) / 2 for row in (a, b))
    scale = float(np.sqrt((ranks_a**2).sum() * (ranks_b**2).sum()))
    return float((ranks_a * ranks_b).sum()) / scale if scale else None


def ranks(row: np.ndarray) -> np.ndarray:
    """Ranks from 1; equal numbers have the mean of theirs.

    >>> ranks(np.array([3.0, 1.0, 3.0])).tolist()
    [2.5, 1.0, 2.5]
    """
    _, place, count = np.unique(row, return_inverse=True, return_counts=True)
    means: np.ndarray = np.cumsum(count) - (count - 1) / 2
    return means[place]


def _apart(a: Tensor, b: Tensor) -> Tensor:
    same = (a == b) | (a.isnan() & b.isnan())
    apart = (a - b).abs().nan_to_num(nan=np.inf, posinf=np.inf)
    return apart.masked_fill(same, 0.0)


def _decided(scores: Tensor, activation: str) -> Tensor:
    """The top class of every window; of a single score whether its probability is a half or more."""
    return scores.argmax(0) if len(scores) > 1 else scores[0] >= (0.5 if activation == "none" else 0.0)
