"""Every ``sh`` example of the pages for slides, satellite scenes, signals and volumes runs as it stands there."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import everywindow as ew
from example_modules import FOLDER

DOCS = FOLDER.parent / "docs"
EXAMPLE = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def follow(page: str, data: Path, needs: tuple[str, ...], home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run what a page says in a folder where its files and examples lie."""
    for package in needs:
        pytest.importorskip(package)
    if not data.is_dir():
        pytest.skip(f"no data at {data}")
    for file in data.iterdir():
        (home / file.name).symlink_to(file)
    (home / "examples").symlink_to(FOLDER)
    monkeypatch.chdir(home)
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    blocks = EXAMPLE.findall((DOCS / page).read_text(encoding="utf-8"))
    assert len(blocks) >= 2
    for block in blocks:
        run = subprocess.run(["bash", "-euo", "pipefail", "-c", block], capture_output=True, text=True)
        assert run.returncode == 0, f"{block}\n{run.stdout}\n{run.stderr}"


def rows(file: str) -> list[dict[str, str]]:
    with open(file, newline="", encoding="utf-8") as text:
        return list(csv.DictReader(text))


def test_slides(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    follow("slides.md", shared_data / "slide", ("openslide", "skimage", "rasterio"), tmp_path, monkeypatch)
    outlines = json.loads(Path("nuclei.geojson").read_text(encoding="utf-8"))["features"]
    m = ew.ScoreMap.load("tissue.zarr")
    assert 10 < len(outlines) < 200
    assert m.mode == "exact"
    assert 0.2 < float(m.scored().float().mean()) < 0.8  # the mask leaves out glass
    half = ew.ScoreMap.load("half.zarr")
    (top, bottom), (left, right) = half.where.box((0, 0))
    assert (top, left) == pytest.approx((1000, 900), abs=1.5)
    assert bottom - top == pytest.approx(64 / 0.499, rel=0.01)
    assert right - left == pytest.approx(64 / 0.499, rel=0.01)


def test_satellite(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    follow("satellite.md", shared_data / "geotiff", ("rasterio", "skimage"), tmp_path, monkeypatch)
    import rasterio

    with rasterio.open("RGB.byte.tif") as scene, rasterio.open("water.tif") as water:
        assert water.crs == scene.crs
        assert water.descriptions == ("water", "land", "cloud")
        assert water.res == pytest.approx([4 * step for step in scene.res])
        values = water.read()
        assert np.isnan(values[:, 0, 0]).all()  # wholly in the border
        assert np.nanmax(values) <= 1
        for row in rows("land.csv")[:20]:
            x, y = float(row["centre_world_x"]), float(row["centre_world_y"])
            assert (~scene.transform) @ (x, y) == pytest.approx((float(row["centre_x"]), float(row["centre_y"])))
            assert next(water.sample([(x, y)]))[1] == pytest.approx(float(row["probability"]), abs=1e-5)
    assert Path("island.tif").exists()


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # wfdb's own use of pandas
def test_signals(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    follow("signals.md", shared_data / "ecg", ("wfdb", "skimage"), tmp_path, monkeypatch)
    import wfdb

    assert wfdb.rdheader("day").sig_len == 24 * 3600 * 360
    for row in rows("premature.csv"):
        assert float(row["centre_x"]) / 360 == pytest.approx(float(row["centre_x_second"]))
    notes = wfdb.rdann("100", "atr")
    beats = [at for at, symbol in zip(notes.sample, notes.symbol, strict=True) if symbol == "A"]
    there = [at + 20_000_000 - 500_000 for at in beats if 500_400 <= at < 607_600]
    m = ew.ScoreMap.load("minutes.zarr")
    found = [peak.centre[0] for peak in m.peaks("premature", 0.9, min_distance=100)]
    assert len(there) == 7
    assert 7 <= len(found) < 60  # many are false alarms, as the page says
    for at in there:
        assert min(abs(at - one) for one in found) <= 60


def test_volumes(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    follow("volumes.md", shared_data / "mri", ("nibabel", "skimage"), tmp_path, monkeypatch)
    import tifffile

    m = ew.ScoreMap.load("head.zarr")
    with tifffile.TiffFile("head.ome.tif") as file:
        assert 'PhysicalSizeX="5.5"' in (file.ome_metadata or "")
        np.testing.assert_allclose(file.series[0].asarray(), m.probabilities().numpy(), atol=1e-6)
    for row in rows("bright.csv")[:20]:
        assert float(row["centre_z_millimeter"]) == pytest.approx(2.75 * float(row["centre_z"]))
    assert ew.ScoreMap.load("part.zarr").where.origin == (10, 10, 8)
