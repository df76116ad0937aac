"""The scores among what a network puts out."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import torch
from torch import Tensor

from everywindow.errors import InputError

Output = int | str | None
"""Which of several outputs: an index, a key, or the first."""


def picked(outputs: Any, output: Output = None) -> Tensor:
    """One tensor of a network's output (the first by default).

    Raises:
        InputError: no such output, or complex numbers.
    """
    if isinstance(outputs, torch.Tensor):
        if output not in (None, 0):
            raise InputError("output", f"the network has one output, not {output!r}", "leave output= out")
        if outputs.is_complex():
            raise InputError("output", "the scores are complex numbers", "let the network put out real ones")
        return outputs
    items: list[Any] = list(outputs.values()) if isinstance(outputs, Mapping) else list(outputs)
    names: list[Any] = list(outputs) if isinstance(outputs, Mapping) else list(range(len(items)))
    if output is None:
        found = next((at for at, item in enumerate(items) if item is not None), None)
    else:
        found = _place(names, output, isinstance(outputs, Mapping))
    if found is None or items[found] is None:
        raise InputError("output", f"{output!r} is none of {names}", "give one of them")
    return picked(items[found])


def _place(names: list[Any], output: int | str, keys: bool) -> int | None:
    """Where an output stands; keys are told by their text, for a captured graph knows no other ones."""
    same = [at for at, name in enumerate(names) if (str(name) == str(output) if keys else name == output)]
    return same[0] if same else None


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
