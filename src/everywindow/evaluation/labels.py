"""A labelled folder or a CSV as a list of images, and what is wrong with it."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from everywindow.errors import InputError
from everywindow.io import is_image_name
from everywindow.report import counted

WAYS = "give a folder with a folder per class, or a CSV with the columns path,label"


def as_path(what: str, given: Any) -> str:
    """A path as text.

    Raises:
        InputError: it is none.
    """
    if not isinstance(given, str | os.PathLike):
        raise InputError(what, f"a {type(given).__name__} is no path", WAYS if what == "images" else "give one")
    return os.fspath(given)


class Item(NamedTuple):
    """An image to evaluate.

    Attributes:
        path: its file.
        name: its path as seen from the folder, or as the CSV has it.
        label: name of its class; None where boxes alone are evaluated.
    """

    path: Path
    name: str
    label: str | None = None


class Problem(NamedTuple):
    """Something that is left out: what it is, and why.

    Attributes:
        what: an image, a line of a list, a folder.
        why: the reason.
        kind: of what is left out: ``"image"``, ``"box"``, ``"label"``, or the ``"box list"`` of an image.
        group: the reason without what is of this one alone; empty where that is all of it.
    """

    what: str
    why: str
    kind: str = "image"
    group: str = ""

    def __str__(self) -> str:
        return f"{self.what}: {self.why}"


def grouped(problems: Iterable[Problem]) -> list[tuple[str, tuple[Problem, ...]]]:
    """Those of one kind and reason together, each with a line that counts them, in the order of their first ones.

    >>> [line for line, _ in grouped([Problem("a.png", "damaged"), Problem("b.png", "damaged")])]
    ['2 images left out: damaged']
    """
    found: dict[tuple[str, str], list[Problem]] = {}
    for problem in problems:
        found.setdefault((problem.kind, problem.group or problem.why), []).append(problem)
    return [
        (f"{counted(len(some), kind)}{'' if some[0].group else ' left out'}: {why}", tuple(some))
        for (kind, why), some in found.items()
    ]


class Listing(NamedTuple):
    """The images, what is left out already, and what a user may want to know."""

    items: tuple[Item, ...]
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


def listed(source: str | Path, boxes: bool = False) -> Listing:
    """The images of a folder (one folder per class) or of a CSV (``path,label``).

    Args:
        source: the folder or the file.
        boxes: whether there are boxes, so that images need no label.

    Raises:
        InputError: neither of the two, or no image in it.
    """
    path = Path(source)
    if path.is_dir():
        found = _of_folder(path, boxes)
    elif path.is_file():
        if path.suffix.lower() != ".csv":
            raise InputError(str(source), "is neither a folder nor a CSV file", WAYS)
        found = _of_csv(path, boxes)
    else:
        raise InputError(str(source), "no such folder or file", "check the name")
    if not found.items:
        why = "there is no image in it"
        if found.problems:
            first = found.problems[0]
            why = f"no image in it can be used, the first because: {str(first).removeprefix(f'{path.name}, ')}"
        raise InputError(str(source), why, WAYS)
    return found


def _of_folder(folder: Path, boxes: bool) -> Listing:
    kinds = sorted(child for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))
    loose = _images(folder.iterdir())
    if not kinds and loose and boxes:
        return Listing(tuple(Item(file, file.name) for file in loose))
    if not kinds:
        raise InputError(str(folder), "has no folder per class in it, so its images have no labels", WAYS)
    why = "an image without a label: it lies in no class' folder"
    problems = [Problem(file.name, why) for file in loose]
    items: list[Item] = []
    for kind in kinds:
        files = _images(kind.rglob("*"))
        items += [Item(file, file.relative_to(folder).as_posix(), kind.name) for file in files]
        if not files:
            problems.append(Problem(f"{kind.name}/", "a label without images: there is none in the folder", "label"))
    return Listing(tuple(items), tuple(problems))


def _images(files: Iterable[Path]) -> list[Path]:
    return sorted(file for file in files if is_image_name(file.name) and not file.name.startswith("."))


def _of_csv(file: Path, boxes: bool) -> Listing:
    items: dict[str, Item] = {}
    problems: list[Problem] = []
    for line, name, label in _rows(file, boxes):
        if label is None and not boxes:
            why = f"{name or 'the row'} has no label"
            problems.append(Problem(f"{file.name}, line {line}", why, "image", "left out, without a label in the CSV"))
        elif not name:
            problems.append(Problem(f"{file.name}, line {line}", "there is no path in it", "label"))
        elif name in items:
            told = "the first label counts" if items[name].label != label else "it counts once"
            where, why = f"{file.name}, line {line}", f"{name} is there already: {told}"
            problems.append(Problem(where, why, "label", f"of an image that is there already: {told}"))
        elif not (file.parent / name).exists():
            problems.append(Problem(name, "a label without an image: there is no such file", "label"))
        else:
            items[name] = Item(file.parent / name, name, label)
    return Listing(tuple(items.values()), tuple(problems), _beside(items.values()))


def _rows(file: Path, boxes: bool) -> list[tuple[int, str, str | None]]:
    """Line, path and label of each row. The columns may be named; else the first two are taken."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            rows = [(number, [cell.strip() for cell in row]) for number, row in enumerate(csv.reader(stream), 1)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(str(file), f"cannot be read as a CSV ({error})", "write it in UTF-8 with commas") from error
    rows = [(number, row) for number, row in rows if any(row)]
    if not boxes:
        _check_columns(file, [row for _, row in rows])
    at, labels = 0, 1
    if rows and "path" in [cell.lower() for cell in rows[0][1]]:
        names = [cell.lower() for cell in rows.pop(0)[1]]
        at, labels = names.index("path"), names.index("label") if "label" in names else len(names)
    return [(number, _cell(row, at) or "", _cell(row, labels)) for number, row in rows]


