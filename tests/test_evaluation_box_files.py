"""Files of boxes that say a thing twice, or numbers that are none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import everywindow as ew
from everywindow.evaluation.boxes import Annotations, read_boxes
from everywindow.evaluation.labels import Item


def voc(file: Path, left: int, width: str = "40") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    edges = f"<xmin>{left}</xmin><ymin>1</ymin><xmax>{left + 5}</xmax><ymax>6</ymax>"
    size = f"<size><width>{width}</width><height>30</height></size>"
    file.write_text(f"<annotation>{size}<object><name>spot</name><bndbox>{edges}</bndbox></object></annotation>")


def lefts(found: Annotations, name: str) -> list[float]:
    return [box.start[1] for box in found.images[name].boxes]


def items(*names: str) -> list[Item]:
    return [Item(Path("/images") / name, name) for name in names]


def test_two_xml_files_of_one_name_are_told_apart_by_their_folder_or_not_used(tmp_path: Path) -> None:
    voc(tmp_path / "one" / "a.xml", 3)
    voc(tmp_path / "two" / "a.xml", 9)
    voc(tmp_path / "b.xml", 5)
    found = read_boxes(tmp_path, items("one/a.png", "two/a.png", "x/b.png"))
    assert [lefts(found, name) for name in ("one/a.png", "two/a.png", "x/b.png")] == [[2], [8], [4]]
    assert not found.problems
    found = read_boxes(tmp_path, items("a.png", "b.png"))
    assert list(found.images) == ["b.png"]
    assert str(found.problems[0]) == "a.png: 2 XML files have its name: one/a.xml, two/a.xml"


def coco(file: Path, images: list[dict[str, Any]]) -> Path:
    annotations = [{"image_id": i["id"], "category_id": 1, "bbox": [10 * i["id"], 0, 5, 5]} for i in images]
    record = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "spot"}]}
    file.write_text(json.dumps(record))
    return file


def test_two_coco_entries_of_one_image_are_one(tmp_path: Path) -> None:
    size = {"file_name": "a.png", "height": 30, "width": 40}
    file = coco(tmp_path / "boxes.json", [{"id": 1, **size}, {"id": 2, **size}])
    assert lefts(read_boxes(file, items("a.png")), "a.png") == [10, 20]
    coco(file, [{"id": 1, **size}, {"id": 2, **size, "width": 41}])
    with pytest.raises(ew.InputError, match=r"'a.png' is there twice, with other sizes"):
        read_boxes(file, items("a.png"))


def test_sizes_that_are_no_numbers(tmp_path: Path) -> None:
    file = coco(tmp_path / "boxes.json", [{"id": 1, "file_name": "a.png", "height": 30, "width": 1e999}])
    with pytest.raises(ew.InputError, match=r"is not COCO JSON"):
        read_boxes(file, items("a.png"))
    voc(tmp_path / "voc" / "a.xml", 3, width="inf")
    voc(tmp_path / "voc" / "b.xml", 3)
    found = read_boxes(tmp_path / "voc", items("a.png", "b.png"))
    assert [problem.what for problem in found.problems] == ["a.png"]
    assert "cannot be read" in found.problems[0].why
