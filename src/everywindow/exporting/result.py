"""A result that is to be exported: a map in memory, or one on disk that is read by parts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from everywindow.errors import InputError
from everywindow.geometry import Affine, Place, Span
from everywindow.io import ngff
from everywindow.report import Activation, ScoreMap, activated, warn_if_incomplete

NAMES = ("z", "y", "x")
IDENTITY: Affine = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


@dataclass(frozen=True, eq=False)
class Result:
    """Scores with what is known of them; how they are read is left open.

    Attributes:
        classes: one name per class.
        counts: windows per axis.
        chunk: windows per axis that are best read together.
        dtype: of the scores.
        place: where the windows lie.
        activation: what turns scores into probabilities.
        source: what the image's file says about it.
        image: the file that was scanned.
        read: the scores ``[K, *n]`` of a rectangle of windows.
        load: the whole of it as a map.
    """

    classes: tuple[str, ...]
    counts: tuple[int, ...]
    chunk: tuple[int, ...]
    dtype: np.dtype[Any]
    place: Place
    activation: Activation
    source: dict[str, Any]
    image: str | None
    read: Callable[[Sequence[Span]], np.ndarray]
    load: Callable[[], ScoreMap]

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of the spatial axes."""
        return NAMES[-len(self.counts) :]

    @property
    def spacing(self) -> tuple[float, ...]:
        """Extent of a level-0 pixel per axis, in :attr:`unit`; empty where it is not known."""
        return tuple(self.source.get("spacing") or ())

    @property
    def unit(self) -> str:
        """Of the spacing."""
        return self.source.get("unit") or "unit"

    @property
    def transform(self) -> Affine:
        """From level-0 column and row to the world; to pixels where there is none."""
        told = self.source.get("transform")
        return IDENTITY if told is None else _affine(told)

    def staged(self, file: Path, probabilities: bool) -> np.ndarray:
        """All values ``[K, *counts]`` in a scratch file, which need not fit into memory."""
        dtype = self.dtype if self.dtype.itemsize > 2 else np.dtype(np.float32)
        values = np.memmap(file, dtype, "w+", shape=(len(self.classes), *self.counts))
        for windows in ngff.boxes(self.counts, self.chunk):
            scores = self.read(windows)
            if probabilities:
                # Half precision is widened first: it has no softmax on every device.
                scores = activated(torch.from_numpy(scores.astype(dtype)), self.activation).numpy()
            values[(slice(None), *(slice(*span) for span in windows))] = scores
        return values


def opened(result: ScoreMap | str | os.PathLike[str]) -> Result:
    """A map, or the file of one.

    Raises:
        InputError: no such file, or none that holds a map.
    """
    if isinstance(result, ScoreMap):
        return _of_map(result)
    if not isinstance(result, (str, os.PathLike)):
        raise InputError("result", f"{type(result).__name__} is no score map", "give a ScoreMap or the file of one")
    if not ngff.is_store(result):
        return _of_map(ScoreMap.load(result))
    store = ngff.Store.open(result)
    warn_if_incomplete(result, stacklevel=5)
    told = store.attributes
    names = told.get("classes")
    return Result(
        tuple(names) if names else _numbered(len(store.scores)),
        store.counts,
        store.chunk,
        store.scores.dtype,
        ngff.place_of(told),
        told["activation"],
        told.get("source") or {},
        told.get("path"),
        store.read,
        lambda: ScoreMap.load(result),
    )


def _of_map(m: ScoreMap) -> Result:
    scores = m.scores.detach().cpu()
    values = (scores.float() if scores.dtype == torch.bfloat16 else scores).numpy()
    return Result(
        m.classes or _numbered(len(values)),
        m.counts,
        m.counts,
        values.dtype,
        m.where,
        m.activation,
        m.source or {},
        m.path,
        lambda windows: values[(slice(None), *(slice(*span) for span in windows))],
        lambda: m,
    )


def blocks(counts: Sequence[int], rows: int) -> Iterator[tuple[Span, Span]]:
    """Strips of rows of a plane."""
    for first in range(0, counts[0], rows):
        yield (first, min(first + rows, counts[0])), (0, counts[1])


def _numbered(classes: int) -> tuple[str, ...]:
    return tuple(f"class {k}" for k in range(classes))


def _affine(numbers: Sequence[float]) -> Affine:
    a, b, c, d, e, f = map(float, numbers)
    return a, b, c, d, e, f