def _check_columns(file: Path, rows: Sequence[Sequence[str]]) -> None:
    """See that there is a path and a label somewhere: else it is the separator, or the names of the columns.

    Raises:
        InputError: no row has a second column.
    """
    if not rows or max(map(len, rows)) > 1 or rows[0][0].lower() == "path":
        return
    first = rows[0][0]
    other = next((mark for mark in ";\t|" if mark in first), None)
    named = {";": "semicolons", "\t": "tabs", "|": "bars"}
    why = f"its first line, {first!r:.60}, has no comma" + (f" but {named[other]}" if other else "")
    raise InputError(str(file), why, "separate the columns path,label by commas")


def _cell(row: list[str], column: int) -> str | None:
    return row[column] or None if column < len(row) else None


def _beside(items: Iterable[Item]) -> tuple[str, ...]:
    """Images in the same folders that have no label."""
    listed_items = [item for item in items if item.label is not None]
    known = {item.path.resolve() for item in listed_items}
    folders = {item.path.parent for item in listed_items}
    others = [
        file.name for folder in sorted(folders) for file in _images(folder.iterdir()) if file.resolve() not in known
    ]
    if not others:
        return ()
    return (f"{len(others)} images beside those of the CSV have no label there, and are not used: {few(others)}",)


def class_indices(labels: Iterable[str], classes: tuple[str, ...] | None, count: int) -> dict[str, int]:
    """The class of each label: by the classifier's names, by index, or in order where it has no names.

    A single score stands for two classes: 1 where its probability is above a half, else 0. The order is the alphabet's,
    of numbers that of their size.

    Raises:
        InputError: labels that are no classes of the classifier.

    >>> class_indices(["cat", "dog"], ("dog", "cat", "cow"), 3)
    {'cat': 1, 'dog': 0}
    >>> class_indices(["cat", "dog"], None, 2)
    {'cat': 0, 'dog': 1}
    >>> class_indices(["10", "9", "8"], None, 3)
    {'10': 2, '9': 1, '8': 0}
    >>> class_indices(["1"], ("face",), 1)
    {'1': 1}
    >>> class_indices(["other", "face"], ("face",), 1)
    {'other': 0, 'face': 1}
    """
    wanted = list(dict.fromkeys(labels))
    total = max(count, 2)
    numbers = {label: int(label) for label in wanted if label.isdecimal() and int(label) < total}
    if any(name.isdecimal() for name in classes or ()):
        numbers = {}  # its names are numbers: none of them is an index
    known = {name: index for index, name in enumerate(classes or ())}
    if count == 1 and classes:
        known = {**dict.fromkeys(_other(wanted, classes[0], numbers), 0), classes[0]: 1}
    if not known and len(numbers) < len(wanted) == total:
        known = {label: index for index, label in enumerate(_in_order(wanted))}
    strangers = [label for label in wanted if label not in known and label not in numbers]
    if strangers:
        names = f"its classes are {few(classes)}" if classes else f"it has {total} classes without names"
        raise InputError(
            "labels",
            f"{len(strangers)} of {len(wanted)} are none of the classifier's: {few(strangers)} ({names})",
            "rename them, or give the names of the classes in the order of its outputs with classes=",
        )
    return {label: known.get(label, numbers.get(label, 0)) for label in wanted}


