"""``everywindow probe``: tables, files, JSON, and one line for every error."""

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
from everywindow.cli import main


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(256, 3))
    path = tmp_path_factory.mktemp("models") / "padded"
    ew.Classifier(net, window=16, mean=0, std=1, classes=["ground", "cell", "edge"]).save(path)
    return str(path)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 255, (40, 44, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.fixture
def probe(capsys: pytest.CaptureFixture[str], bundle: str) -> Any:
    def run(*args: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["probe", *map(str, args), "--model", bundle])
        return (code, *capsys.readouterr())

    return run


def test_tables_and_a_page(probe: Any, photo: Path, tmp_path: Path) -> None:
    code, out, err = probe(photo, "--shifts", "1,2", "--out", tmp_path / "report.html")
    assert (code, err) == (0, "")
    assert "measured on 1 image" in out
    assert out.endswith(f"written: {tmp_path / 'report.html'}\n")
    assert "padded probed" in (tmp_path / "report.html").read_text()


def test_json_of_a_folder(probe: Any, photo: Path) -> None:
    code, out, err = probe(photo.parent, "--json", "--shifts", "1", "--angles", "90", "--zooms", "0.8,1.2")
    found = json.loads(out)
    assert code == 0
    assert "Layers under shifts" in err
    assert [(row["kind"], row["amount"]) for row in found["answers"]] == [
        ("shift", 0.0),
        ("shift", 1.0),
        ("rotation", 0.0),
        ("rotation", 90.0),
        ("scale", 1.0),
        ("scale", 0.8),
        ("scale", 1.2),
    ]
    assert found["paths"] == [str(photo)]
    assert found["files"] == []


def test_noise_without_images(probe: Any, tmp_path: Path) -> None:
    code, out, err = probe("--out", tmp_path / "figure.png")
    assert (code, err) == (0, "")
    assert "measured on noise" in out
    assert "no images were given" in out
    assert (tmp_path / "figure.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (["absent.png"], "absent.png: "),
        (["--shifts", "0"], "--shifts: "),
        (["--shifts", "x"], "'x' is not a number, or several such as 1,2,4"),
        (["--angles", "270"], "--angles: "),
        (["--zooms", "99"], "--zooms: "),
        (["--out", "report.txt"], "report.txt: .txt is not a kind of report"),
        (["--out", "report"], "report: a name without an ending"),
        (["--device", "toaster"], "--device: "),
        (["--output", "7"], "--output: "),
    ],
)
def test_errors_are_one_line(probe: Any, args: list[str], why: str) -> None:
    code, out, err = probe(*args)
    assert code in (1, 2)
    assert out == ""
    (line,) = err.splitlines()
    assert why in line


def test_an_image_is_not_overwritten(probe: Any, photo: Path) -> None:
    before = photo.read_bytes()
    code, _, err = probe(photo, "--out", photo)
    assert code == 1
    assert "is the image or the weights to be read" in err
    assert photo.read_bytes() == before
