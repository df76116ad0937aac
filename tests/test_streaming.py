"""Scans written tile by tile: the map of the image in one piece, whatever the tiles, the format and the process."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

import everywindow as ew
import oracle
from everywindow.run import TileState, read_states
from everywindow.run import worker as workers
from everywindow.run.emptiness import Wanted
from streams import bytes_of, classifier, noise, patched, saved, tiles

MODES = ("exact", "crops", "fcn")
LARGEST = {1: 90, 2: 30, 3: 13}
"""Pixels per axis of images that are tried."""


def check_same(found: ew.ScoreMap, expected: ew.ScoreMap) -> None:
    assert found.scores.dtype == expected.scores.dtype == torch.float64
    assert found.scores.shape == expected.scores.shape
    assert oracle.spread(expected.scores) > 0
    assert oracle.relative_difference(found.scores, expected.scores) < oracle.TOLERANCE[torch.float64]
    for name in ("window", "stride", "mode", "activation", "classes", "image_size"):
        assert getattr(found, name) == getattr(expected, name), name
    assert found.verdict == expected.verdict


@settings(max_examples=30)
@given(data=st.data())
def test_tiles_of_any_shape_give_the_map_of_the_whole(data: st.DataObject) -> None:
    axes = data.draw(st.integers(1, 3), "axes")
    window = data.draw(st.integers(4, 9 if axes < 3 else 6), "window")
    padding = data.draw(st.integers(0, 1), "padding")
    size = tuple(data.draw(st.integers(window + 3, LARGEST[axes]), "size") for _ in range(axes))
    pad = data.draw(st.sampled_from([None, 1, 3]), "pad")
    stride = tuple(data.draw(st.integers(1 if axes < 3 else 2, 5), "stride") for _ in range(axes))
    tile = tuple(data.draw(st.integers((1, 3, 4)[axes - 1], 20), "tile") for _ in range(axes))
    mode = data.draw(st.sampled_from(MODES), "mode")
    if mode == "fcn":
        stride = (2,) * axes
    cut = data.draw(st.booleans(), "roi")
    roi = [_span(data, n, window) for n in size] if cut else None
    known = classifier(axes, window, padding)
    pixels = noise(size, seed=data.draw(st.integers(0, 99), "seed"))
    whole = pixels if roi is None else np.ascontiguousarray(pixels[tuple(slice(*span) for span in roi)])
    with tempfile.TemporaryDirectory() as folder:
        image, part = Path(folder, "image.npy"), Path(folder, "part.npy")
        np.save(image, pixels)
        np.save(part, whole)
        options: dict[str, Any] = {"stride": stride, "mode": mode, "pad": pad}
        done = ew.stream(
            known, image, Path(folder, "map.zarr"), roi=roi, tile=tile, progress=False, raw=axes != 2, **options
        )
        found = ew.ScoreMap.load(done.path)
        expected = ew.scan(known, part if axes == 2 else _raw(known, whole), **options)
        assert done.scored == done.windows == expected.scores[0].numel()
        assert oracle.relative_difference(found.scores, expected.scores) < oracle.TOLERANCE[torch.float64]
        if roi is None and axes == 2:
            check_same(found, expected)


def _span(data: st.DataObject, size: int, window: int) -> tuple[int, int]:
    first = data.draw(st.integers(0, size - window - 1), "first")
    return first, data.draw(st.integers(first + window + 1, size), "last")


def _raw(known: ew.Classifier, pixels: np.ndarray) -> torch.Tensor:
    """Recordings and volumes are taken as they are; a scan takes a tensor that is normalised so."""
    assert known.mean is not None
    assert known.std is not None
    return torch.from_numpy((pixels.astype(np.float32) - np.float32(known.mean[0])) / np.float32(known.std[0]))[None]


WRITERS: dict[str, Callable[[Path, np.ndarray], Any]] = {
    "image.png": lambda path, pixels: Image.fromarray(pixels).save(path),
    "image.npy": np.save,
    "image.tif": lambda path, pixels: tifffile.imwrite(path, pixels, photometric="rgb"),
    "tiled.tif": lambda path, pixels: tifffile.imwrite(
        path, pixels, photometric="rgb", tile=(16, 16), compression="zlib"
    ),
    "big.tif": lambda path, pixels: tifffile.imwrite(path, pixels, photometric="rgb", bigtiff=True, rowsperstrip=5),
    "array.zarr": lambda path, pixels: zarr.create_array(str(path), data=pixels, chunks=(9, 14, 3)),
    "v2.zarr": lambda path, pixels: zarr.create_array(str(path), data=pixels, chunks=(20, 7, 1), zarr_format=2),
}


@pytest.mark.parametrize("name", WRITERS)
def test_an_image_gives_the_same_map_in_every_format(name: str, tmp_path: Path) -> None:
    pixels = noise((61, 47, 3))
    WRITERS[name](tmp_path / name, pixels)
    known = classifier(channels=3)
    done = ew.stream(known, tmp_path / name, tmp_path / "map.zarr", stride=3, tile=(5, 6), progress=False)
    expected = ew.scan(known, pixels, stride=3)
    assert torch.equal(ew.ScoreMap.load(done.path).scores.isnan(), torch.zeros_like(expected.scores).bool())
    check_same(ew.ScoreMap.load(done.path), expected)


def test_windows_that_are_not_wanted_are_nan_and_the_others_as_without_them(tmp_path: Path) -> None:
    known, image = classifier(), saved(tmp_path, (50, 40))
    expected = ew.scan(known, image, stride=2)
    counts = tuple(expected.scores.shape[1:])
    wants = np.random.default_rng(0).random(counts) < 0.4
    wants[:8, :5] = False  # a tile of its own
    stream = sys.modules["everywindow.run.stream"]
    with patched(stream, "wanted_of", lambda *_: _Some(wants)):
        done = ew.stream(known, image, tmp_path / "map.zarr", stride=2, tile=(8, 5), progress=False)
    found = ew.ScoreMap.load(done.path).scores
    wanted = torch.from_numpy(wants)
    assert found[:, ~wanted].isnan().all()
    assert not found[:, wanted].isnan().any()
    assert (found - expected.scores)[:, wanted].abs().max() < 1e-10
    empty = [number for number, at in enumerate(_tiles(counts, (8, 5))) if not wants[at].any()]
    states, finished = read_states(done.path)
    assert finished
    assert [tile for tile, one in states.items() if one.state == "skipped"] == empty
    assert 0 in empty
    assert done.skipped == len(empty)
    assert done.scored == wants.sum() == sum(one.windows for one in states.values())
    files = {path.relative_to(done.path / "0" / "c" / "0").as_posix() for path in (done.path / "0" / "c").rglob("*")}
    assert "0/0" not in files
    assert len([name for name in files if "/" in name]) == done.tiles - len(empty)


class _Some(Wanted):
    def __init__(self, wants: np.ndarray) -> None:
        self._wants = wants

    def wanted(self, windows: tuple[tuple[int, int], ...]) -> np.ndarray:
        return self._wants[tuple(slice(*span) for span in windows)]

    def describe(self) -> dict[str, Any]:
        return {}


def _tiles(counts: tuple[int, ...], tile: tuple[int, int]) -> list[tuple[slice, ...]]:
    rows, columns = tiles(counts[:1], tile[0]), tiles(counts[1:], tile[1])
    return [(row, column) for (row,) in rows for (column,) in columns]


WORKER = """
import sys
from everywindow.run import work
for result in sys.argv[1:]:
    for state in work(result, range(11, -1, -1)):
        print(state.tile, state.state, state.windows)
