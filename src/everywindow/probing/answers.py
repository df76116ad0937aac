"""What becomes of the answer where an image moves, turns or changes its size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from everywindow.comparing import described
from everywindow.engines import window_scores
from everywindow.probing.asked import Asked
from everywindow.probing.fields import Field
from everywindow.report import AnswerRow, activated


class Answers(NamedTuple):
    """How the answers hold.

    Attributes:
        rows: by kind and amount; of each kind first the image as it is.
        activation: what makes probabilities of the scores.
        classes: their names, where they are known.
        single: whether there is one score: yes or no.
        top: of each image the class, and its probability.
    """

    rows: tuple[AnswerRow, ...]
    activation: Any
    classes: tuple[str, ...] | None
    single: bool
    top: tuple[tuple[int, float], ...]


_View = Callable[[Field], Tensor]


def answers(asked: Asked, fields: Sequence[Field]) -> Answers:
    """The probability of the class that comes first for the image as it is, and whether it still comes first.

    Raises:
        InputError: no such output, no score vector, or other than as many names as there are scores.
    """
    base = window_scores(asked.prepared, torch.stack([view.middle for view in fields]), asked.output).cpu()
    activation, classes = described(asked.known, asked.prepared, base.T, asked.output)
    first, probability = _decided(base, activation)
    rows: list[AnswerRow] = []
    for kind, neutral, amounts in _trials(asked):
        rows.append(AnswerRow(kind, neutral, float(probability.mean()), 1.0))
        for amount, views in amounts:
            rows.append(_row(asked, fields, kind, amount, views, first, activation))
    tops = zip(first.tolist(), probability.tolist(), strict=True)
    return Answers(
        tuple(rows), activation, classes, base.shape[1] == 1, tuple((int(klass), float(each)) for klass, each in tops)
    )


def _trials(asked: Asked) -> Iterator[tuple[str, float, list[tuple[float, list[_View]]]]]:
    """The kinds of change, the amount of none, and for each amount the views over which the mean is taken."""
    if asked.shifts:
        yield "shift", 0.0, [(float(shift), _moves(shift, len(asked.window))) for shift in asked.shifts]
    if asked.angles:
        yield "rotation", 0.0, [(angle, _turns(angle)) for angle in asked.angles]
    if asked.zooms:
        yield "scale", 1.0, [(zoom, [_zoom(zoom)]) for zoom in asked.zooms]


def _moves(shift: int, axes: int) -> list[_View]:
    """Along each axis, both ways."""

    def move(axis: int, way: int) -> _View:
        return lambda view: view.at([way * shift if each == axis else 0 for each in range(axes)])

    return [move(axis, way) for axis in range(axes) for way in (1, -1)]


def _turns(angle: float) -> list[_View]:
    """Both ways; half a turn is the same both ways."""
    return [_turn(way * angle) for way in ((1,) if angle == 180 else (1, -1))]


def _turn(angle: float) -> _View:
    return lambda view: view.turned(angle)


def _zoom(zoom: float) -> _View:
    return lambda view: view.resized(zoom)


def _row(
    asked: Asked,
    fields: Sequence[Field],
    kind: str,
    amount: float,
    views: Sequence[_View],
    first: Tensor,
    activation: Any,
) -> AnswerRow:
    probabilities, same = [], []
    for look in views:
        windows = torch.stack([look(view) for view in fields])
        scores = window_scores(asked.prepared, windows, asked.output).cpu()
        probabilities.append(_of(scores, first, activation))
        same.append(_decided(scores, activation)[0] == first)
    return AnswerRow(kind, amount, float(torch.cat(probabilities).mean()), float(torch.cat(same).double().mean()))


def _decided(scores: Tensor, activation: Any) -> tuple[Tensor, Tensor]:
    """Of scores ``[N, K]`` the class that comes first, and its probability; of a single score whether it is yes (1)."""
    yes = scores[:, 0] >= (0.5 if activation == "none" else 0.0)
    first = scores.argmax(1) if scores.shape[1] > 1 else yes.long()
    return first, _of(scores, first, activation)


def _of(scores: Tensor, first: Tensor, activation: Any) -> Tensor:
    """The probability of a class for each window; of a single score that of its answer, yes or no."""
    probabilities = activated(scores.double().T, activation).T
    if scores.shape[1] == 1:
        return torch.where(first == 1, probabilities[:, 0], 1 - probabilities[:, 0])
    return probabilities.gather(1, first[:, None])[:, 0]
