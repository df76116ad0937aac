"""The layout of a result: OME-Zarr 0.5, the same bytes in whatever order it is written."""

from __future__ import annotations

import json
import random
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from torch import nn

import everywindow as ew
from everywindow.errors import InputError
from everywindow.io import ngff

CASES = {1: ((701,), (64,)), 2: ((300, 41), (40, 17)), 3: ((5, 9, 270), (2, 4, 100))}


def attributes(axes: int, **more: Any) -> dict[str, Any]:
    return {
        "format": "everywindow score map 2",
        "window": [7, 8, 9][:axes],
        "stride": [2, 3, 4][:axes],
        "pad": [1, 0, 2][:axes],
        "origin": [10.5, 0.0, 3.0][:axes],
        "downsample": [4.0002, 3.9, 1.0][:axes],
        "activation": "softmax",
        "source": {"spacing": [0.25, 0.5, 2.0][:axes], "unit": "micrometer"},
        **more,
    }


def boxes(counts: tuple[int, ...], chunk: tuple[int, ...]) -> list[tuple[tuple[int, int], ...]]:
    return list(product(*([(a, min(a + c, n)) for a in range(0, n, c)] for n, c in zip(counts, chunk, strict=True))))


def scores(counts: tuple[int, ...], seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=(2, *counts)).astype(np.float32)
    values[:, np.random.default_rng(1).random(counts) < 0.2] = np.nan
    return values


def written(path: Path, axes: int, values: np.ndarray, order: int = 0) -> Path:
    counts, chunk = CASES[axes]
    ngff.create(path, 2, counts, chunk, np.float32, attributes(axes), ["cat", "dog"])
    store = ngff.Store.open(path, writable=True)
    tiles = boxes(counts, chunk)
    random.Random(order).shuffle(tiles)
    for box in tiles:
        store.write(box, values[(slice(None), *(slice(*span) for span in box))])
    ngff.add_levels(path)
    return path


def content(path: Path) -> dict[str, bytes]:
    return {str(f.relative_to(path)): f.read_bytes() for f in sorted(path.rglob("*")) if f.is_file()}


