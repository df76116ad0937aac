"""Where maps point: against boxes whose figures were worked out by hand."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import everywindow as ew
from everywindow.evaluation import needed
from everywindow.evaluation.boxes import Box, read_boxes
from everywindow.evaluation.labels import Item
from everywindow.evaluation.localise import located
from everywindow.evaluation.precision import average_precision
from everywindow.geometry import Verdict
from everywindow.report import ScoreMap

WINDOW = 4


def box(top: float, left: float, side: float = 10, crowd: bool = False) -> Box:
    return Box("spot", (top, left), (top + side, left + side), crowd)


def found(top: float, left: float, value: float, side: float = 10) -> tuple[float, ...]:
    return (top, left, top + side, left + side, value)


def test_average_precision_by_hand() -> None:
    """Right, wrong, right, and one never found: precision 1 up to recall 1/3, then 2/3 up to recall 2/3."""
    truth = [[box(0, 0), box(0, 50)], [box(30, 30)]]
    seen = [[found(0, 0, 0.9), found(50, 50, 0.8)], [found(30, 31, 0.7)]]
    (precision,) = average_precision(truth, seen, [0.5])
    assert precision == pytest.approx((34 + 33 * 2 / 3) / 101)


def test_average_precision_at_several_overlaps() -> None:
    truth = [[box(0, 0)]]
    seen = [[found(0, 5, 0.9)]]  # they share 50 of 150
    assert average_precision(truth, seen, [0.3, 0.34, 0.5]) == pytest.approx((1, 0, 0))


def test_average_precision_of_nothing() -> None:
    assert average_precision([[box(0, 0)]], [[]], [0.5]) == (0.0,)
    assert average_precision([[]], [[found(0, 0, 0.9)]], [0.5]) == (None,)
    assert average_precision([[box(0, 0, crowd=True)]], [[]], [0.5]) == (None,)


def test_a_second_box_on_the_same_thing_is_wrong_and_a_crowd_does_not_count() -> None:
    twice = [[found(0, 0, 0.9), found(0, 1, 0.8), found(40, 40, 0.7)]]
    both = [[box(0, 0), box(40, 40)]]
    assert average_precision(both, twice, [0.5])[0] == pytest.approx((51 + 50 * 2 / 3) / 101)
    assert average_precision([[*both[0], box(0, 1, crowd=True)]], twice, [0.5]) == pytest.approx((1,))


def spots(*scores: list[float]) -> ScoreMap:
    """Two classes; windows of 4 pixels at stride 2, on an image that was made half as large."""
    plane = torch.tensor(scores)
    offsets = tuple(tuple(2 * i for i in range(n)) for n in plane.shape)
    return ScoreMap(
        torch.stack([torch.zeros_like(plane), plane]), offsets, (4, 4), (2, 2), "exact", Verdict(exact=True), scale=0.5
    )


def test_the_peak_is_the_strongest_windows_centre_in_pixels_of_the_given_image() -> None:
    m = spots([0.0, 5.0, 0.0], [0.0, 0.0, 1.0])  # the centre of the strongest is at (2, 4) of the small, (4, 8) of all
    assert located([m], 1, [Box("spot", (4, 8), (5, 9))]).hit is True
    assert located([m], 1, [Box("spot", (2, 2), (4.5, 8))]).hit is False  # the stop is exclusive
    assert located([m], 1, [Box("spot", (0, 0), (2, 2)), Box("spot", (3, 7), (9, 9))]).hit is True
    assert located([m], 1, [Box("spot", (0, 0), (9, 9), crowd=True)]).hit is None
    assert located([m], 1, []).hit is None


def test_the_roc_area_is_the_share_of_pairs_in_order() -> None:
    m = spots([3.0, 5.0, 1.0], [2.0, 4.0, 0.0])
    one = located([m], 1, [Box("spot", (3, 3), (5, 5)), Box("spot", (3, 7), (5, 9))])  # the windows of 3 and 5
    wrong = 1  # of the pairs (3, 5) with (1, 2, 4, 0): 3 is below 4
    assert one.roc == pytest.approx(1 - wrong / 8)
    crowd = Box("spot", (7, 7), (9, 9), crowd=True)  # takes the 4 away
    assert located([m], 1, [Box("spot", (3, 3), (5, 5)), Box("spot", (3, 7), (5, 9)), crowd]).roc == 1.0
    assert located([m], 1, [Box("spot", (0, 0), (99, 99))]).roc is None


def test_boxes_are_those_of_the_map() -> None:
    m = spots([0.0, 5.0, 0.0], [0.0, 0.0, 1.0])
    wanted = m.boxes(1, threshold=0.05)
    got = located([m], 1, []).boxes
    assert [each[:4] for each in got] == [(*b.start, *b.stop) for b in wanted]
    assert [each[4] for each in got] == pytest.approx([b.probability for b in wanted])


def voc(folder: Path, name: str, *boxes: tuple[Any, ...], size: tuple[int, int] = (24, 32), more: str = "") -> None:
    """Each of ``boxes``: class, xmin, ymin, xmax, ymax, as VOC counts."""
    things = "".join(
        f"<object><name>{klass}</name>{more}<bndbox><xmin>{x}</xmin><ymin>{y}</ymin><xmax>{xx}</xmax><ymax>{yy}</ymax>"
        "</bndbox></object>"
        for klass, x, y, xx, yy in boxes
    )
    folder.mkdir(exist_ok=True)
    shape = f"<size><width>{size[1]}</width><height>{size[0]}</height></size>"
    (folder / f"{name}.xml").write_text(f"<annotation>{shape}{things}</annotation>")


def spot_classifier() -> ew.Classifier:
    """Says spot where a window is light."""
    net = nn.Sequential(nn.Conv2d(1, 2, WINDOW), nn.Flatten())
    weight = torch.tensor([-1.0, 1.0]).reshape(2, 1, 1, 1).expand(2, 1, WINDOW, WINDOW) / 4
    net[0].weight.data.copy_(weight)
    nn.init.zeros_(net[0].bias)
    return ew.Classifier(net, WINDOW, mean=[0.5], std=[0.5], classes=["dark", "spot"])


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two pictures of 24×32 with a light square of 4 pixels each, and one without."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, place in (("a", (4, 8)), ("b", (12, 20)), ("c", None)):
        pixels = np.zeros((24, 32), np.uint8)
        if place is not None:
            pixels[place[0] : place[0] + 4, place[1] : place[1] + 4] = 255
        np.save(folder / f"{name}.npy", pixels)
    return folder


def right_boxes(folder: Path) -> Path:
    voc(folder, "a", ("spot", 9, 5, 12, 8))
    voc(folder, "b", ("spot", 21, 13, 24, 16))
    voc(folder, "c")
    return folder


def test_a_map_that_is_right_has_all_figures_right(pictures: Path, tmp_path: Path) -> None:
    boxes = right_boxes(tmp_path / "boxes")
    result = ew.evaluate(spot_classifier(), pictures, ["exact"], stride=1, boxes=boxes, overlaps=(0.5, 0.9))
    (each,) = result.localisation
    assert (each.name, each.klass, each.images) == ("exact", "spot", 2)
    assert each.pointing is not None
    assert each.pointing.value == 1
    assert each.precision == pytest.approx({0.5: 1, 0.9: 1})
    assert each.roc == pytest.approx(1, abs=0.02)
    assert result.rows[0].top1 is None
    assert "peak in its box" in str(result)
    assert len(result.images) == 3


def test_boxes_in_the_wrong_place_are_missed(pictures: Path, tmp_path: Path) -> None:
    boxes = right_boxes(tmp_path / "boxes")
    voc(boxes, "b", ("spot", 1, 1, 4, 4))
    (each,) = ew.evaluate(spot_classifier(), pictures, ["exact"], stride=1, boxes=boxes).localisation
    assert each.pointing is not None
    assert each.pointing.value == 0.5
    assert each.precision[0.5] < 0.6
    assert each.roc < 0.8


def test_coco_says_the_same_as_voc_and_resuming_too(pictures: Path, tmp_path: Path) -> None:
    record = {
        "images": [{"id": i, "file_name": f"{n}.npy", "height": 24, "width": 32} for i, n in enumerate("abc")],
        "categories": [{"id": 7, "name": "spot"}, {"id": 8, "name": "cow"}],
        "annotations": [
            {"id": 1, "image_id": 0, "category_id": 7, "bbox": [8, 4, 4, 4]},
            {"id": 2, "image_id": 1, "category_id": 7, "bbox": [20, 12, 4, 4]},
            {"id": 3, "image_id": 2, "category_id": 8, "bbox": [0, 0, 4, 4]},
        ],
    }
    file = tmp_path / "coco.json"
    file.write_text(json.dumps(record))
    options: dict[str, Any] = {"stride": 1, "scales": (1, 0.5), "small": "pad"}
    of_voc = ew.evaluate(spot_classifier(), pictures, ["exact"], boxes=right_boxes(tmp_path / "boxes"), **options)
    for _ in range(2):
        of_coco = ew.evaluate(spot_classifier(), pictures, ["exact"], boxes=file, out=tmp_path / "out", **options)
        assert of_coco.localisation == of_voc.localisation
        assert [each.name for each in of_coco.localisation] == ["exact", "exact, 2 scales"]
        assert "boxes of cow are not looked for: no classes of the classifier" in of_coco.notes
    assert "Where the maps point" in (tmp_path / "out" / "report.html").read_text()
    with (tmp_path / "out" / "boxes.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["image"], row["map"], row["peak_in_box"]) for row in rows][::2] == [
        ("a.npy", "exact", "1"),
        ("b.npy", "exact", "1"),
        ("c.npy", "exact", ""),
    ]


def test_what_is_wrong_with_boxes_is_told(pictures: Path, tmp_path: Path) -> None:
    boxes = tmp_path / "boxes"
    right_boxes(boxes)
    voc(boxes, "a", ("spot", 9, 5, 12, 8), ("spot", 40, 5, 44, 8), ("spot", 5, 5, 5, 2), ("spot", 25, 20, 36, 30))
    voc(boxes, "b", ("spot", 21, 13, 24, 16), size=(32, 24))
    (boxes / "c.xml").write_text("<annotation><object>")
    result = ew.evaluate(spot_classifier(), pictures, ["exact"], stride=1, boxes=boxes)
    assert [problem.what for problem in result.problems] == ["c.npy", "a.npy", "a.npy", "a.npy", "b.npy"]
    told = [problem.why for problem in result.problems]
    assert told[0].startswith("c.xml cannot be read")
    assert told[1] == "a box of spot is empty or outside the image: x 39 to 44, y 4 to 8"
    assert "x 4 to 5, y 4 to 2" in told[2]
    assert told[3] == "a box of spot reaches out of the image and is cut: x 24 to 36, y 19 to 30"
    assert told[4] == "its boxes are for 32×24 pixels and it has 24×32: they are left out"
    assert result.localisation[0].images == 1
    with pytest.raises(ew.InputError, match=r"c\.npy: c\.xml cannot be read"):
        ew.evaluate(spot_classifier(), pictures, ["exact"], boxes=boxes, strict=True)


def test_difficult_things_and_counting_from_one(pictures: Path, tmp_path: Path) -> None:
    boxes = right_boxes(tmp_path / "boxes")
    voc(boxes, "b", ("spot", 21, 13, 24, 16), more="<difficult>1</difficult>")
    voc(boxes, "c", ("spot", 0, 0, 3, 3))  # from 0: one pixel beyond, and cut without a word
    found_boxes = read_boxes(boxes, [Item(pictures / f"{name}.npy", name) for name in "abc"])
    assert found_boxes.images["a"].boxes == (Box("spot", (4, 8), (8, 12)),)
    assert found_boxes.images["b"].boxes[0].crowd
    result = ew.evaluate(spot_classifier(), pictures, ["exact"], stride=1, boxes=boxes)
    assert result.problems == ()
    assert result.localisation[0].images == 2


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("[1, 2]", "is not COCO JSON"),
        ("{", "is not COCO JSON"),
        ('{"images": [], "categories": [], "annotations": []}', "there are boxes for none of the images"),
    ],
)
def test_what_is_no_coco(pictures: Path, tmp_path: Path, content: str, told: str) -> None:
    file = tmp_path / "coco.json"
    file.write_text(content)
    with pytest.raises(ew.InputError, match=told):
        ew.evaluate(spot_classifier(), pictures, ["exact"], boxes=file)


def test_boxes_of_other_classes(pictures: Path, tmp_path: Path) -> None:
    voc(tmp_path / "boxes", "a", ("cow", 9, 5, 12, 8))
    with pytest.raises(ew.InputError, match=r"the boxes are of cow, none of the classifier's classes \(dark, spot\)"):
        ew.evaluate(spot_classifier(), pictures, ["exact"], boxes=tmp_path / "boxes")
    (tmp_path / "none").mkdir()
    with pytest.raises(ew.InputError, match="no XML file in it"):
        ew.evaluate(spot_classifier(), pictures, ["exact"], boxes=tmp_path / "none")


def test_images_whose_boxes_cannot_be_told_apart(pictures: Path, tmp_path: Path) -> None:
    items = [Item(pictures / "a.npy", "one/a.npy"), Item(tmp_path / "a.png", "two/a.png"), Item(tmp_path / "b", "b")]
    told = read_boxes(right_boxes(tmp_path / "boxes"), items)
    assert [problem.what for problem in told.problems] == ["one/a.npy", "two/a.png"]
    assert set(told.images) == {"b"}


def test_an_absent_library_is_named(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(needed.PACKAGES, "scikit-learn", "sklearn_absent.metrics")
    with pytest.raises(ew.DependencyError, match=r"scikit-learn: .*everywindow\[evaluate\]"):
        ew.evaluate(spot_classifier(), pictures, ["exact"], boxes=right_boxes(tmp_path / "boxes"))


def test_boxes_are_of_pictures(tmp_path: Path) -> None:
    clf = ew.Classifier(nn.Sequential(nn.Conv1d(1, 2, 4), nn.Flatten()), 4)
    with pytest.raises(ew.InputError, match="1 spatial axes"):
        ew.evaluate(clf, tmp_path, boxes=tmp_path)


def test_boxes_of_which_none_can_be_used(pictures: Path, tmp_path: Path) -> None:
    boxes = tmp_path / "boxes"
    for name in "abc":
        voc(boxes, name, ("spot", 21, 13, 24, 16), size=(320, 240))
    with pytest.raises(ew.InputError, match=r"boxes: none of the boxes can be used, the first because: a\.npy: its"):
        ew.evaluate(spot_classifier(), pictures, ["exact"], stride=1, boxes=boxes)


def test_boxes_without_a_map_are_noted(pictures: Path, tmp_path: Path) -> None:
    result = ew.evaluate(spot_classifier(), pictures, ["centre"], boxes=right_boxes(tmp_path / "boxes"))
    assert result.localisation == ()
    assert "boxes are not looked at: no protocol makes a map; add exact, fcn or crops to protocols=" in result.notes


def test_what_is_left_out_is_counted_by_kind_and_reason(pictures: Path, tmp_path: Path) -> None:
    boxes = right_boxes(tmp_path / "boxes")
    voc(boxes, "a", ("spot", 9, 5, 12, 8), *[("spot", 40, 5, 44, 8)] * 4, ("spot", 25, 20, 36, 30))
    (pictures / "d.npy").write_bytes(b"no array")
    told = str(ew.evaluate(spot_classifier(), pictures, ["exact"], stride=1, boxes=boxes)).splitlines()
    assert "3 images, 0 with a label" in told
    at = told.index("4 boxes: left out, empty or outside the image")
    assert told[at + 1].startswith("  a.npy: a box of spot is empty")
    assert told[at + 4] == "  and 1 more"
    assert told[at + 5] == "1 box: cut, for it reaches out of the image"
    assert any(line.startswith("1 image left out: ") for line in told)


def test_coco_says_what_it_lacks(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text('{"annotations": []}')
    with pytest.raises(ew.InputError, match=r"is not COCO JSON \(there is no 'images' in it, or where it belongs\)"):
        ew.evaluate(spot_classifier(), pictures, ["exact"], boxes=tmp_path / "bad.json")
