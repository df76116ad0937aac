"""``everywindow compare``: images and folders, samples, figures, JSON, and one line for every error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import everywindow as ew
from everywindow import api
from everywindow.cli import main


class Ran:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)

    @property
    def complaint(self) -> str:
        (line,) = self.err.splitlines()
        # 2 where the value of an option is at fault, whose name then stands first.
        assert (self.code, self.out) == (2 if line.startswith("everywindow: --") else 1, "")
        return line.removeprefix("everywindow: ")


@pytest.fixture
def compare(capsys: pytest.CaptureFixture[str], bundle: str) -> Any:
    def run(*args: object) -> Ran:
        capsys.readouterr()
        code = main(["compare", *map(str, args), "--model", bundle])
        return Ran(code, *capsys.readouterr())

    return run


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 64, 3))
    path = tmp_path_factory.mktemp("models") / "padded"
    ew.Classifier(net, window=8, channels=1, mean=0, std=1, classes=["ground", "cell", "edge"]).save(path)
    return str(path)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two images and a damaged one."""
    folder = tmp_path / "photos"
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (40, 50), np.uint8)
    Image.fromarray(noise).save(folder / "one.png")
    Image.fromarray(noise[:20, :30]).save(folder / "two.png")
    (folder / "bad.png").write_bytes(b"no image")
    return folder


def test_one_image_and_its_figure(compare: Any, photos: Path, tmp_path: Path) -> None:
    ran = compare(photos / "one.png", "--stride", 4, "--out", tmp_path / "modes.png", "--class", "cell", "--json")
    record = ran.json
    assert [run["mode"] for run in record["runs"]] == ["crops", "fcn", "exact"]
    assert record["windows"] == record["compared"] == 9 * 11
    assert record["files"] == [str(tmp_path / "modes.png")]
    assert record["runs"][1]["farthest"]["name"] in ("ground", "cell", "edge")
    with Image.open(tmp_path / "modes.png") as figure:
        assert figure.format == "PNG"
        assert figure.width > figure.height
    for words in ("rank correlation", "predicted", "farthest off in the window", "written: "):
        assert words in ran.err
    folder = compare(photos / "one.png", "--stride", 4, "--out", tmp_path / "figures", "--json").json["files"]
    assert folder == [str(tmp_path / "figures" / "comparison.png")]
    assert Path(folder[0]).exists()


def test_a_folder_and_a_figure_of_each(compare: Any, photos: Path, tmp_path: Path) -> None:
    ran = compare(photos, "--stride", 4, "--out", tmp_path / "figures", "--json")
    record = ran.json
    assert [image["image"] for image in record["images"]] == [str(photos / name) for name in ("one.png", "two.png")]
    assert [skip["image"] for skip in record["skipped"]] == [str(photos / "bad.png")]
    assert record["windows"] == 9 * 11 + 4 * 6
    assert sorted(file.name for file in (tmp_path / "figures").iterdir()) == ["one.png", "two.png"]
    assert "1 of 3 images left out:" in ran.err
    one = compare(photos, "--stride", 4, "--out", tmp_path / "worst.png", "--json").json
    assert one["files"] == [str(tmp_path / "worst.png")]


def test_several_files_of_one_name_have_figures_of_their_own(compare: Any, photos: Path, tmp_path: Path) -> None:
    image = photos / "one.png"
    files = compare(image, image, image, "--out", f"{tmp_path}/f.d/", "--stride", 8, "--json").json["files"]
    assert [Path(file).name for file in files] == ["one.png", "one-2.png", "one-3.png"]


def test_a_sample(compare: Any, photos: Path) -> None:
    args = (photos / "one.png", "--stride", 1, "--samples", 5, "--modes", "exact", "--json")
    one, two, other = (compare(*args, "--seed", seed).json for seed in (1, 1, 2))
    assert one["compared"] == one["sample"]["windows"] == 5
    assert one["sample"] == two["sample"] != other["sample"]
    assert one["runs"][0]["extrapolated"]
    assert "compared at 5 random windows of 1,419" in compare(*args).err


def test_bad_input_is_one_line(compare: Any, photos: Path, bundle: str, tmp_path: Path) -> None:
    image = photos / "one.png"
    (tmp_path / "empty").mkdir()
    cases: dict[str, tuple[object, ...]] = {
        "--samples: 0 is not a number of windows": (image, "--samples", 0),
        "--stride: 64×64 pixels are more than the image of 40×50 has": (image, "--stride", 64),
        "absent.png: no such file": ("absent.png",),
        "empty: a folder without images": (tmp_path / "empty",),
        "bad.png: not an image that can be read": (photos, "--strict"),
        "image: none of 2 can be used, the first because: a.png: no such file": ("a.png", "b.png"),
    }
    for words, args in cases.items():
        assert words in compare(*args).complaint


def test_what_cannot_be_written_or_drawn_is_seen_before_any_work(
    compare: Any, photos: Path, bundle: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "compare", lambda *args, **options: pytest.fail("compared"))
    image = photos / "one.png"
    cases: dict[str, tuple[object, ...]] = {
        "class 'zebra': it is none of ground, cell, edge": (image, "--class", "zebra"),
        "class '3': there are 3 classes": (image, "--class", 3),
        ".tif is not a kind of figure": (image, "--out", "figure.tif"),
        "is the image or the weights to be read": (image, "--out", image),
        "the folder of images": (photos, "--out", photos / "figures"),
        "lies in the bundle": (image, "--out", f"{bundle}/figure.png"),
        "there is nothing to draw beside the crops": (image, "--modes", "crops", "--out", "figure.png"),
    }
    for words, args in cases.items():
        assert words in compare(*args).complaint