def _other(labels: Sequence[str], name: str, numbers: Iterable[str]) -> list[str]:
    """The one label that stands for "not ``name``", if there is one."""
    others = sorted(set(labels) - {name, *numbers})
    sure = name in labels or not any(label.isdecimal() for label in others)
    return others[:1] if sure else []


def _in_order(labels: Iterable[str]) -> list[str]:
    """By the alphabet; numbers by their size."""
    found = sorted(labels)
    return sorted(found, key=int) if all(label.isdecimal() for label in found) else found


def order_notes(classes: tuple[str, ...] | None, indices: dict[str, int], names: Sequence[str]) -> list[str]:
    """What was assumed about which label is which class, as far as the names of the classes do not say it."""
    notes = [
        f"the labels {' and '.join(same)} are one class, {names[index]}"
        for index in sorted(set(indices.values()))
        if len(same := [label for label, its in indices.items() if its == index]) > 1
    ]
    guessed = sorted((label for label in indices if label not in (classes or ())), key=lambda label: indices[label])
    numbers = [label for label in guessed if label.isdecimal() and int(label) == indices[label]]
    if classes is None and len(numbers) < len(guessed):
        told = few(guessed, 20)
        return [*notes, f"the classifier has no names: its outputs are taken to be, in this order, {told}"]
    if numbers and (classes is not None or 0 not in indices.values()):
        told = "no label is 0" if classes is None else few([f"{label} is {names[indices[label]]}" for label in numbers])
        notes.append(f"labels that are numbers are taken as those of its outputs, counted from 0: {told}")
    others = [label for label in guessed if label not in numbers]
    return [*notes, *(f"the label {label} is taken as {names[indices[label]]}" for label in others)]


def class_names(classes: tuple[str, ...] | None, indices: dict[str, int], count: int) -> tuple[str, ...]:
    """A name for each class: the classifier's, or that of the label, or its index."""
    given = {index: label for label, index in indices.items()}
    if classes is not None and len(classes) == count and count > 1:
        given = dict(enumerate(classes))
    elif classes is not None and count == 1:
        given = {0: f"not {classes[0]}", 1: classes[0], **given}
    return tuple(given.get(index, f"class {index}") for index in range(max(count, 2)))


def few(names: Sequence[str], limit: int = 5) -> str:
    """The first names."""
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def repeated(names: Iterable[str]) -> set[str]:
    """Those that are there more than once."""
    return {name for name, times in Counter(names).items() if times > 1}
