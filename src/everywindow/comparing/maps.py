"""From an image for a classifier to its score map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from everywindow.engines import Prepared, Run
from everywindow.errors import InputError
from everywindow.graph import Output, final_activation
from everywindow.io import Image, read_image
from everywindow.models import Classifier
from everywindow.report import ScoreMap


def read_for(known: Classifier, image: Any, pad: int | Sequence[int] | None, scale: float | None) -> Image:
    """An image as a classifier takes it.

    Raises:
        InputError: it cannot be used.
    """
    return read_image(
        image,
        channels=known.channels,
        ndim=len(known.window),
        mean=known.mean,
        std=known.std,
        scale=scale,
        pad=pad,
    )


def score_map(known: Classifier, prepared: Prepared, read: Image, finished: Run, output: Output) -> ScoreMap:
    """A finished scan as a map in pixels of the image.

    Raises:
        InputError: the classifier has other than as many names as there are scores.
    """
    offsets = zip(finished.grid.offsets, read.pad, strict=True)
    return ScoreMap(
        scores=finished.scores,
        offsets=tuple(tuple(first - pad for first in axis) for axis, pad in offsets),
        window=known.window,
        stride=finished.grid.stride,
        mode=finished.plan.mode,
        verdict=finished.verdict,
        activation=activation_of(known, prepared, finished.scores, output),
        classes=checked_classes(known, finished.scores),
        image_size=tuple(size - 2 * pad for size, pad in zip(read.size, read.pad, strict=True)),
        plan=finished.plan,
        scale=read.scale,
        path=read.path,
        seconds=finished.seconds,
        picture=read.picture,
    )


def checked_classes(known: Classifier, scores: Tensor) -> tuple[str, ...] | None:
    """The names of the classes of scores ``[K, ...]``.

    Raises:
        InputError: there are not as many.
    """
    classes = known.classes
    if classes is not None and len(classes) != len(scores):
        raise InputError("classes", f"{len(classes)} names for {len(scores)} scores", "give one name per class")
    return classes


def activation_of(known: Classifier, prepared: Prepared, scores: Tensor, output: Output) -> Any:
    """What makes probabilities of scores ``[K, ...]``: as the classifier says, or as its network ends."""
    return known.activation or final_activation(prepared.network, output, scores)
