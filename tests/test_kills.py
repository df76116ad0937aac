"""Streamed scans that are killed, told to stop, or short of memory: in processes of their own."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import tifffile

import everywindow as ew
from benchmarks import kills
from everywindow.cli.entry import main
from everywindow.run import read_states
from streams import bytes_of, classifier, noise, saved

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked, and asked for their memory")

HELD = (
    "import sys, time\n"
    "from everywindow.io import Region\n"
    "from everywindow.cli.entry import main\n"
    "read = Region.read\n"
    "def slowly(self, box):\n"
    "    time.sleep(0.1)\n"
    "    return read(self, box)\n"
    "Region.read = slowly\n"
    "sys.exit(main())\n"
)
"""The command, a little slower for each tile, so that it is met at its work."""


def test_runs_that_are_killed_and_resumed_come_to_the_same_bytes(tmp_path: Path) -> None:
    tally = kills.trials(kills.Driver(tmp_path), 10, seed=7)
    assert tally.total == 10
    assert not tally.different
    assert len(tally.kills) >= 3


def test_what_is_compared_are_all_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "map.zarr" / "0").mkdir(parents=True)
    (tmp_path / "map.zarr" / "run.json").write_text("{}")
    assert kills.content(tmp_path) == {"map.zarr": None, "map.zarr/0": None, "map.zarr/run.json": b"{}"}
    assert kills.difference({"a": b"1", "b": None}, {"a": b"2", "b": None, "c": None}) == "a, c"


def test_what_is_replaced_survives_each_kill_until_the_new_one_is_begun(tmp_path: Path) -> None:
    driver, out = kills.Driver(tmp_path), tmp_path / "there" / "map.zarr"
    out.parent.mkdir()
    driver.run(out, "exact", stride=8)
    old = bytes_of(out)
    driver.run(out, "exact", resume=False, overwrite=True, aim=kills.Aim("tiles", 1))
    begun = driver.operations("beginning")
    new = (out / "run.json").read_bytes()
    assert begun > 10
    chance = random.Random(0)
    # Around its end, where the old one is put aside, each operation; of the others some.
    for operation in sorted({*chance.sample(range(1, begun - 7), 3), *range(begun - 7, begun + 1)}):
        shutil.rmtree(out.parent)
        _put(old, out)
        assert not driver.run(out, "exact", resume=False, overwrite=True, aim=kills.Aim("beginning", operation))
        # The next run, whatever it is, tidies up.
        with pytest.raises(RuntimeError, match="is of another run"):
            driver.run(out, "exact", stride=16)
        assert os.listdir(out.parent) == ["map.zarr"]
        if bytes_of(out) != old:
            assert json.loads((out / "run.json").read_bytes())["stride"] == json.loads(new)["stride"]
            assert not read_states(out)[0]


def _put(files: dict[str, bytes], out: Path) -> None:
    for name, content in files.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(content)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model and an image."""
    folder = tmp_path_factory.mktemp("scene")
    classifier().save(folder / "model")
    saved(folder, (90, 80))
    return folder


def command(scene: Path, *images: Path, out: Path, more: Sequence[str] = ()) -> list[str]:
    shown = [] if "--progress" in more else ["--progress", "none"]
    given = ["scan", *map(str, images), "--model", str(scene / "model"), "--out", str(out), "--stride", "2"]
    return [*given, "--tile", "6", *shown, *more]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_cleanly(number: signal.Signals, scene: Path, tmp_path: Path) -> None:
    out = tmp_path / "map.zarr"
    asked = command(scene, scene / "image.npy", out=out)
    child = subprocess.Popen([sys.executable, "-c", HELD, *asked], stderr=subprocess.PIPE, text=True)
    lines = out / "tiles.jsonl"
    until = time.monotonic() + 60
    while time.monotonic() < until and not (lines.exists() and lines.read_bytes().count(b"\n") > 2):
        time.sleep(0.02)
    child.send_signal(number)
    _, errors = child.communicate(timeout=30)
    assert child.returncode == 128 + number
    done, finished = read_states(out)
    assert 2 < len(done) < 49
    assert not finished
    assert (
        errors == f"everywindow: {out}: stopped on request with {len(done)} of 49 tiles done; give --resume to go on\n"
    )
    assert os.listdir(tmp_path) == ["map.zarr"]
    again = ew.stream(
        ew.load(scene / "model"),
        scene / "image.npy",
        out,
        stride=2,
        tile=6,
        progress=False,
        resume=True,
        reopen={"spec": str(scene / "model"), "weights": None, "window": None, "trust": False},
    )
    assert again.resumed == len(done)
    whole = tmp_path / "whole.zarr"
    assert main(command(scene, scene / "image.npy", out=whole)) == 0
    expected, found = ew.ScoreMap.load(whole).scores, ew.ScoreMap.load(out).scores
    assert (expected - found).abs().max() < 1e-10


