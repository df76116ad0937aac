"""Which windows are worth scoring: against plain loops over pixels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everywindow.errors import InputError
from everywindow.geometry import Place
from everywindow.io import ArraySource, Region, open_source, region_of
from everywindow.run.coarse import CoarseMask, summed, sums, thumbnail
from everywindow.run.emptiness import Wanted, wanted_windows

SLIDE = Path(__file__).parents[2] / "shared/data/slide/small_HE.svs"


def region(array: np.ndarray, **view: object) -> Region:
    return region_of(ArraySource(array, "image"), channels=array.shape[-1], **view)  # type: ignore[arg-type]


def place_of(one: Region, window: tuple[int, ...], stride: tuple[int, ...]) -> Place:
    return Place(window, stride, one.pad, one.origin, one.downsample)


class Holey(ArraySource):
    """An array whose negative pixels hold no data."""

    def valid(self, box: object, level: int = 0) -> np.ndarray | None:
        return (self.read(box) >= 0).all(-1)  # type: ignore[arg-type]


@given(st.data())
def test_sums_are_those_of_slices(data: st.DataObject) -> None:
    shape = data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=3).map(tuple))
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=int(np.prod(shape)), max_size=int(np.prod(shape)))))
    mask = mask.reshape(shape)
    spans = [
        data.draw(st.lists(st.tuples(st.integers(0, n), st.integers(0, n)).map(sorted).map(tuple), min_size=1))
        for n in shape
    ]
    found = sums(summed(mask), spans)
    for place in np.ndindex(found.shape):
        box = tuple(slice(*axis[n]) for axis, n in zip(spans, place, strict=True))
        assert found[place] == mask[box].sum()


@given(st.data())
def test_windows_touch_a_mask_as_a_loop_over_pixels_says(data: st.DataObject) -> None:
    size, cells = data.draw(st.integers(20, 40)), data.draw(st.sampled_from((5, 10, 20)))
    size = size // cells * cells or cells
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=cells, max_size=cells)))
    mask[data.draw(st.integers(0, cells - 1))] = True
    window, stride, pad = (data.draw(st.integers(1, 8)) for _ in range(3))
    one = region(np.zeros((size, 1), np.uint8), pad=pad)
    place = place_of(one, (window,), (stride,))
    count = (one.size[0] - window) // stride + 1
    if count < 1:
        return
    wanted = Wanted(one, place, CoarseMask(mask, (size / cells,), {}), validity=False)
    pixels = np.pad(np.repeat(mask, size // cells), pad)
    expected = [pixels[n * stride : n * stride + window].any() for n in range(count)]
    assert wanted.wanted(((0, count),)).tolist() == expected
    assert wanted.wanted(((count - 1, count),)).tolist() == expected[-1:]


def test_windows_without_data_are_left_out() -> None:
    array = np.ones((12, 16, 1), np.float32)
    array[:6, :9] = -9999
    one = region_of(Holey(array, "image"), channels=1)
    wanted = wanted_windows(None, one, place_of(one, (4, 4), (2, 2)))
    expected = [[(array[y : y + 4, x : x + 4] >= 0).any() for x in range(0, 13, 2)] for y in range(0, 9, 2)]
    assert wanted.wanted(((0, 5), (0, 7))).tolist() == expected
    assert not all(map(all, expected))
    assert wanted_windows("none", one, place_of(one, (4, 4), (2, 2))).wanted(((0, 5), (0, 7))).all()


def test_auto_finds_purple_on_glass() -> None:
    array = np.full((400, 300, 3), 243, np.uint8)
    array[100:200, 50:150] = (150, 80, 160)
    one = region(array)
    wanted = wanted_windows("auto", one, place_of(one, (20, 20), (20, 20)))
    found = wanted.wanted(((0, 20), (0, 15)))
    expected = np.zeros((20, 15), bool)
    expected[5:10, 2:8] = True
    assert found[expected].all()
    assert found.sum() <= expected.sum() + 2 * (5 + 6) + 4  # a cell wider


@pytest.mark.parametrize("deep", [False, True])
def test_auto_keeps_all_where_the_bright_is_the_ground(deep: bool) -> None:
    array = np.full((200, 200, 1), 3900, np.uint16)
    array[50:100, 50:100] = 900
    one = region(array if deep else (array // 16).astype(np.uint8))
    assert wanted_windows("auto", one, place_of(one, (20, 20), (20, 20))).wanted(((0, 10), (0, 10))).all()


def test_auto_finds_a_stain_in_twelve_bits() -> None:
    array = np.full((400, 300, 3), 3900, np.uint16)
    array[100:200, 50:150] = (2400, 1300, 2600)
    one = region(array)
    assert 0.1 < wanted_windows("auto", one, place_of(one, (20, 20), (20, 20))).wanted(((0, 20), (0, 15))).mean() < 0.2


def test_auto_finds_the_bright_in_a_dark_volume() -> None:
    volume = np.random.default_rng(0).normal(10, 2, (40, 40, 40, 1)).clip(0).astype(np.uint8)
    volume[10:20, 10:30, 15:25] = 180
    one = region(volume)
    found = wanted_windows("auto", one, place_of(one, (5, 5, 5), (5, 5, 5))).wanted(((0, 8),) * 3)
    assert found[2:4, 2:6, 3:5].all()
    assert found.mean() < 0.4


@pytest.mark.parametrize("suffix", ["png", "npy", "geojson"])
def test_masks_from_files(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"mask.{suffix}"
    half = np.zeros((50, 100), np.uint8)
    half[10:20, 60:90] = 1
    if suffix == "png":
        PIL.Image.fromarray(half).save(file)
    elif suffix == "npy":
        np.save(file, half)
    else:
        ring = [[120, 20], [179, 20], [179, 39], [120, 39], [120, 20]]
        feature = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": {}}
        file.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    one = region(np.zeros((100, 200, 3), np.uint8))
    found = wanted_windows(str(file), one, place_of(one, (10, 10), (10, 10))).wanted(((0, 10), (0, 20)))
    expected = np.zeros((10, 20), bool)
    expected[2:4, 12:18] = True
    assert (found == expected).all()


def test_what_is_no_mask_is_refused(tmp_path: Path) -> None:
    one = region(np.zeros((100, 200, 3), np.uint8))
    place = place_of(one, (10, 10), (10, 10))
    with pytest.raises(InputError, match="no such file"):
        wanted_windows(str(tmp_path / "absent.png"), one, place)
    np.save(tmp_path / "wide.npy", np.ones((50, 50), np.uint8))
    with pytest.raises(InputError, match="proportions"):
        wanted_windows(str(tmp_path / "wide.npy"), one, place)
    np.save(tmp_path / "empty.npy", np.zeros((50, 100), np.uint8))
    with pytest.raises(InputError, match="nothing in the image is wanted"):
        wanted_windows(str(tmp_path / "empty.npy"), one, place)
    (tmp_path / "text.geojson").write_text('{"type": "FeatureCollection"}')
    with pytest.raises(InputError, match="outlines"):
        wanted_windows(str(tmp_path / "text.geojson"), one, place)


def test_thumbnails_are_means_of_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("everywindow.run.coarse.LARGEST", 10)
    monkeypatch.setattr("everywindow.run.coarse.BLOCK", 64)
    array = np.random.default_rng(0).integers(0, 255, (35, 23, 2)).astype(np.uint8)
    small, each = thumbnail(ArraySource(array, "image"))
    assert (small.shape, each) == ((9, 8, 2), (4.0, 3.0))
    for y, x in np.ndindex(9, 8):
        block = array[y * 4 : y * 4 + 4, x * 3 : x * 3 + 3]
        assert np.allclose(small[y, x], block.reshape(-1, 2).mean(0), rtol=1e-5)


@pytest.mark.skipif(not SLIDE.exists(), reason=f"no real data at {SLIDE}")
def test_tissue_of_the_real_slide() -> None:
    source = open_source(SLIDE, 3, 2)
    try:
        one = region_of(source, channels=3)
        wanted = wanted_windows("auto", one, place_of(one, (64, 64), (64, 64)))
        counts = tuple(n // 64 for n in one.size)
        found = wanted.wanted(tuple((0, n) for n in counts))
        pixels = source.read(tuple((0, n * 64) for n in counts))
        blocks = pixels.reshape(counts[0], 64, counts[1], 64, 3)
        pale = (blocks.min(-1) > 200).mean((1, 3))
        assert found[pale < 0.3].mean() > 0.98  # what is mostly coloured is kept
        assert found[pale > 0.999].mean() < 0.02  # a cell wider
    finally:
        source.close()


def outlines(file: Path, ring: list[list[float]], crs: str | None) -> Path:
    data: dict[str, object] = {"type": "Polygon", "coordinates": [ring]}
    if crs is not None:
        data["crs"] = {"type": "name", "properties": {"name": crs}}
    file.write_text(json.dumps(data))
    return file


@pytest.mark.parametrize("system", [32633, 4326])
def test_outlines_in_a_reference_system(tmp_path: Path, system: int) -> None:
    rasterio = pytest.importorskip("rasterio")
    from rasterio.warp import transform

    place = rasterio.Affine(2, 0.5, 500_000, 0.25, -3, 4_000_000)
    with rasterio.open(
        *(tmp_path / "scene.tif", "w"),
        driver="GTiff",
        height=100,
        width=200,
        count=3,
        dtype="uint8",
        crs="EPSG:32633",
        transform=place,
    ) as file:
        file.write(np.ones((3, 100, 200), np.uint8))
    ring = ((121, 21), (178, 21), (178, 38), (121, 38), (121, 21))
    corners = [(2 * x + 0.5 * y + 500_000, 0.25 * x - 3 * y + 4_000_000) for x, y in ring]
    xs, ys = transform("EPSG:32633", f"EPSG:{system}", *zip(*corners, strict=True))
    mask = outlines(tmp_path / "mask.geojson", [list(point) for point in zip(xs, ys, strict=True)], f"EPSG:{system}")
    source = open_source(tmp_path / "scene.tif", 3, 2)
    try:
        one = region_of(source, channels=3)
        found = wanted_windows(str(mask), one, place_of(one, (10, 10), (10, 10))).wanted(((0, 10), (0, 20)))
    finally:
        source.close()
    expected = np.zeros((10, 20), bool)
    expected[2:4, 12:18] = True
    assert (found == expected).all()


def test_outlines_that_are_not_of_the_image_are_told(tmp_path: Path) -> None:
    one = region(np.zeros((100, 200, 3), np.uint8))
    place = place_of(one, (10, 10), (10, 10))
    far = [[265_000.0, 2_769_000.0], [266_000.0, 2_769_000.0], [266_000.0, 2_770_000.0]]
    with pytest.raises(
        InputError, match=r"outside of the image's 200×100 pixels.*name the reference system in its 'crs'"
    ):
        wanted_windows(str(outlines(tmp_path / "far.geojson", far, None)), one, place)
    with pytest.raises(InputError, match="the image lies in no reference system"):
        wanted_windows(str(outlines(tmp_path / "world.geojson", far, "EPSG:32633")), one, place)
