"""From an image for a classifier to its score map."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from everywindow.engines import Prepared, Run, run
from everywindow.errors import InputError
from everywindow.geometry import Place, WindowGrid
from everywindow.graph import Output, chosen, final_activation
from everywindow.io import Image, check_finite, read_file, read_image
from everywindow.models import Classifier, warn_if_unknown
from everywindow.report import ScoreMap


def read_for(
    known: Classifier,
    image: Any,
    pad: int | Sequence[int] | None = None,
    scale: float | None = None,
    raw: bool = False,
) -> Image:
    """An image as a classifier takes it; ``raw``: values of a file or an array as they are, not scaled to 0 to 1.

    Raises:
        InputError: it cannot be used.
    """
    if raw and not isinstance(image, Tensor):
        return replace(read_for(known, _as_it_is(known, image), pad, scale), path=_path(image))
    return read_image(
        image,
        channels=known.channels,
        ndim=len(known.window),
        mean=known.mean,
        std=known.std,
        scale=scale,
        pad=pad,
    )


def _path(image: Any) -> str | None:
    return os.fspath(image) if isinstance(image, (str, os.PathLike)) else None


def _as_it_is(known: Classifier, image: Any) -> Tensor:
    """Values ``[*size]`` or ``[*size, C]`` as ``[C, *size]``, normalised by the classifier's mean and std alone."""
    path, axes = _path(image), len(known.window)
    array = np.asarray(image if path is None else read_file(path, known.channels, axes))
    if array.ndim not in (axes, axes + 1) or array.dtype.kind not in "biuf":
        why = f"an array of {array.dtype} of shape {array.shape} is not {axes} axes of numbers, or {axes} and channels"
        raise InputError(path or "image", why, "give one image, channels last")
    values = torch.from_numpy(array.astype(np.float32))
    channels = values[None] if array.ndim == axes else values.movedim(-1, 0)
    if channels.shape[0] != known.channels:
        why = f"has {channels.shape[0]} channels (shape {array.shape}), the classifier takes {known.channels}"
        raise InputError(path or "image", why, "give an image with so many, channels last")
    check_finite(channels, path or "image")
    each = (-1, *[1] * axes)
    if known.mean is not None and known.std is not None:
        channels = (channels - torch.tensor(known.mean).reshape(each)) / torch.tensor(known.std).reshape(each)
    return channels.contiguous()


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
        classes=checked_classes(known, prepared, finished.scores, output),
        image_size=tuple(size - 2 * pad for size, pad in zip(read.size, read.pad, strict=True)),
        plan=finished.plan,
        scale=read.scale,
        path=read.path,
        seconds=finished.seconds,
        picture=read.picture,
        place=_place(read, known.window, finished.grid.stride),
    )


def _place(read: Image, window: tuple[int, ...], stride: tuple[int, ...]) -> Place | None:
    """Where windows of a resized image lie in the given one: by the true sizes, which rounding makes differ."""
    if not read.downsample:
        return None
    return Place(window, stride, read.pad, (0.0,) * len(window), read.downsample)


def scored(
    known: Classifier,
    prepared: Prepared,
    read: Image,
    stride: tuple[int, ...] | None,
    *,
    mode: str,
    output: Output = None,
    memory: int | str | None = None,
    progress: bool | None = None,
) -> ScoreMap:
    """Every window of an image, scored in a mode, as a map.

    Raises:
        InputError, IndependenceError: as for a scan.
        ConversionError: ``mode="fcn"`` and the network has no plain conversion.
    """
    warn_of_pixels(known, read, stride)
    finished = run(
        prepared, read.pixels, known.window, stride, mode=mode, output=output, memory=memory, progress=progress
    )
    return score_map(known, prepared, read, finished, output)


def warn_of_pixels(known: Classifier, read: Image, stride: tuple[int, ...] | None) -> None:
    """Say what may be wrong with the numbers, once it is seen that there will be some.

    Raises:
        InputError: the image is smaller than the window.
    """
    WindowGrid(read.size, known.window, stride or known.window)
    if read.counted:
        warn_if_unknown(known)


def checked_classes(known: Classifier, prepared: Prepared, scores: Tensor, output: Output) -> tuple[str, ...] | None:
    """The names of the classes of scores ``[K, ...]``. They are of the first output; another one of other classes has
    none.

    Raises:
        InputError: there are not as many as the first output has scores.
    """
    names = known.classes
    if names is None or len(names) == len(scores):
        return names
    if _is_first(prepared, output):
        raise InputError("classes", f"{len(names)} names for {len(scores)} scores", "give one name per class")
    return None


def _is_first(prepared: Prepared, output: Output) -> bool:
    if output is None or prepared.network is None:
        return output in (None, 0)
    outputs = prepared.network.outputs
    return chosen(outputs, output) is chosen(outputs)


def activation_of(known: Classifier, prepared: Prepared, scores: Tensor, output: Output) -> Any:
    """What makes probabilities of scores ``[K, ...]``: as the classifier says, or as its network ends."""
    return known.activation or final_activation(prepared.network, output, scores)


def described(
    known: Classifier, prepared: Prepared, scores: Tensor, output: Output
) -> tuple[str, tuple[str, ...] | None]:
    """What makes probabilities of scores ``[K, ...]``, and the names of their classes.

    Raises:
        InputError: the classifier has other than as many names as there are scores.
    """
    return activation_of(known, prepared, scores, output), checked_classes(known, prepared, scores, output)
