"""The example with blood cells: in a short form it runs, and its maps point at white cells."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

from example_modules import example_module


@pytest.fixture(scope="module")
def example() -> ModuleType:
    return example_module("blood_cells")


@pytest.fixture
def data(shared_data: Path) -> Path:
    if not (shared_data / "bccd_blood").is_dir():
        pytest.skip(f"no blood cells at {shared_data}")
    return shared_data / "bccd_blood"


@pytest.mark.slow
def test_maps_point_at_white_cells(example: ModuleType, data: Path, tmp_path: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        found = example.run(data, tmp_path, epochs=4, most=25, strides=(8,))
    (_, photographs), (_, single) = found
    assert len(photographs.images) == 25
    white = [each for each in photographs.localisation if each.klass == "WBC"]
    assert [each.name for each in white] == ["exact", "fcn"]
    assert all(each.pointing.value > 0.9 for each in white)
    assert single.row("exact, max").top1.value > single.row("centre").top1.value
    assert (tmp_path / "photographs-8" / "report.html").exists()
    assert photographs.problems == ()


def test_what_is_cut_out_holds_the_middle_of_its_cell(example: ModuleType) -> None:
    rng = np.random.default_rng(0)
    for top, left in ((0, 0), (200, 300), (470, 630)):
        cell = example.Cell("RBC", (top, left, top + 8, left + 8))
        for axis, extent in ((0, 480), (1, 640)):
            corner = example.corner_beside(cell, axis, extent, rng)
            assert 0 <= corner <= extent - example.REGION_PX
            assert corner <= cell.centre[axis] <= corner + example.REGION_PX


def test_crops_have_their_cell_in_the_middle(example: ModuleType, tmp_path: Path) -> None:
    for folder in ("ImageSets/Main", "Annotations", "JPEGImages"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "ImageSets" / "Main" / "train.txt").write_text("a\n")
    box = "<bndbox><xmin>280</xmin><ymin>180</ymin><xmax>320</xmax><ymax>220</ymax></bndbox>"
    (tmp_path / "Annotations" / "a.xml").write_text(f"<annotation><object><name>WBC</name>{box}</object></annotation>")
    pixels = np.full((480, 640, 3), 20, np.uint8)
    pixels[180:220, 280:320] = 250
    Image.fromarray(pixels).save(tmp_path / "JPEGImages" / "a.jpg")
    made = list(example.crops(tmp_path, np.random.default_rng(0), 9))
    (crop,) = (crop for crop, klass in made if example.CLASSES[klass] == "WBC")
    rows, columns = np.nonzero(crop[..., 0] > 130)
    assert (rows.mean(), columns.mean()) == pytest.approx(((crop.shape[0] - 1) / 2,) * 2, abs=1)
    middle = crop.shape[0] // 2
    assert all(crop[middle, middle].max() < 130 for crop, klass in made if klass == 0)
    assert len(made) > 5
