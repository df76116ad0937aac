"""What an evaluation hands back."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from everywindow.evaluation.labels import Problem, grouped
from everywindow.evaluation.localise import Located
from everywindow.evaluation.measure import Answer
from everywindow.evaluation.summary import Localisation, Row, Share
from everywindow.io import atomic_path
from everywindow.report import LeftOut, counted, table

COLUMNS = ("image", "label", "method", "answer", "probability", "label_probability", "label_rank", "right", "changed",
           "seconds")  # fmt: skip
BOX_COLUMNS = ("image", "map", "class", "peak_in_box", "roc_area", "boxes_found")
METHOD_HEADER = ("method", "top-1 (95 %)", "top-5 (95 %)", "points above centre", "changed", "s/image", "times centre")
SHOWN = 3
"""So many problems of a kind are told in words; the page and the plain data have all."""


class ImageResult(NamedTuple):
    """One image.

    Attributes:
        name: its path as seen from the folder, or as the CSV has it.
        path: its file.
        label: name of its class, or None.
        answers: by the methods' names.
        located: where boxes were given, by protocol and then by class: whether the peak lies in a box of the class, the
            area under the ROC curve, and the boxes that were found.
    """

    name: str
    path: Path
    label: str | None
    answers: dict[str, Answer]
    located: dict[str, dict[str, Located]]


class Change(NamedTuple):
    """An image whose answer is another than the centre crop's: names of the classes."""

    image: str
    label: str | None
    before: str
    after: str


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Accuracy and seconds per image of the protocols, side by side; ``str()`` gives the tables.

    Attributes:
        rows: one per method, the centre crop first: what the others are compared with.
        localisation: one per protocol of all windows and class, where boxes were given.
        images: every image that has answers.
        problems: what was left out, and why: images that cannot be read, labels without images, boxes outside.
        notes: what else is worth knowing.
        left_out: protocols that cannot run, and the layer that is the reason.
        classes: names of the classes.
        settings: what it was run with, as plain data.
    """

    rows: tuple[Row, ...]
    localisation: tuple[Localisation, ...]
    images: tuple[ImageResult, ...]
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    classes: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)

    def row(self, name: str) -> Row | None:
        """The row of a method by its name, or None."""
        return next((row for row in self.rows if row.name == name), None)

    def changed(self, name: str) -> tuple[Change, ...]:
        """The images to which a method gives another answer than the centre crop."""
        reference = self.rows[0].name
        return tuple(
            Change(image.name, image.label, *(self.classes[image.answers[which].top[0]] for which in (reference, name)))
            for image in self.images
            if image.answers[name].top[0] != image.answers[reference].top[0]
        )

    def __str__(self) -> str:
        parts = [_filled([METHOD_HEADER, *map(self._cells, self.rows)])]
        if self.localisation:
            parts += ["", _filled([_box_header(self.localisation[0]), *map(_box_cells, self.localisation)])]
        labelled = self.rows[0].labelled
        told = counted(len(self.images), "image")
        told += f", {labelled} with a label" if labelled < len(self.images) else ""
        parts += ["", told, *map(str, self.left_out), *self.notes]
        return "\n".join([*parts, *self._left_out()])

    def _left_out(self) -> Iterator[str]:
        """By kind and reason, how many of them and the first ones."""
        for line, some in grouped(self.problems):
            yield line
            yield from (f"  {problem}" for problem in some[:SHOWN])
            if len(some) > SHOWN:
                yield f"  and {len(some) - SHOWN:,} more"

    def __repr__(self) -> str:
        return f"Evaluation({len(self.images)} images, {len(self.rows)} methods, {len(self.problems)} problems)"

    def as_dict(self) -> dict[str, Any]:
        """The same as plain data for JSON, without the single images."""
        return {
            "images": len(self.images),
            "classes": list(self.classes),
            "settings": self.settings,
            "methods": [asdict(row) for row in self.rows],
            "localisation": [asdict(each) for each in self.localisation],
            "changed": {row.name: [change._asdict() for change in self.changed(row.name)] for row in self.rows[1:]},
            "problems": [{"what": problem.what, "why": problem.why, "kind": problem.kind} for problem in self.problems],
            "notes": list(self.notes),
            "left_out": [asdict(each) for each in self.left_out],
        }

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the files that :meth:`write` makes."""
        return ("results.csv", *(["boxes.csv"] if self.localisation else []), "report.html")

    def write(self, folder: str | os.PathLike[str]) -> None:
        """Write the tables and the page into a folder.

        Raises:
            InputError: it cannot be written.
        """
        write = {"results.csv": self.to_csv, "boxes.csv": self.boxes_to_csv, "report.html": self.to_html}
        for name in self.files:
            write[name](Path(folder) / name)

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write a line per image and method.

        Raises:
            InputError: ``path`` cannot be written.
        """
        _write_csv(path, COLUMNS, (self._line(image, row.name) for image in self.images for row in self.rows))

    def boxes_to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write a line per image, protocol and class: whether the peak lies in a box, the ROC area, boxes found.

        Raises:
            InputError: ``path`` cannot be written.
        """
        _write_csv(path, BOX_COLUMNS, (line for image in self.images for line in _box_lines(image)))

    def to_html(self, path: str | os.PathLike[str]) -> None:
        """Write a page that needs no other file and no network.

        Raises:
            InputError: ``path`` cannot be written.
        """
        from everywindow.evaluation.page import page

        with atomic_path(path) as scratch:
            scratch.write_text(page(self), "utf-8")

    def _line(self, image: ImageResult, name: str) -> tuple[Any, ...]:
        answer, before = image.answers[name], image.answers[self.rows[0].name]
        right = "" if answer.rank is None else int(answer.rank == 0)
        changed = int(answer.top[0] != before.top[0])
        return (image.name, image.label, name, self.classes[answer.top[0]], answer.probability,
                answer.label_probability, answer.rank, right, changed, answer.seconds)  # fmt: skip

    def _cells(self, row: Row) -> tuple[str, ...]:
        base = self.rows[0].seconds
        return (
            row.name,
            _shown(row.top1),
            _shown(row.top5),
            "" if row.gain is None else points(row.gain),
            "" if row is self.rows[0] else str(row.changed),
            f"{row.seconds:.3g}",
            f"{row.seconds / base:.1f}" if base else "",
        )