def halved(values: np.ndarray) -> np.ndarray:
    """By plain loops: the mean of the cells that are numbers."""
    sizes = [(n + 1) // 2 for n in values.shape[1:]]
    out = np.full((len(values), *sizes), np.nan)
    for k, *index in np.ndindex(len(values), *sizes):
        block = values[(k, *(slice(2 * i, 2 * i + 2) for i in index))]
        kept = block[~np.isnan(block)]
        if kept.size:
            out[(k, *index)] = kept.astype(float).mean()
    return out.astype(values.dtype)


@pytest.mark.parametrize("axes", CASES)
def test_what_is_written_is_read_in_any_order_and_the_bytes_are_the_same(axes: int, tmp_path: Path) -> None:
    values = scores(CASES[axes][0])
    one, other = (written(tmp_path / f"{order}.zarr", axes, values, order) for order in (0, 1))
    ngff.add_levels(other)
    assert content(one) == content(other)
    store = ngff.Store.open(one)
    assert store.counts == CASES[axes][0]
    assert store.chunk == CASES[axes][1]
    assert store.attributes == attributes(axes)
    np.testing.assert_array_equal(store.scores[:], values)
    np.testing.assert_array_equal(np.asarray(store.scores), values)
    np.testing.assert_array_equal(store.scores[1, 2:5], values[1, 2:5])
    np.testing.assert_array_equal(store.scores[..., 1:3], values[..., 1:3])
    np.testing.assert_array_equal(store.scores[0], values[0])
    box = tuple((1, n - 1) for n in store.counts)
    np.testing.assert_array_equal(store.read(box), values[(slice(None), *(slice(*span) for span in box))])


@pytest.mark.parametrize("axes", CASES)
def test_levels_are_means_of_what_was_scored(axes: int, tmp_path: Path) -> None:
    values = scores(CASES[axes][0])
    path = written(tmp_path / "m.zarr", axes, values)
    group = zarr.open_group(str(path), mode="r")
    names = sorted(group.array_keys())
    assert max(group[names[-1]].shape[1:]) <= 256
    for name in names[1:]:
        values = halved(values)
        np.testing.assert_allclose(np.asarray(group[name][:]).reshape(values.shape), values, rtol=1e-6)


@pytest.mark.parametrize("axes", CASES)
def test_valid_ome_zarr_whose_members_are_listed_without_a_warning(axes: int, tmp_path: Path) -> None:
    from ome_zarr_models.v05 import Image

    path = written(tmp_path / "m.zarr", axes, scores(CASES[axes][0]))
    (path / "run.json").write_text("{}")
    (path / "tiles.jsonl").write_text("")
    group = zarr.open_group(str(path), mode="r")
    assert len(list(group.members())) == 1 + sum(n > 256 for n in (max(CASES[axes][0]), max(CASES[axes][0]) / 2))
    image = Image.from_zarr(group)
    assert [axis.name for axis in image.ome_attributes.multiscales[0].axes] == ["c", *"zyx"[-max(2, axes) :]]
    assert group.attrs["ome"]["omero"]["channels"][1]["label"] == "dog"


@pytest.mark.parametrize("axes", CASES)
def test_cells_lie_where_their_windows_centres_do(axes: int, tmp_path: Path) -> None:
    path = written(tmp_path / "m.zarr", axes, scores(CASES[axes][0]))
    multiscales = json.loads((path / "zarr.json").read_text())["attributes"]["ome"]["multiscales"][0]
    a = attributes(axes)
    for level, dataset in enumerate(multiscales["datasets"]):
        scale, shift = dataset["coordinateTransformations"]
        for axis in range(axes):
            position = shift["translation"][axis - axes] + 1 * scale["scale"][axis - axes]
            factor = 2**level
            index = factor + (factor - 1) / 2  # of the middle of the windows that cell 1 stands for
            pixel = a["origin"][axis] + a["stride"][axis] * index - a["pad"][axis] + a["window"][axis] / 2
            level0 = pixel * a["downsample"][axis]
            assert position == pytest.approx((level0 - 0.5) * a["source"]["spacing"][axis], abs=1e-9)


@pytest.mark.parametrize("axes", CASES)
def test_levels_of_a_killed_writer_are_made_again(axes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "m.zarr", axes, scores(CASES[axes][0]))
    before = content(path)
    steps = iter(range(10**6))

    def dies(*args: Any) -> np.ndarray:
        if next(steps) == 2:
            raise KeyboardInterrupt
        return means(*args)

    means = ngff.means
    monkeypatch.setattr(ngff, "means", dies)
    with pytest.raises(KeyboardInterrupt):
        list(map(ngff.add_levels, [path] * 3))
    group = zarr.open_group(str(path), mode="r")
    for dataset in group.attrs["ome"]["multiscales"][0]["datasets"]:  # type: ignore[index, call-overload, union-attr]
        assert np.isfinite(np.asarray(group[dataset["path"]][:])).any()  # type: ignore[index, call-overload]
    monkeypatch.undo()
    ngff.add_levels(path)
    assert content(path) == before


def test_what_is_there_is_not_replaced(tmp_path: Path) -> None:
    taken = tmp_path / "mine"
    taken.mkdir()
    (taken / "keep.txt").write_text("x")
    for path in (taken, taken / "keep.txt", written(tmp_path / "m.zarr", 2, scores(CASES[2][0]))):
        with pytest.raises(InputError, match="already"):
            ngff.create(path, 2, (4, 4), (2, 2), np.float32, attributes(2))
    assert (taken / "keep.txt").read_text() == "x"


def test_a_folder_with_a_job_or_one_that_was_begun_is_taken(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    ngff.create(tmp_path, 2, (4, 4), (2, 2), np.float32, attributes(2))
    (tmp_path / "zarr.json").unlink()
    ngff.create(tmp_path, 3, (4, 4), (2, 2), np.float32, attributes(2))
    assert len(ngff.Store.open(tmp_path).scores) == 3
    assert (tmp_path / "run.json").exists()


def test_rectangles_that_cut_chunks_and_wrong_shapes_are_refused(tmp_path: Path) -> None:
    ngff.create(tmp_path / "m.zarr", 1, (5, 5), (2, 2), np.float32, attributes(2))
    store = ngff.Store.open(tmp_path / "m.zarr", writable=True)
    for box in (((0, 3), (0, 2)), ((1, 2), (0, 2)), ((4, 6), (0, 2))):
        with pytest.raises(InputError, match="chunks"):
            store.write(box, np.zeros((1, *(b - a for a, b in box)), np.float32))
    with pytest.raises(InputError, match="shape"):
        store.write(((0, 2), (0, 2)), np.zeros((1, 2, 3), np.float32))
    with pytest.raises(InputError, match="OME-Zarr"):
        ngff.Store.open(tmp_path)
    with pytest.raises(InputError, match=r"\.npz"):
        ngff.create(tmp_path / "4d.zarr", 1, (2, 2, 2, 2), (1, 1, 1, 1), np.float32, attributes(2))


def test_leftovers_of_a_killed_writer_go(tmp_path: Path) -> None:
    path = written(tmp_path / "m.zarr", 2, scores(CASES[2][0]))
    before = content(path)
    (path / "0" / "c" / "0" / "3.0123abcd.partial").write_bytes(b"half")
    (path / ".create.x").mkdir()
    ngff.remove_partial(path)
    assert content(path) == before
    assert not (path / ".create.x").exists()


def test_nothing_scored_takes_no_file_and_stays_nan(tmp_path: Path) -> None:
    path = tmp_path / "m.zarr"
    ngff.create(path, 2, (6,), (4,), np.float16, attributes(1))
    ngff.Store.open(path, writable=True).write(((0, 4),), np.full((2, 4), np.nan, np.float32))
    assert not list(path.rglob("c"))
    assert np.isnan(ngff.Store.open(path).scores[:]).all()


def test_a_result_lies_where_its_ome_zarr_image_lies(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "image.zarr", mode="w", zarr_format=3)
    group.create_array("0", data=np.zeros((40, 30), np.uint8), chunks=(20, 20))
    steps = [{"type": "scale", "scale": [0.5, 0.25]}, {"type": "translation", "translation": [100.0, 200.0]}]
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    shared = [{"type": "scale", "scale": [2.0, 2.0]}, {"type": "translation", "translation": [1.0, 2.0]}]
    scales = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": steps}]}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{**scales, "coordinateTransformations": shared}]}
    net = nn.Sequential(nn.Conv2d(1, 2, 5), nn.Flatten()).eval()
    clf = ew.Classifier(net, window=5, mean=[0.5], std=[0.25])
    ew.stream(clf, tmp_path / "image.zarr", tmp_path / "map.zarr", stride=3, progress=False)
    told = zarr.open_group(tmp_path / "map.zarr", mode="r").attrs["ome"]["multiscales"][0]["datasets"][0]  # type: ignore[index,call-overload]
    scale, shift = (step[step["type"]] for step in told["coordinateTransformations"])
    assert scale[1:] == [3.0, 1.5]
    assert shift[1:] == [201 + 1.0 * 2, 402 + 0.5 * 2]  # the middle of the first window is pixel 2
    ew.export(tmp_path / "map.zarr", tmp_path / "map.ome.tif")
    with tifffile.TiffFile(tmp_path / "map.ome.tif") as file:
        assert 'PositionY="203.0"' in str(file.ome_metadata)
        assert 'PositionX="403.0"' in str(file.ome_metadata)
