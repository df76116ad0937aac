"""One image under all protocols."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch

from everywindow.errors import InputError
from everywindow.evaluation.boxes import Box
from everywindow.evaluation.localise import Located, located
from everywindow.evaluation.protocols import PROTOCOLS, Method, stacked
from everywindow.evaluation.settings import Settings
from everywindow.geometry import check_step, times
from everywindow.io import Image, read_image
from everywindow.models import Classifier
from everywindow.report import Ranking, ScoreMap, ranking

Scan = Callable[[Image, str, "tuple[int, ...] | None"], ScoreMap]
"""(image, mode, stride) to the map of its windows."""

TOP = 5
NOT_FINITE, LOOK = "its scores are not finite", "look for overflows in the network"


class Answer(NamedTuple):
    """What a method says about an image.

    Attributes:
        top: the five strongest classes, or fewer, the strongest first.
        probability: of the strongest.
        label_probability: of the image's own class; None where it has none.
        rank: classes that are stronger than the image's own: 0 is right; None where it has none.
        seconds: of the network, without reading the image.
    """

    top: tuple[int, ...]
    probability: float
    label_probability: float | None
    rank: int | None
    seconds: float


class Measured(NamedTuple):
    """An image under all protocols.

    Attributes:
        answers: by the names of the methods.
        located: by protocol and scales (as :func:`span` has them), then by class.
        small: whether the image was smaller than the window, at some scale.
        size: of the image as it was given.
    """

    answers: dict[str, Answer]
    located: dict[str, dict[str, Located]]
    small: bool
    size: tuple[int, ...]


def measured(
    read: Image,
    label: int | None,
    boxes: Sequence[Box] | None,
    sought: dict[str, int],
    known: Classifier,
    settings: Settings,
    scan: Scan,
) -> Measured:
    """An image under all protocols, each map computed once.

    Args:
        read: the image as it is.
        label: its class; None where it has none.
        boxes: what is in it; None where that is not known.
        sought: the classes that any image has boxes of, by their names.
        known, settings, scan: the classifier, what to do, and how to.

    Raises:
        InputError: the image cannot be used.
    """
    views = {scale: _view(read, scale, known.window, known.channels, settings) for scale in settings.scales}
    maps = {
        (mode, scale): _map(views[scale], mode, settings, scan)
        for mode, scale in dict.fromkeys(need for method in settings.methods for need in method.maps)
    }
    answers = {}
    for method in settings.methods:
        several = [maps[need] for need in method.maps] or [_crops(views[method.scales[0]], method, known, scan)]
        answers[method.name] = answer(several, method.reduction, label)
    found = {} if boxes is None else _located(settings, maps, boxes, sought)
    small = any(_is_small(read, scale, known.window, settings) for scale in settings.scales)
    return Measured(answers, found, small, read.size)


def answer(maps: Sequence[ScoreMap], reduction: str, label: int | None) -> Answer:
    """From the image's maps at some scales (whose answers are averaged) to an answer.

    Raises:
        InputError: the scores are not finite.
    """
    if any(bool(m.scores.isnan().any()) for m in maps):
        raise InputError("image", NOT_FINITE, LOOK)
    found = two_classes(ranking(maps, reduction), maps[0].activation == "none")
    if not bool(torch.isfinite(found.probability).all()):
        raise InputError("image", NOT_FINITE, LOOK)
    order = found.order
    return Answer(
        top=tuple(order[:TOP]),
        probability=float(found.probability[order[0]]),
        label_probability=None if label is None else float(found.probability[label]),
        rank=None if label is None else order.index(label),
        seconds=sum(m.seconds for m in maps),
    )


def two_classes(found: Ranking, plain: bool = False) -> Ranking:
    """A single probability as those of two classes, no and yes; ``plain``: there is no activation.

    >>> two_classes(Ranking(torch.tensor([0.75]), torch.tensor([1.0986])))
    Ranking(probability=tensor([0.2500, 0.7500]), evidence=tensor([-1.0986,  1.0986]))
    """
    if len(found.probability) > 1:
        return found
    yes, odds = found.probability[0], found.evidence[0]
    chances = torch.stack([1 - yes, yes])
    return Ranking(chances, chances if plain else torch.stack([-odds, odds]))


def span(protocol: str, scales: tuple[float, ...]) -> str:
    """A name for the maps of one mode at some scales."""
    return protocol if len(scales) == 1 else f"{protocol}, {len(scales)} scales"


def _located(
    settings: Settings, maps: dict[tuple[str, float], ScoreMap], boxes: Sequence[Box], sought: dict[str, int]
) -> dict[str, dict[str, Located]]:
    spans = {span(method.protocol, method.scales): method.maps for method in settings.methods if method.maps}
    return {
        name: {
            klass: located([maps[need] for need in needs], index, [box for box in boxes if box.klass == klass])
            for klass, index in sought.items()
        }
        for name, needs in spans.items()
    }


def _map(view: Image, mode: str, settings: Settings, scan: Scan) -> ScoreMap:
    check_step(settings.stride, view.size)
    return scan(view, mode, settings.stride)


def _crops(view: Image, method: Method, known: Classifier, scan: Scan) -> ScoreMap:
    """The crops of a protocol, in one batch where the network takes batches."""
    make = PROTOCOLS[method.protocol].crops
    assert make is not None
    pixels = stacked(view.pixels, make(view.size, known.window), known.window)
    return scan(
        replace(view, pixels=pixels, picture=None, pad=(0,) * len(known.window), downsample=()), "crops", known.window
    )


def _factor(read: Image, scale: float, settings: Settings) -> float:
    return scale if settings.resize is None else scale * settings.resize / min(read.size)


def _is_small(read: Image, scale: float, window: tuple[int, ...], settings: Settings) -> bool:
    factor = _factor(read, scale, settings)
    return any(round(extent * factor) < wanted for extent, wanted in zip(read.size, window, strict=True))


def _view(read: Image, scale: float, window: tuple[int, ...], channels: int, settings: Settings) -> Image:
    """The image at a scale, made as large as the window where it is smaller."""
    factor, pad = _factor(read, scale, settings), (0,) * len(window)
    if _is_small(read, scale, window, settings):
        if settings.small == "skip":
            shown = times(tuple(round(extent * factor) for extent in read.size))
            why = f"{shown} pixels are smaller than the window of {times(window)}"
            raise InputError("image", why, "take small='resize' or small='pad'")
        if settings.small == "resize":
            factor = max(wanted / extent for extent, wanted in zip(read.size, window, strict=True))
        else:
            sizes = [max(1, round(extent * factor)) for extent in read.size]
            pad = tuple(math.ceil(max(0, wanted - size) / 2) for size, wanted in zip(sizes, window, strict=True))
    if factor == 1.0 and not any(pad):
        return read
    return read_image(read.pixels, channels=channels, ndim=len(window), scale=factor, pad=pad)