"""


def test_a_worker_in_another_process_writes_the_same_bytes(tmp_path: Path) -> None:
    image = saved(tmp_path, (50, 40))
    classifier().save(tmp_path / "model")
    known, reopen = ew.load(tmp_path / "model"), {"spec": str(tmp_path / "model")}
    results = [
        ew.stream(
            known, image, tmp_path / f"{mode}.zarr", stride=2, tile=(6, 7), mode=mode, progress=False, reopen=reopen
        )
        for mode in MODES
    ]
    expected = [bytes_of(done.path) for done in results]
    for done in results:
        assert done.tiles == 12
        for chunk in sorted(path for path in (done.path / "0" / "c").rglob("*") if path.is_file())[1::2]:
            chunk.unlink()
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", WORKER, *(str(done.path) for done in results)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert not ran.stderr
    assert len(ran.stdout.splitlines()) == 36
    assert [bytes_of(done.path) for done in results] == expected


def test_a_worker_needs_a_model_that_can_be_opened(tmp_path: Path) -> None:
    done = ew.stream(classifier(), saved(tmp_path, (20, 20)), tmp_path / "map.zarr", progress=False)
    with pytest.raises(ew.InputError, match="given as an object"):
        workers.work(str(done.path), [0])
    (done.path / "run.json").unlink()
    with pytest.raises(ew.InputError, match=r"no run\.json"):
        workers.work(str(done.path), [0])


def test_states_are_plain(tmp_path: Path) -> None:
    done = ew.stream(classifier(), saved(tmp_path, (20, 20)), tmp_path / "map.zarr", stride=1, tile=7, progress=False)
    states, finished = read_states(done.path)
    assert finished
    assert states == {n: TileState(n, "done", w) for n, w in enumerate([49, 42, 42, 36])}


def test_unknown_normalisation_is_warned_of(tmp_path: Path) -> None:
    np.save(tmp_path / "image.npy", np.zeros((20, 20), np.uint8))
    net = nn.Sequential(nn.Conv2d(1, 2, 8), nn.Flatten()).eval()
    with pytest.warns(UserWarning, match="mean and std are not known"):
        ew.stream(net, tmp_path / "image.npy", tmp_path / "map.zarr", window=8, progress=False)


def test_many_small_tiles_are_warned_of(tmp_path: Path) -> None:
    image = saved(tmp_path, (60, 60))
    with pytest.warns(
        UserWarning, match=r"tile: 729 tiles of 2×2 windows, where memory allows 1: each is begun by itself"
    ):
        ew.stream(classifier(), image, tmp_path / "map.zarr", stride=1, tile=2, progress=False)


def test_a_region_beyond_the_image_is_cut_with_a_warning(tmp_path: Path) -> None:
    image, known = saved(tmp_path, (30, 20)), classifier()
    with pytest.warns(UserWarning, match=r"roi: reaches beyond the image, which is 0:30,0:20, and ends there"):
        cut = ew.stream(known, image, tmp_path / "cut.zarr", roi=[(10, 1000), (0, 20)], progress=False)
    there = ew.stream(known, image, tmp_path / "there.zarr", roi=[(10, 30), (0, 20)], progress=False)
    check_same(ew.ScoreMap.load(cut.path), ew.ScoreMap.load(there.path))
