"""True boxes of the images: a folder of VOC XML files, or a COCO JSON file."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Any, NamedTuple
from xml.etree import ElementTree

from everywindow.errors import InputError
from everywindow.evaluation.labels import Item, Problem, few, repeated

KINDS = "give a folder of VOC XML files, one per image, or a COCO JSON file"
SLACK_PX = 1.0
"""So far beyond the image boxes are cut without a word: formats differ in where they begin to count."""


class Box(NamedTuple):
    """A thing in an image.

    Attributes:
        klass: name of its class.
        start, stop: first and exclusive last pixel per axis, ``(row, column)``.
        crowd: whether it counts neither as found nor as missed ("difficult", "crowd").
    """

    klass: str
    start: tuple[float, ...]
    stop: tuple[float, ...]
    crowd: bool = False


class Boxes(NamedTuple):
    """The boxes of one image, and the image's height and width as the file of boxes has them, where it has."""

    boxes: tuple[Box, ...]
    size: tuple[int, int] | None = None


class Annotations(NamedTuple):
    """The boxes of the images by their names, and what is wrong with them."""

    images: dict[str, Boxes]
    problems: tuple[Problem, ...]

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that any box is of."""
        return tuple(sorted({box.klass for image in self.images.values() for box in image.boxes}))


def read_boxes(source: str | Path, items: Sequence[Item]) -> Annotations:
    """The boxes of the images.

    Raises:
        InputError: no such folder or file, or not of these kinds, or of none of the images.
    """
    path = Path(source)
    if path.is_dir():
        found = _of_voc(path, items)
    elif path.suffix.lower() == ".json" and path.is_file():
        found = _of_coco(path, items)
    else:
        raise InputError(str(source), "is no folder and no JSON file" if path.exists() else "no such file", KINDS)
    if not found.images:
        raise InputError(str(source), "there are boxes for none of the images", KINDS)
    return found


def checked(image: Boxes | None, size: tuple[int, ...], name: str) -> tuple[tuple[Box, ...] | None, list[Problem]]:
    """The boxes that lie in an image, cut to it (None where they are not known), and what is wrong with the others."""
    if image is None:
        return None, []
    if image.size is not None and image.size != size:
        why = f"its boxes are for {_times(image.size)} pixels and it has {_times(size)}: they are left out"
        return None, [Problem(name, why, "box list", "left out, for it is of an image of another size")]
    kept: list[Box] = []
    problems: list[Problem] = []
    for box in image.boxes:
        inside = _cut(box, size)
        if inside is None:
            why = f"a box of {box.klass} is empty or outside the image: {_shown(box)}"
            problems.append(Problem(name, why, "box", "left out, empty or outside the image"))
            continue
        kept.append(inside)
        if max(_beyond(box, size)) > SLACK_PX:
            why = f"a box of {box.klass} reaches out of the image and is cut: {_shown(box)}"
            problems.append(Problem(name, why, "box", "cut, for it reaches out of the image"))
    return tuple(kept), problems


def _cut(box: Box, size: tuple[int, ...]) -> Box | None:
    start = tuple(max(0.0, first) for first in box.start)
    stop = tuple(min(float(extent), last) for extent, last in zip(size, box.stop, strict=True))
    whole = all(math.isfinite(edge) for edge in (*box.start, *box.stop))
    if not whole or not all(first < last for first, last in zip(start, stop, strict=True)):
        return None
    return box._replace(start=start, stop=stop)


def _beyond(box: Box, size: tuple[int, ...]) -> list[float]:
    return [*(-first for first in box.start), *(last - extent for last, extent in zip(box.stop, size, strict=True))]


def _shown(box: Box) -> str:
    return f"x {box.start[1]:g} to {box.stop[1]:g}, y {box.start[0]:g} to {box.stop[0]:g}"


def _times(size: Sequence[int]) -> str:
    return "×".join(map(str, size))


def _of_voc(folder: Path, items: Sequence[Item]) -> Annotations:
    files: dict[str, list[Path]] = {}
    for found in sorted(folder.rglob("*.xml")):
        files.setdefault(found.stem, []).append(found)
    if not files:
        raise InputError(str(folder), "there is no XML file in it", KINDS)
    twice = repeated(item.path.stem for item in items)
    images: dict[str, Boxes] = {}
    problems: list[Problem] = []
    for item in items:
        several = files.get(item.path.stem, [])
        beside = folder / PurePath(item.name).with_suffix(".xml")
        file = beside if beside in several else next(iter(several), None)
        if file is not beside and item.path.stem in twice:
            why = "another image has its name: boxes cannot be told apart"
            problems.append(Problem(item.name, why, "box list"))
        elif file is not beside and len(several) > 1:
            names = few([other.relative_to(folder).as_posix() for other in several])
            why = f"{len(several)} XML files have its name: {names}"
            problems.append(Problem(item.name, why, "box list", "left out, several XML files have the image's name"))
        elif file is None:
            why = f"an image without boxes: there is no {item.path.stem}.xml"
            problems.append(Problem(item.name, why, "box list", "absent, there is no XML file of the image's name"))
        else:
            try:
                images[item.name] = _voc_boxes(file)
            except (ElementTree.ParseError, ValueError, OverflowError, OSError) as error:
                why = f"{file.name} cannot be read ({' '.join(str(error).split())})"
                problems.append(Problem(item.name, why, "box list", "an XML file that cannot be read"))
    return Annotations(images, tuple(problems))


def _voc_boxes(file: Path) -> Boxes:
    root = ElementTree.parse(file).getroot()
    height, width = (int(float(root.findtext(f"size/{side}", "0"))) for side in ("height", "width"))
    boxes = tuple(_voc_box(thing) for thing in root.findall("object"))
    return Boxes(boxes, (height, width) if height and width else None)


def _voc_box(thing: ElementTree.Element) -> Box:
    """VOC counts pixels from 1 and includes the last one."""
    edges = {name: float(thing.findtext(f"bndbox/{name}", "nan")) for name in ("ymin", "xmin", "ymax", "xmax")}
    start = (edges["ymin"] - 1, edges["xmin"] - 1)
    hard = thing.findtext("difficult", "0").strip() == "1"
    return Box(thing.findtext("name", "").strip(), start, (edges["ymax"], edges["xmax"]), hard)


def _of_coco(file: Path, items: Sequence[Item]) -> Annotations:
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        numbers = _coco_images(record)
        boxes = _coco_boxes(record)
    except (ValueError, OverflowError, OSError, KeyError, TypeError, AttributeError) as error:
        why = f"is not COCO JSON ({_wrong(error)})"
        raise InputError(str(file), why, "give images, annotations and categories") from error
    short = {item.name: item.path.name for item in items}
    twice = repeated(short.values())
    images: dict[str, Boxes] = {}
    problems: list[Problem] = []
    for item in items:
        key = item.name if item.name in numbers else short[item.name]
        if key not in numbers or (key != item.name and key in twice):
            why = f"an image without boxes: {file.name} does not list it"
            problems.append(Problem(item.name, why, "box list", f"absent, {file.name} does not list the image"))
            continue
        entries, size = numbers[key]
        images[item.name] = Boxes(tuple(box for number in entries for box in boxes.get(number, ())), size)
    return Annotations(images, tuple(problems))


def _wrong(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"there is no {error.args[0]!r} in it, or where it belongs"
    if isinstance(error, TypeError | AttributeError):
        return "its parts are not laid out so"
    return " ".join(str(error).split())[:80]


def _coco_images(record: Any) -> dict[str, tuple[list[Any], tuple[int, int] | None]]:
    """Numbers and size of each image by its name in the file; several entries of a name are one image."""
    found: dict[str, tuple[list[Any], tuple[int, int] | None]] = {}
    for image in record["images"]:
        size = (int(image["height"]), int(image["width"])) if "height" in image and "width" in image else None
        name = str(image["file_name"])
        entries, before = found.setdefault(name, ([], size))
        if size != before:
            raise ValueError(f"{name!r:.40} is there twice, with other sizes")
        if image["id"] not in entries:
            entries.append(image["id"])
    return found


def _coco_boxes(record: Any) -> dict[Any, list[Box]]:
    names = {category["id"]: str(category["name"]) for category in record["categories"]}
    found: dict[Any, list[Box]] = {}
    for thing in record["annotations"]:
        x, y, width, height = map(float, thing["bbox"])
        box = Box(names[thing["category_id"]], (y, x), (y + height, x + width), bool(thing.get("iscrowd", 0)))
        found.setdefault(thing["image_id"], []).append(box)
    return found


def known_classes(found: Annotations, classes: Sequence[str], source: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The classes of boxes that the classifier knows, and notes about the others.

    Raises:
        InputError: it knows none of them.
    """
    both = tuple(name for name in found.classes if name in classes)
    others = [name for name in found.classes if name not in classes]
    if not both:
        raise InputError(
            source,
            f"the boxes are of {few(others) or 'no class'}, none of the classifier's classes ({few(classes)})",
            "give the names of the classes in the order of its outputs with classes=",
        )
    if not others:
        return both, ()
    return both, (f"boxes of {few(others)} are not looked for: no classes of the classifier",)
