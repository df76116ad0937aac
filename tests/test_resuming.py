"""Streamed scans that were done, stopped, or partly failed: what a further run does with what is there."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import everywindow as ew
from everywindow.engines import TileEngine
from everywindow.errors import StoppedError
from everywindow.geometry import Span
from everywindow.io import Region, Store, create
from everywindow.run import read_run, read_states
from everywindow.run.manifest import Manifest
from everywindow.run.putting import making
from everywindow.run.spec import Job
from streams import bytes_of, classifier, content, network, patched, saved

SIZE, TILE, STRIDE = (50, 40), 7, 2
TOTAL = 4 * 3


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return saved(tmp_path, SIZE)


def stream(image: Path, out: Path | None = None, known: ew.Classifier | None = None, **options: Any) -> Any:
    given = {"stride": STRIDE, "tile": TILE, "progress": False, **options}
    return ew.stream(known or classifier(), image, out or image.parent / "map.zarr", **given)


@contextmanager
def failing(*tiles: int, error: Exception | None = None) -> Iterator[None]:
    """The pixels of these tiles cannot be read."""
    read = Region.read

    def reading(self: Region, box: tuple[Span, ...]) -> torch.Tensor:
        row, column = (start // (STRIDE * TILE) for start, _ in box)
        if row * 3 + column in tiles:
            raise error or ew.InputError("image", f"damaged in tile {row * 3 + column}", "mend it")
        return read(self, box)

    with patched(Region, "read", reading):
        yield


def check_like_uninterrupted(out: Path, image: Path, **options: Any) -> None:
    """What is there are the bytes of a run of the same settings that nobody stopped."""
    job = Job.of(read_run(out) or {})
    with patched(sys.modules["everywindow.run.stream"], "settled", lambda *_: job):
        whole = stream(image, image.parent / "whole.zarr", **options)
    assert bytes_of(out) == bytes_of(whole.path)


def interrupted(image: Path, done: int = 5, **options: Any) -> Path:
    """A run that ended after some tiles; its result."""
    put = Manifest.put

    def putting(self: Manifest, state: Any) -> None:
        if len(self.states) == done:
            raise StoppedError("test", "stopped", "go on", 2)
        put(self, state)

    with patched(Manifest, "put", putting), pytest.raises(StoppedError):
        stream(image, **options)
    return image.parent / "map.zarr"


def test_what_is_finished_is_left_as_it_is(image: Path) -> None:
    done = stream(image)
    before = content(done.path)
    for options in ({}, {"resume": True}, {"tile": 3}, {"memory": "1GiB"}):
        again = stream(image, **options)
        assert again.unchanged
        assert again.resumed == again.tiles == done.tiles == TOTAL
        assert again.scored == done.scored
        assert content(done.path) == before
    assert not done.unchanged
    assert sorted(os.listdir(image.parent)) == ["image.npy", "map.zarr"]


@pytest.mark.parametrize("done", [0, 1, 7, TOTAL - 1])
def test_a_run_that_was_stopped_goes_on_and_comes_to_the_same_bytes(done: int, image: Path) -> None:
    out = interrupted(image, done)
    run = (out / "run.json").read_bytes()
    with pytest.raises(ew.InputError, match=rf"{done} of {TOTAL} tiles\); give --resume"):
        stream(image)
    assert len(read_states(out)[0]) == done
    # Whatever would be settled or chosen otherwise now: what the run began with is taken.
    torch.set_num_threads(2)
    try:
        again = stream(image, tile=3, memory="900MiB", resume=True)
    finally:
        torch.set_num_threads(1)
    assert again.resumed == done
    assert (out / "run.json").read_bytes() == run
    check_like_uninterrupted(out, image)


class Twice(nn.Module):
    """Other code, the same weights."""

    def __init__(self, inner: nn.Sequential) -> None:
        super().__init__()
        for name, child in inner.named_children():
            self.add_module(name, child)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for child in self.children():
            x = child(x)
        return 2 * x


def coded(factor: float) -> ew.Classifier:
    plain = network(2, 8, 1)
    assert isinstance(plain, nn.Sequential)
    net = Twice(plain) if factor == 2 else plain
    return ew.Classifier(net, window=8, mean=[0.4], std=[0.3])


OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "weights": ({"known": classifier(seed=1)}, "identities model weights"),
    "code": ({"known": coded(2)}, "identities model graph"),
    "normalisation": ({"known": ew.Classifier(network(2, 8, 1), window=8, mean=[0.5], std=[0.3])}, "classifier mean"),
    "window": ({"known": classifier(window=9, padding=1)}, "classifier window"),
    "stride": ({"stride": 4}, "stride"),
    "mode": ({"mode": "crops"}, "mode"),
    "pad": ({"pad": 2}, "view pad"),
    "roi": ({"roi": [(0, 40), (0, 40)]}, "view roi"),
    "scale": ({"scale": 0.5}, "view scale"),
    "raw": ({"raw": True}, "view raw"),
    "mask": ({"mask": "none"}, "mask kind"),
    "dtype": ({"dtype": "float32"}, "dtype"),
    "output": ({"output": 0}, "output"),
}


@pytest.mark.parametrize(
    ("what", "finished"), [*((what, False) for what in OTHERS), ("weights", True), ("stride", True), ("dtype", True)]
)
def test_a_result_of_another_job_is_refused(what: str, finished: bool, image: Path) -> None:
    options, told = OTHERS[what]
    out = stream(image).path if finished else interrupted(image)
    before = content(out)
    with pytest.raises(ew.InputError, match=rf"is of another run \({told}.*--overwrite"):
        stream(image, resume=True, **options)
    assert content(out) == before
    if finished:
        assert stream(image, overwrite=True, **options).resumed == 0
        assert content(out) != before


def test_a_result_of_another_image_of_the_same_name_is_refused(image: Path) -> None:
    out = interrupted(image)
    pixels = np.load(image)
    pixels[-1, -1] ^= 1
    np.save(image, pixels)
    with pytest.raises(ew.InputError, match=r"is of another run \(identities image"):
        stream(image, resume=True)
    pixels[-1, -1] ^= 1
    moved = image.parent / "moved"
    moved.mkdir()
    np.save(moved / image.name, pixels)  # the same image is the same wherever it lies
    assert stream(moved / image.name, out, resume=True).resumed == 5


def test_tiles_that_fail_are_nan_and_listed_and_tried_again(image: Path) -> None:
    with failing(4, 11):
        done = stream(image)
        again = stream(image)
    assert [(one.tile, one.reason) for one in done.failed] == [
        (4, "image: damaged in tile 4"),
        (11, "image: damaged in tile 11"),
    ]
    assert again.failed == done.failed
    assert again.unchanged
    expected = ew.scan(classifier(), image, stride=STRIDE).scores
    nan = torch.zeros(expected.shape[1:], dtype=torch.bool)
    nan[7:14, 7:14] = nan[21:, 14:] = True
    with pytest.warns(UserWarning, match="2 of its 12 tiles failed; their scores are NaN"):
        scores = ew.ScoreMap.load(done.path).scores
    assert scores[:, nan].isnan().all()
    assert (scores - expected)[:, ~nan].abs().max() < 1e-10
    assert done.scored == (~nan).sum()
    with failing(11, error=OSError(errno.EIO, os.strerror(errno.EIO))):
        partly = stream(image, resume=True)
    assert [(one.tile, one.reason) for one in partly.failed] == [(11, "OSError: [Errno 5] Input/output error")]
    assert partly.resumed == TOTAL - 2
    mended = stream(image, resume=True)
    assert not mended.failed
    assert mended.resumed == TOTAL - 1
    check_like_uninterrupted(mended.path, image)
    before = content(mended.path)
    assert stream(image, resume=True).unchanged
    assert content(mended.path) == before


def test_a_run_that_mends_may_be_stopped_too(image: Path) -> None:
    with failing(2, 4, 11):
        done = stream(image)
    interrupted(image, TOTAL - 2, resume=True)
    states, finished = read_states(done.path)
    assert not finished
    assert [tile for tile, one in states.items() if one.state == "failed"] == [4, 11]
    with pytest.raises(ew.InputError, match="--resume"):
        stream(image)
    mended = stream(image, resume=True)
    check_like_uninterrupted(mended.path, image)


def test_fail_fast_ends_at_the_first_failure(image: Path) -> None:
    with failing(4), pytest.raises(ew.InputError, match="damaged in tile 4"):
        stream(image, fail_fast=True)
    with (
        failing(4, error=OSError("gone")),
        pytest.raises(ew.InputError, match="windows 7 to 13, 7 to 13: OSError: gone"),
    ):
        stream(image, fail_fast=True, resume=True)
    assert len(read_states(image.parent / "map.zarr")[0]) <= 4
    assert not stream(image, resume=True).failed


def test_an_image_of_which_nothing_can_be_read_leaves_nothing(image: Path) -> None:
    with failing(*range(TOTAL)), pytest.raises(ew.InputError, match="damaged in tile 0"):
        stream(image)
    assert os.listdir(image.parent) == ["image.npy"]


def test_of_two_runs_the_second_is_refused(image: Path) -> None:
    out = interrupted(image)
    before = content(out)
    with Manifest(out):
        for options in ({"resume": True}, {"overwrite": True}):
            with pytest.raises(ew.InputError, match="another run is working on it"):
                stream(image, **options)
    assert content(out) == before
    assert sorted(os.listdir(image.parent)) == ["image.npy", "map.zarr"]
    assert stream(image, resume=True).tiles == TOTAL


def test_of_two_runs_that_begin_the_second_is_refused(image: Path) -> None:
    out = image.parent / "map.zarr"
    with making(out), pytest.raises(ew.InputError, match="another run is working on it"):
        stream(image)
    assert os.listdir(image.parent) == ["image.npy"]
    begin = sys.modules["everywindow.run.begin"]

    def late(*arguments: Any) -> None:  # the other one is faster
        with patched(begin, "create", create):
            stream(image)
        create(*arguments)

    with patched(begin, "create", late), pytest.raises(ew.InputError, match="another run is working on it"):
        stream(image)
    settled = sys.modules["everywindow.run.stream"].settled

    def slow(*arguments: Any) -> Any:
        with patched(sys.modules["everywindow.run.stream"], "settled", settled):
            stream(image)
        return settled(*arguments)

    with (
        patched(sys.modules["everywindow.run.stream"], "settled", slow),
        pytest.raises(ew.InputError, match="another run has made it meanwhile"),
    ):
        stream(image)
    assert stream(image).unchanged
    assert sorted(os.listdir(image.parent)) == ["image.npy", "map.zarr"]


def test_what_is_there_is_kept_where_the_new_one_cannot_begin(image: Path) -> None:
    out = stream(image).path
    before = content(out)
    for options in ({"stride": 0}, {"roi": [(0, 4), (0, 4)]}, {"pad": -1}, {"mode": "none"}):
        with pytest.raises(ew.InputError):
            stream(image, overwrite=True, **options)
        assert content(out) == before
    begin = sys.modules["everywindow.run.begin"]
    for name in ("create", "write_whole", "put"):
        with patched(begin, name, full), pytest.raises(ew.InputError, match="No space left on device"):
            stream(image, overwrite=True, stride=3)
        assert content(out) == before
        assert sorted(os.listdir(image.parent)) == ["image.npy", "map.zarr"]
    rename, calls = os.rename, []

    def second(*paths: Any) -> None:  # the old one is aside, the new one cannot be put in its place
        calls.append(paths)
        if len(calls) == 2:
            full()
        rename(*paths)

    with patched(os, "rename", second), pytest.raises(ew.InputError, match="No space left on device"):
        stream(image, overwrite=True, stride=3)
    assert content(out) == before
    assert sorted(os.listdir(image.parent)) == ["image.npy", "map.zarr"]


def full(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_only_results_are_replaced(image: Path) -> None:
    others = {"folder.zarr": "notes.txt", "picture.zarr": "zarr.json"}
    for name, inside in others.items():
        folder = image.parent / name
        folder.mkdir()
        (folder / inside).write_text('{"zarr_format": 3, "node_type": "group", "attributes": {}}')
        with pytest.raises(ew.InputError, match="is there and is no result"):
            stream(image, folder, overwrite=True)
        assert os.listdir(folder) == [inside]
    saved_map = image.parent / "saved.zarr"
    ew.scan(classifier(), image, stride=STRIDE).save(saved_map)
    with pytest.raises(ew.InputError, match="not made in tiles"):
        stream(image, saved_map)
    assert stream(image, saved_map, overwrite=True).tiles == TOTAL


def _full_once(owner: Any, name: str, call: int) -> Any:
    """Of a function the call of that number fails."""
    function, calls = getattr(owner, name), []

    def counted(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == call:
            full()
        return function(*arguments, **options)

    return patched(owner, name, counted)


FULL = [
    *(("io.ngff", "_chunk_files", call) for call in (1, 3, TOTAL)),
    *(("run.manifest", "append", call) for call in (1, 3, TOTAL)),
    ("io.ngff", "_write_group", 1),
    ("io.ngff", "_write_means", 1),
    ("run.manifest", "write_whole", 1),
]


@pytest.mark.parametrize(("module", "name", "call"), FULL)
def test_a_full_disk_ends_the_run_which_can_be_resumed(module: str, name: str, call: int, image: Path) -> None:
    interrupted(image, 0)
    ngff = sys.modules["everywindow.io.ngff"]
    with patched(ngff, "LARGEST_TOP", 10):
        with (
            _full_once(sys.modules[f"everywindow.{module}"], name, call),
            pytest.raises(ew.InputError, match=r"No space left.*choose another place"),
        ):
            stream(image, resume=True)
        check_like_uninterrupted(stream(image, resume=True).path, image)


def test_a_line_that_was_cut_short_is_cut_off(image: Path) -> None:
    out = interrupted(image)
    with (out / "tiles.jsonl").open("a") as file:
        file.write('{"tile": 5, "state": "do')
    assert len(read_states(out)[0]) == 5
    assert stream(image, resume=True).resumed == 5
    check_like_uninterrupted(out, image)


@pytest.mark.parametrize("line", ["nonsense", "[]", '{"tile": 1}', '{"tile": 1, "state": "done", "more": 2}'])
def test_a_damaged_record_is_told(line: str, image: Path) -> None:
    out = interrupted(image)
    with (out / "tiles.jsonl").open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(ew.InputError, match=r"tiles\.jsonl: damaged"):
        stream(image, resume=True)
    assert stream(image, overwrite=True).tiles == TOTAL


def test_a_damaged_run_is_told(image: Path) -> None:
    out = interrupted(image)
    (out / "run.json").write_text("{")
    with pytest.raises(ew.InputError, match=r"run\.json: damaged.*--overwrite"):
        stream(image, resume=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_what_makes_no_tiles_at_once(number: signal.Signals, image: Path) -> None:
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    begin, of_stream = sys.modules["everywindow.run.begin"], sys.modules["everywindow.run.stream"]

    def told(*_: Any) -> None:
        signal.raise_signal(number)
        time.sleep(60)

    for owner, name in ((begin, "create"), (of_stream, "settled"), (of_stream, "add_levels")):
        with patched(owner, name, told), pytest.raises(StoppedError, match="--resume") as error:
            stream(image)
        assert error.value.signal == number
        assert sorted(os.listdir(image.parent)) == ["image.npy", *(["map.zarr"] if name == "add_levels" else [])]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    assert stream(image, resume=True).resumed == TOTAL


def test_a_second_signal_ends_a_tile_too(image: Path) -> None:
    def told(*_: Any) -> None:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        time.sleep(60)

    begin = sys.modules["everywindow.run.begin"]
    with (
        patched(TileEngine, "scores", told),
        patched(begin, "_one", _ones),
        pytest.raises(StoppedError) as error,
    ):
        stream(image)
    assert error.value.signal == signal.SIGTERM
    assert stream(image, resume=True).tiles == TOTAL


def _ones(*_: Any) -> torch.Tensor:
    return torch.ones((2, 1, 1), dtype=torch.float64)


def _mounted(kind: list[str], at: Path) -> bool:
    if sys.platform != "linux" or os.geteuid():
        return False
    at.mkdir()
    return not subprocess.run(["mount", *kind, str(at)], capture_output=True, check=False).returncode


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    if not _mounted(["-t", "tmpfs", "-o", "size=128k", "tmpfs"], place):
        pytest.skip("no rights to mount a file system")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_disk_that_is_really_full(small_disk: Path, tmp_path: Path) -> None:
    image = saved(tmp_path, (300, 120))
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(64 << 10))
    options: dict[str, Any] = {"stride": 1, "tile": (30, 113), "pad": None}
    with pytest.raises(ew.InputError, match=r"No space left on device\); choose another place"):
        stream(image, small_disk / "map.zarr", **options)
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    done = stream(image, small_disk / "map.zarr", resume=True, **options)
    check_like_uninterrupted(done.path, image, **options)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert stream(image, small_disk / "map.zarr", **options).unchanged
    for out, more in (("map.zarr", {"overwrite": True}), ("other.zarr", {})):
        with pytest.raises(ew.InputError, match=r"Read-only file system\); choose another place"):
            stream(image, small_disk / out, **options, **more)
    assert Store.open(done.path).counts == (293, 113)