def test_a_picture_that_is_not_written_is_not_said_to_be(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("everywindow.cli.streaming.LOOKED_AT", 0)
    out, picture = tmp_path / "map.zarr", tmp_path / "map.npz"
    more = ["--out", str(picture), "--json"]
    assert main(command(scene, scene / "image.npy", out=out, more=more)) == 3
    told, said = capsys.readouterr()
    assert json.loads(told)["files"] == [str(out)]
    assert f"left out:   {picture}: the map is too large" in said
    assert not picture.exists()


def test_progress_as_json_and_exit_codes(scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "map.zarr"
    assert main(command(scene, scene / "image.npy", out=out, more=["--progress", "json", "--json"])) == 0
    told, errors = capsys.readouterr()
    lines = [json.loads(line) for line in errors.splitlines() if line.startswith("{")]
    assert [line["windows"] for line in lines] == sorted({line["windows"] for line in lines})
    assert len(lines) == 49
    assert lines[-1]["windows"] == lines[-1]["of"] == 42 * 37
    assert all(set(line) == {"windows", "of", "windows_per_second", "seconds_left", "failed_tiles"} for line in lines)
    record = json.loads(told)
    assert (record["tiles"], record["scored"], record["failed"]) == (49, 42 * 37, [])
    before = bytes_of(out)
    assert main(command(scene, scene / "image.npy", out=out)) == 0
    assert "49, all done before: nothing was changed" in capsys.readouterr().out
    assert bytes_of(out) == before
    assert main(command(scene, scene / "image.npy", out=out, more=["--pad", "1"])) == 1
    assert capsys.readouterr().err.startswith(f"everywindow: {out}: is of another run (view pad: null then, 1 now)")


def test_of_a_folder_what_cannot_be_read_is_listed_and_left_out(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    pixels = noise((64, 64))
    np.save(images / "good.npy", pixels)
    (images / "broken.png").write_bytes(b"no picture")
    np.save(images / "tiny.npy", pixels[:4])
    tifffile.imwrite(images / "partly.tif", pixels, tile=(32, 32), compression="zlib")
    with tifffile.TiffFile(images / "partly.tif") as file:
        place = file.pages[0].dataoffsets[3]  # type: ignore[union-attr]
    damaged = bytearray((images / "partly.tif").read_bytes())
    damaged[place : place + 40] = bytes(40)
    (images / "partly.tif").write_bytes(damaged)
    assert main(command(scene, images, out=tmp_path / "maps", more=["--json"])) == 3
    told, errors = capsys.readouterr()
    record = json.loads(told)
    assert record["left_out"] == 2
    by_name = {Path(one["image"]).name: one for one in record["images"]}
    assert "problem" in by_name["broken.png"]
    assert "problem" in by_name["tiny.npy"]
    assert not by_name["good.npy"]["failed"]
    failed = by_name["partly.tif"]["failed"]
    assert failed
    assert all("partly.tif" in one["reason"] for one in failed)
    assert "2 of 4 images scanned, 1 partly" in errors
    assert sorted(os.listdir(tmp_path / "maps")) == ["good.zarr", "partly.zarr"]
    with pytest.warns(UserWarning, match="tiles failed; their scores are NaN"):
        scores = ew.ScoreMap.load(tmp_path / "maps" / "partly.zarr").scores
    expected = ew.scan(ew.load(scene / "model"), pixels, stride=2).scores
    right = ~scores.isnan().any(0)
    assert 0.3 < right.double().mean() < 1
    assert (scores - expected)[:, right].abs().max() < 1e-10
    (images / "partly.tif").unlink()
    tifffile.imwrite(images / "partly.tif", pixels, tile=(32, 32), compression="zlib")
    asked = command(scene, images / "partly.tif", out=tmp_path / "maps" / "partly.zarr", more=["--resume"])
    assert main(asked) == 1
    assert "is of another run" in capsys.readouterr().err  # the file's bytes are others now
