"""What was measured on a network: equivariance, invariance, poolings and the mark that padding leaves."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from everywindow.errors import InputError
from everywindow.io import atomic_file

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

PICTURES, PAGES, TABLES = (".png", ".svg", ".pdf"), (".html", ".htm"), (".json",)


@dataclass(frozen=True)
class AnswerRow:
    """What becomes of the answer under one change of the image.

    Attributes:
        kind: ``"shift"``, ``"rotation"`` or ``"scale"``.
        amount: pixels, degrees or a factor; 0, 0 and 1 for the image as it is.
        probability: of the class that comes first for the image as it is, the mean over images and directions; its
            score, where the network's scores are no probabilities.
        agreement: share of them for which it still comes first.
    """

    kind: str
    amount: float
    probability: float
    agreement: float


@dataclass(frozen=True)
class LayerShift:
    """How far a layer's map is from moving with the image. Differences are relative to the map's spread: the largest
    difference between two of its positions, over the channels.

    Attributes:
        layer, kind: the user's name for it, and its operation.
        positions: of its map, per axis.
        sees: pixels per axis that a position sees, padding included.
        shift: pixels per axis by which the image was moved: the least that moves the map by whole positions.
        whole: whether positions see the whole window, by an attention or a mean before, say.
        interior: the largest difference where no position depends on the window's borders; None where all do.
        everywhere: the same over all positions.
        one_pixel: the same of ``interior`` (or ``everywhere``) for an image moved by one pixel. A map whose positions
            lie farther apart than pixels cannot move by so little: it is compared unmoved.
    """

    layer: str
    kind: str
    positions: tuple[int, ...]
    sees: tuple[int, ...]
    shift: tuple[int, ...]
    whole: bool
    interior: float | None
    everywhere: float
    one_pixel: float

    def says(self, tolerance: float) -> str:
        """How it moves with the image, in words."""
        if self.everywhere <= tolerance:
            where = "everywhere"
        elif self.interior is None:
            return "no: it sees the whole window" if self.whole else "no: all of it depends on the window's borders"
        elif self.interior <= tolerance:
            where = "but for the border"
        else:
            return "no"
        return where if max(self.shift) == 1 else f"{where}, in steps of {_once(self.shift)} px"


@dataclass(frozen=True)
class PoolShift:
    """Max and mean pooling of the same values with the same kernel and stride, moved by one position.

    Attributes:
        layer: before which pooling layer the values stand; ``"image"`` for the image itself.
        own: what the network does there: ``"max"`` or ``"mean"``; empty for the image.
        kernel, stride: per axis.
        inputs_unchanged, max_unchanged, mean_unchanged: share of the values, of their maxima and of their means that
            stay as they are.
        inputs_change, max_change, mean_change: the mean change, over the standard deviation within a channel.
    """

    layer: str
    own: str
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    inputs_unchanged: float
    max_unchanged: float
    mean_unchanged: float
    inputs_change: float
    max_change: float
    mean_change: float


@dataclass(frozen=True)
class LayerPlace:
    """How much a layer's map tells of the place where the image is the same everywhere (a patch that repeats).

    Attributes:
        layer, kind: the user's name for it, and its operation.
        reached: share of the positions that depend on where the window ends, proved from the graph.
        share: share of the positions that differ from the one in the middle that sees the same.
        largest, mean: how far, relative to the map's spread over the image itself, at the farthest position and over
            all.
        places: how far at each position, an array.
    """

    layer: str
    kind: str
    reached: float
    share: float
    largest: float
    mean: float
    places: np.ndarray = field(compare=False, repr=False)


@dataclass(frozen=True, repr=False)
class Probe:
    """What was measured on a network. ``print()`` gives the tables; notebooks show them with the figure.

    Attributes:
        name: the network's.
        window: in pixels per axis.
        images: how many there were.
        source: ``"images"`` or ``"noise"``.
        paths: of those that are files.
        activation: what made probabilities of the scores.
        classes: their names, where they are known.
        single: whether the network has a single score: its classes are no (0) and yes (1).
        top: of each image the index of the class that comes first, and its probability.
        tolerance: relative differences up to which two maps are the same but for rounding.
        answers: the answer under shifts, rotations and scales.
        layers: how far each layer's map moves with the image.
        pools: max against mean pooling.
        places: what padding tells each layer about the place.
        notes: how it was measured, and what could not be.
        pictures: the first image's window, as a picture from 0 to 1; nothing where it is none.
    """

    name: str
    window: tuple[int, ...]
    images: int
    source: str
    paths: tuple[str, ...]
    activation: str
    classes: tuple[str, ...] | None
    single: bool
    top: tuple[tuple[int, float], ...]
    tolerance: float
    answers: tuple[AnswerRow, ...]
    layers: tuple[LayerShift, ...]
    pools: tuple[PoolShift, ...]
    places: tuple[LayerPlace, ...]
    notes: tuple[str, ...]
    pictures: tuple[Any, ...] = field(default=(), compare=False)

    def curve(self, kind: str) -> tuple[AnswerRow, ...]:
        """The answers under one kind of change, by amount.

        Raises:
            InputError: there is no such kind.
        """
        if kind not in ("shift", "rotation", "scale"):
            raise InputError("kind", f"{kind!r} is none of shift, rotation, scale", "give one of them")
        return tuple(sorted((row for row in self.answers if row.kind == kind), key=lambda row: row.amount))

    def plot(self) -> Figure:
        """All of it as a matplotlib figure that belongs to no window: ``figure.savefig("probe.png")``."""
        from everywindow.report.probe_plot import figure

        return figure(self)

    def html(self) -> str:
        """A page: one document that needs no other file, no script and no network."""
        from everywindow.report.probe_page import probe_page

        return probe_page(self)

    def save(self, path: str | Path) -> Path:
        """Write the figure (``.png``, ``.svg``, ``.pdf``), the page (``.html``) or the numbers (``.json``).

        The file is written whole or not at all.

        Raises:
            InputError: another kind of file, or nothing can be written there.
        """
        check_target(path)
        suffix = Path(path).suffix.lower()
        with atomic_file(path) as part:
            if suffix in PICTURES:
                self.plot().savefig(part, format=suffix[1:])
            else:
                part.write_text(self.html() if suffix in PAGES else self.to_json(), encoding="utf-8")
        return Path(path)

    def as_dict(self) -> dict[str, Any]:
        """The numbers as plain data for JSON. What is not finite is None."""
        tables = ("answers", "layers", "pools", "places")
        plain = {one.name: getattr(self, one.name) for one in fields(self) if one.name not in (*tables, "pictures")}
        rows = {name: [_plain(row) for row in getattr(self, name)] for name in tables}
        return {name: _json(value) for name, value in plain.items()} | rows

    def to_json(self) -> str:
        """:meth:`as_dict` as a JSON document."""
        return json.dumps(self.as_dict(), indent=2, allow_nan=False)

    def __repr__(self) -> str:
        from everywindow.report.probe_text import probe_text

        return probe_text(self)

    def _repr_html_(self) -> str:
        from everywindow.report.probe_page import probe_fragment

        return probe_fragment(self)


def check_target(path: str | Path) -> None:
    """See before any work whether a report may be written under a name.

    Raises:
        InputError: another kind of file.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in (*PICTURES, *PAGES, *TABLES):
        raise InputError(
            str(path),
            f"{suffix or 'a name without an ending'} is not a kind of report",
            "end the name in .png or .html",
        )


def _plain(row: Any) -> dict[str, Any]:
    values = {one.name: getattr(row, one.name) for one in fields(row) if one.name != "places"}
    return {name: _json(value) for name, value in values.items()}


def _json(value: Any) -> Any:
    """Lists for tuples, and None for what is not finite."""
    if isinstance(value, tuple):
        return [_json(one) for one in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def _once(sizes: tuple[int, ...]) -> str:
    return "×".join(map(str, sizes if len(set(sizes)) > 1 else sizes[:1]))
