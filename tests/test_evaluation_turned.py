"""Boxes of photographs with an EXIF orientation: of the pixels as stored, as shown, or nobody knows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from torch import nn

import everywindow as ew
from everywindow.io import read_file, turn_of

STORED = (24, 32)
BRIGHT = (slice(4, 10), slice(8, 16))
"""In stored pixels: rows 4 to 10, columns 8 to 16."""

QUARTERS = (5, 6, 7, 8)
SUFFIXES = (".jpg", ".png", ".tif")


def photograph(file: Path, orientation: int | None, stored: tuple[int, int] = STORED) -> Path:
    """Dark, with a bright thing; JPEG blurs its edges by less than a grey value of 64."""
    pixels = np.full(stored, 20, np.uint8)
    pixels[BRIGHT] = 230
    exif = PIL.Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    file.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(pixels).save(file, exif=exif, **({"quality": 98} if file.suffix == ".jpg" else {}))
    return file


def seen_box(pixels: np.ndarray) -> tuple[int, int, int, int]:
    """Top, left, bottom, right of what is bright."""
    rows, columns = np.nonzero(pixels > 125)
    return int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_points_are_turned_as_the_pixels_are(orientation: int, suffix: str, tmp_path: Path) -> None:
    file = photograph(tmp_path / f"a{suffix}", orientation)
    shown = read_file(file, 1, 2)
    turn = turn_of(file)
    if orientation == 1:
        assert turn is None
        return
    assert turn is not None
    assert (turn.stored, turn.shown) == (STORED, shown.shape)
    corners = turn.point((4, 8)), turn.point((10, 16))
    top, left = map(min, *corners)
    bottom, right = map(max, *corners)
    assert (top, left, bottom, right) == seen_box(shown)


def test_files_that_are_not_turned(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no image")
    np.save(tmp_path / "a.npy", np.zeros(STORED))
    photograph(tmp_path / "odd.jpg", 9)
    photograph(tmp_path / "none.jpg", None)
    for name in ("text.jpg", "a.npy", "odd.jpg", "none.jpg", "absent.jpg"):
        assert turn_of(tmp_path / name) is None, name


def classifier() -> ew.Classifier:
    """Says thing where a window of 4 pixels is bright."""
    net = nn.Sequential(nn.Conv2d(1, 2, 4), nn.Flatten())
    weight = torch.tensor([-1.0, 1.0]).reshape(2, 1, 1, 1).expand(2, 1, 4, 4) / 4
    net[0].weight.data.copy_(weight)
    nn.init.zeros_(net[0].bias)
    return ew.Classifier(net, 4, mean=[0.5], std=[0.5], classes=["dark", "thing"])


def coco(file: Path, edges: dict[str, tuple[int, ...]], sizes: dict[str, tuple[int, ...] | None]) -> Path:
    """``edges``: top, left, bottom, right by image."""
    images, annotations = [], []
    for number, (name, (top, left, bottom, right)) in enumerate(edges.items()):
        size = sizes[name]
        more = {} if size is None else {"height": size[0], "width": size[1]}
        images.append({"id": number, "file_name": name, **more})
        annotations.append({"image_id": number, "category_id": 0, "bbox": [left, top, right - left, bottom - top]})
    record = {"images": images, "annotations": annotations, "categories": [{"id": 0, "name": "thing"}]}
    file.write_text(json.dumps(record))
    return file


def voc(folder: Path, name: str, edges: tuple[int, ...], size: tuple[int, ...] | None) -> Path:
    folder.mkdir(exist_ok=True)
    top, left, bottom, right = edges
    shape = "" if size is None else f"<size><width>{size[1]}</width><height>{size[0]}</height></size>"
    box = f"<xmin>{left + 1}</xmin><ymin>{top + 1}</ymin><xmax>{right}</xmax><ymax>{bottom}</ymax>"
    thing = f"<object><name>thing</name><bndbox>{box}</bndbox></object>"
    (folder / f"{name}.xml").write_text(f"<annotation>{shape}{thing}</annotation>")
    return folder


def evaluated(images: Path, boxes: Path, **options: Any) -> ew.Evaluation:
    return ew.evaluate(classifier(), images, ["exact"], boxes=boxes, stride=1, **options)


def pointing(result: ew.Evaluation) -> float:
    (row,) = result.localisation
    assert row.pointing is not None
    return row.pointing.value


def told(result: ew.Evaluation) -> list[str]:
    return [note for note in result.notes if "EXIF" in note]


@pytest.mark.parametrize("kind", ["voc", "coco"])
@pytest.mark.parametrize("of", ["stored", "shown"])
@pytest.mark.parametrize("orientation", QUARTERS)
def test_the_size_beside_the_boxes_tells_of_which_pixels_they_are(
    orientation: int, of: str, kind: str, tmp_path: Path
) -> None:
    file = photograph(tmp_path / "images" / "a.png", orientation)
    shown = read_file(file, 1, 2)
    edges, size = ((4, 8, 10, 16), STORED) if of == "stored" else (seen_box(shown), shown.shape)
    boxes = (
        voc(tmp_path / "boxes", "a", edges, size)
        if kind == "voc"
        else coco(tmp_path / "boxes.json", {"a.png": edges}, {"a.png": size})
    )
    usual: dict[str, Any] = {"out": tmp_path / "out"}
    result = evaluated(file.parent, boxes, **usual)
    assert (pointing(result), told(result), result.problems) == (1.0, [], ())
    again = evaluated(file.parent, boxes, **usual)
    assert any("1 of 1 image" in note for note in again.notes)
    assert (pointing(again), told(again)) == (1.0, [])


def test_a_size_that_is_neither_is_left_out(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        photograph(tmp_path / "images" / name, 6)
    edges, sizes = dict.fromkeys(("a.png", "b.png"), (4, 8, 10, 16)), {"a.png": (24, 33), "b.png": STORED}
    result = evaluated(tmp_path / "images", coco(tmp_path / "boxes.json", edges, sizes))
    assert [problem.why for problem in result.problems] == [
        "its boxes are for 24×33 pixels and it has 32×24: they are left out"
    ]
    assert told(result) == []


def test_where_it_cannot_be_told_boxes_are_taken_as_shown_and_counted(tmp_path: Path) -> None:
    """A square, a half turn, and no size at all; an upright image and one without boxes are not among them."""
    home, square = tmp_path / "images", (32, 32)
    photograph(home / "square.png", 6, square)
    photograph(home / "half.png", 3)
    photograph(home / "silent.png", 8)
    photograph(home / "upright.png", 1)
    photograph(home / "empty.png", 6)
    edges = {f"{name}.png": seen_box(read_file(home / f"{name}.png", 1, 2)) for name in ("square", "half", "silent")}
    edges["upright.png"] = (4, 8, 10, 16)
    sizes = {"square.png": square, "half.png": STORED, "silent.png": None, "upright.png": STORED, "empty.png": None}
    file = coco(tmp_path / "boxes.json", edges, sizes)
    record = json.loads(file.read_text())
    record["images"].append({"id": 99, "file_name": "empty.png"})
    file.write_text(json.dumps(record))
    options: dict[str, Any] = {"out": tmp_path / "out"}
    for _ in range(2):  # measured, and as it was measured before
        result = evaluated(home, file, **options)
        (note,) = told(result)
        assert note.startswith("3 images: it is turned by its EXIF orientation")
        assert pointing(result) == 1.0
        assert note in str(result)


def test_results_measured_with_boxes_that_were_not_turned_are_not_taken_up(tmp_path: Path) -> None:
    """What an image's results are kept under has the boxes as they are used."""
    home = tmp_path / "images"
    photograph(home / "a.png", 6)
    file = coco(tmp_path / "boxes.json", {"a.png": (4, 8, 10, 16)}, {"a.png": None})
    out = tmp_path / "out"
    before = evaluated(home, file, out=out)
    coco(file, {"a.png": (4, 8, 10, 16)}, {"a.png": STORED})
    after = evaluated(home, file, out=out)
    assert not any("as an earlier run" in note for note in after.notes)
    assert (pointing(before), pointing(after)) == (0.0, 1.0)