def _filled(rows: list[tuple[str, ...]]) -> str:
    """A table without the columns that are empty below their heading."""
    columns = [column for column in zip(*rows, strict=True) if any(column[1:])]
    return table(list(zip(*columns, strict=True)))


def points(gain: Share) -> str:
    """A difference of two shares, in percentage points."""
    return f"{100 * gain.value:+.1f} ({100 * gain.low:+.1f} to {100 * gain.high:+.1f})"


def _shown(value: Share | None) -> str:
    return "" if value is None else str(value)


def _box_header(each: Localisation) -> tuple[str, ...]:
    precisions = (f"AP at {overlap:g}" for overlap in each.precision)
    return ("map", "class", "images", "peak in its box (95 %)", "ROC area", *precisions)


def _box_cells(each: Localisation) -> tuple[str, ...]:
    numbers = (each.roc, *each.precision.values())
    shown = ("" if number is None else f"{number:.3f}" for number in numbers)
    return (each.name, each.klass, str(each.images), _shown(each.pointing), *shown)


def _box_lines(image: ImageResult) -> Iterator[tuple[Any, ...]]:
    for name, classes in image.located.items():
        for klass, found in classes.items():
            hit = None if found.hit is None else int(found.hit)
            yield image.name, name, klass, hit, found.roc, len(found.boxes)


def _write_csv(path: str | os.PathLike[str], header: Iterable[str], lines: Iterable[tuple[Any, ...]]) -> None:
    with atomic_path(path) as scratch, scratch.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        writer.writerows(lines)
