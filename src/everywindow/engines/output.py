"""The scores among what a network puts out."""

from __future__ import annotations

from math import prod
from typing import Any

from torch import Tensor

from everywindow.errors import InputError
from everywindow.graph import Output, chosen


def picked(outputs: Any, output: Output = None) -> Tensor:
    """One tensor of a network's output (the first by default).

    Raises:
        InputError: no such output, or complex numbers.
    """
    scores: Tensor = chosen(outputs, output)
    if scores.is_complex():
        raise InputError("output", "the scores are complex numbers", "let the network put out real ones")
    return scores


def score_vectors(scores: Tensor, batch: int) -> Tensor:
    """Scores of a batch of windows as ``[N, K]``; ``[N]`` and ``[N, K, 1, 1]`` are taken too.

    A network that squeezes its output loses the batch dimension of a single window: it is put back.

    Raises:
        InputError: more than one position per window.
    """
    if batch == 1 and (scores.ndim == 0 or scores.shape[0] != 1):
        scores = scores.unsqueeze(0)
    require_vectors(tuple(scores.shape))
    if scores.shape[0] != batch:
        raise InputError(
            "output",
            f"shape {tuple(scores.shape)} for {batch} windows has no row for each",
            "keep the batch as the first dimension of the network's output",
        )
    return scores.reshape(batch, -1)


def require_vectors(shape: tuple[int, ...]) -> None:
    """Raise InputError where an output of this shape is not one vector of scores per window."""
    if not shape:
        raise InputError("output", "the network puts out one number for the whole batch", "give one per image")
    if prod(shape[2:]) != 1:
        raise InputError(
            "output",
            f"shape {shape} is not one vector of scores per window",
            "end the network with a pooling, or choose another output=",
        )
