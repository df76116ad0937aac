"""Sources: whatever the file, each box is what slicing the whole gives, and little more than the box is read."""

from __future__ import annotations

import tracemalloc
import zlib
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import tifffile
import zarr

from everywindow.io import Box, Source, open_source, region_of
from everywindow.io.files import read_file
from everywindow.io.reading import library
from source_files import MAKERS, PYRAMID, SMOOTH, TILED, Made, nibabel, rasterio


@pytest.fixture(params=MAKERS, scope="module")
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return MAKERS[request.param](tmp_path_factory.mktemp("source"))


@pytest.fixture
def source(made: Made) -> Iterator[Source]:
    opened = open_source(made.path, made.levels[0].shape[-1], made.axes)
    yield opened
    opened.close()


def boxes(size: tuple[int, ...], count: int = 12) -> Iterator[Box]:
    rng = np.random.default_rng(1)
    yield tuple((0, n) for n in size)
    yield tuple((n - 1, n) for n in size)
    for _ in range(count):
        ends = [sorted(rng.choice(n + 1, 2, replace=False)) for n in size]
        yield tuple((int(start), int(stop)) for start, stop in ends)


def test_any_box_equals_the_same_of_the_whole(made: Made, source: Source) -> None:
    assert [level.size for level in source.levels] == [level.shape[:-1] for level in made.levels]
    for number, whole in enumerate(made.levels):
        for box in boxes(whole.shape[:-1]):
            values = source.read(box, number)
            assert values.dtype == source.dtype
            np.testing.assert_array_equal(values, whole[tuple(slice(*span) for span in box)])


def test_what_a_source_says_of_itself(made: Made, source: Source) -> None:
    assert source.format == made.format
    assert source.path == str(made.path)
    assert source.channels == made.levels[0].shape[-1]
    assert source.dtype.isnative
    assert source.placement.unit == made.unit
    assert source.placement.spacing == (None if made.spacing is None else pytest.approx(made.spacing))
    assert source.physical == (made.format in ("nifti", "wfdb"))
    ratios = [np.divide(made.levels[0].shape[:-1], level.shape[:-1]) for level in made.levels]
    np.testing.assert_allclose([level.downsample for level in source.levels], ratios, rtol=0.02)


def test_valid_and_read_may_come_in_any_order(made: Made, source: Source) -> None:
    box = tuple((n // 3, n // 2) for n in made.levels[0].shape[:-1])
    for _ in range(2):
        valid = source.valid(box)
        assert valid is None or valid.shape == tuple(stop - start for start, stop in box)
        inside = made.levels[0][tuple(slice(*span) for span in box)]
        np.testing.assert_array_equal(source.read(box), inside)


# The same numbers as a whole file gives


@pytest.mark.parametrize("options", [{}, {"rowsperstrip": 7}, {"compression": "lzw"}, {"planarconfig": "separate"}])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("alpha", [False, True])
def test_small_tiffs_give_what_read_file_gives(
    tmp_path: Path, options: dict[str, Any], dtype: str, alpha: bool
) -> None:
    values = SMOOTH[:40, :50].astype(dtype) / (255 if dtype == "float32" else 1)
    values = np.concatenate([values, values[..., :1]], axis=-1) if alpha else values
    values = values.transpose(2, 0, 1) if "planarconfig" in options else values
    about = {"photometric": "rgb", **({"extrasamples": ["unassalpha"]} if alpha else {})}
    tifffile.imwrite(tmp_path / "x.tif", values.astype(dtype), **about, **options)
    if alpha:
        with pytest.warns(UserWarning, match="transparency is dropped"):
            source, expected = open_source(tmp_path / "x.tif", 3, 2), read_file(tmp_path / "x.tif", 3, 2)
    else:
        source, expected = open_source(tmp_path / "x.tif", 3, 2), read_file(tmp_path / "x.tif", 3, 2)
    assert source.format == "tiff"
    np.testing.assert_array_equal(source.read(((0, 40), (0, 50))), expected)
    source.close()


@pytest.mark.parametrize("kind", ["palette", "cmyk", "one bit", "turned", "png", "jpeg"])
def test_what_cannot_be_sliced_is_decoded_as_a_whole(tmp_path: Path, kind: str) -> None:
    picture = PIL.Image.fromarray(SMOOTH)
    path = tmp_path / (f"x.{kind}" if kind in ("png", "jpeg") else "x.tif")
    mode = {"palette": "P", "cmyk": "CMYK", "one bit": "1"}.get(kind, "RGB")
    exif = PIL.Image.Exif()
    if kind in ("turned", "jpeg"):
        exif[0x0112] = 6
    picture.convert(mode).save(path, exif=exif)
    source = open_source(path, 3, 2)
    assert source.format == "picture"
    expected = read_file(path, 3, 2)
    assert expected.shape == ((237, 203, 3) if kind in ("turned", "jpeg") else (203, 237, 3))
    np.testing.assert_array_equal(source.read(tuple((0, n) for n in expected.shape[:2])), expected)
    source.close()


def test_levels_of_a_slide_between_pixels_of_level_0_are_read_by_blocks(tmp_path: Path) -> None:
    smooth = np.kron(SMOOTH[:28, :35], np.ones((80, 80, 1))).astype(np.uint8)[:2223, :2701]
    levels = [smooth, smooth[1:-1:4, 1:-1:4]]
    with tifffile.TiffWriter(tmp_path / "x.svs") as file:
        options = {"tile": (240, 240), "photometric": "rgb", "compression": "jpeg", "compressionargs": {"level": 95}}
        for level in levels:
            file.write(level, description="Aperio Image Library v1|MPP = 0.5", metadata=None, **options)
    source = open_source(tmp_path / "x.svs", 3, 2)
    size, downsample = source.levels[1].size, source.levels[1].downsample
    assert downsample[0] != round(downsample[0])
    whole = source.read(tuple((0, n) for n in size), 1)
    assert np.abs(whole.astype(int) - levels[1]).mean() < 2
    for box in boxes(size):
        np.testing.assert_array_equal(source.read(box, 1), whole[tuple(slice(*span) for span in box)])
    source.close()


def test_pyramids_of_whole_pages_and_zarr_without_transformations(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "x.tif") as file:
        for number, level in enumerate(PYRAMID):
            file.write(level, subfiletype=int(number > 0), photometric="rgb", metadata=None, **TILED)
    group = zarr.open_group(tmp_path / "x.zarr", mode="w", zarr_format=2)
    for number, level in enumerate(PYRAMID):
        group.create_array(str(number), data=level.transpose(2, 0, 1), chunks=(1, 50, 60))
    group.attrs["multiscales"] = [{"axes": ["c", "y", "x"], "datasets": [{"path": str(n)} for n in range(3)]}]
    for name in ("x.tif", "x.zarr"):
        source = open_source(tmp_path / name, 3, 2)
        assert [level.size for level in source.levels] == [level.shape[:2] for level in PYRAMID]
        assert source.levels[2].downsample == (203 / 51, 237 / 60)
        for number, level in enumerate(PYRAMID):
            np.testing.assert_array_equal(source.read(((20, 50), (10, 60)), number), level[20:50, 10:60])
        source.close()


@pytest.mark.parametrize(("name", "driver"), [("y.png", "PNG"), ("y.vrt", "VRT"), ("y.jp2", "JP2OpenJPEG")])
def test_other_files_with_a_coordinate_system(tmp_path: Path, name: str, driver: str) -> None:
    made = MAKERS["geotiff"](tmp_path)
    options = {"QUALITY": 100, "REVERSIBLE": "YES"} if name == "y.jp2" else {}
    __import__("rasterio.shutil").shutil.copy(made.path, tmp_path / name, driver=driver, **options)
    source = open_source(tmp_path / name, 3, 2)
    assert source.format == "raster"
    assert "UTM zone 18N" in str(source.placement.crs)
    assert source.placement.transform == (2.0, 0.0, 500000.0, 0.0, -3.0, 4000000.0)
    np.testing.assert_array_equal(source.read(((20, 50), (10, 60))), SMOOTH[20:50, 10:60])
    source.close()


def test_a_jpeg_2000_without_one_is_a_picture(tmp_path: Path) -> None:
    PIL.Image.fromarray(SMOOTH).save(tmp_path / "x.jp2")
    source = open_source(tmp_path / "x.jp2", 3, 2)
    assert source.format == "picture"
    np.testing.assert_array_equal(source.read(((20, 50), (10, 60))), SMOOTH[20:50, 10:60])


# Real data


def test_a_real_slide(shared_data: Path) -> None:
    path = shared_data / "slide" / "small_HE.svs"
    source = open_source(path, 3, 2)
    assert source.levels[0].size == (2967, 2220)
    assert source.placement.spacing == (0.499, 0.499)
    whole = tifffile.imread(path, key=0)
    for box in boxes((2967, 2220), 4):
        ours, theirs = source.read(box), whole[tuple(slice(*span) for span in box)]
        assert np.abs(ours.astype(int) - theirs).mean() < 1  # another decoder of JPEG
    assert source.valid(((0, 500), (0, 500))) is None
    source.close()


@pytest.mark.parametrize("name", ["cogeo.tif", "RGB.byte.tif"])
def test_real_georeferenced_images(shared_data: Path, name: str) -> None:
    path = shared_data / "geotiff" / name
    source = open_source(path, 3, 2)
    with rasterio.open(path) as file:
        whole, mask = file.read().transpose(1, 2, 0), file.dataset_mask() > 0
        assert source.placement.crs == file.crs.to_wkt()
        assert source.placement.transform == tuple(file.transform)[:6]
        assert len(source.levels) == 1 + len(file.overviews(1))
    for box in boxes(whole.shape[:2]):
        part = tuple(slice(*span) for span in box)
        np.testing.assert_array_equal(source.read(box), whole[part])
        valid = source.valid(box)
        np.testing.assert_array_equal(np.ones_like(mask[part]) if valid is None else valid, mask[part])
    source.close()


def test_a_real_recording(shared_data: Path) -> None:
    whole = library("wfdb", "signals", "x").rdrecord(str(shared_data / "ecg" / "100")).p_signal
    for name in ("100", "100.hea", "100.dat"):
        source = open_source(shared_data / "ecg" / name, 2, 1)
        assert (source.levels[0].size, source.placement.spacing) == ((650000,), (1 / 360,))
        for box in boxes((650000,), 4):
            np.testing.assert_array_equal(source.read(box), whole[slice(*box[0])])
        source.close()


def test_a_real_volume(shared_data: Path) -> None:
    path = shared_data / "mri" / "someones_anatomy.nii.gz"
    whole = nibabel.load(path).get_fdata().astype(np.float32)[..., None]
    source = open_source(path, 1, 3)
    assert (source.placement.spacing, source.placement.unit) == ((2.75, 2.75, 2.75), "millimeter")
    for box in boxes((57, 67, 56), 4):
        np.testing.assert_array_equal(source.read(box), whole[tuple(slice(*span) for span in box)])
    source.close()


# Where there is no data


def test_no_data_of_a_georeferenced_image(tmp_path: Path) -> None:
    values = SMOOTH.copy()
    values[20:60, 30:90] = 0
    about = {"driver": "GTiff", "height": 203, "width": 237, "count": 3, "dtype": "uint8", "crs": "EPSG:4326"}
    with rasterio.open(
        tmp_path / "x.tif", "w", nodata=0, transform=rasterio.Affine(2.0, 0, 0, 0, -2.0, 0), **about
    ) as file:
        file.write(values.transpose(2, 0, 1))
    source = open_source(tmp_path / "x.tif", 3, 2)
    assert source.placement.spacing is None  # degrees are no length
    valid = source.valid(((10, 50), (20, 100)))
    np.testing.assert_array_equal(valid, (values[10:50, 20:100] != 0).any(-1))
    source.close()


def test_transparency_of_a_georeferenced_image_is_no_band(tmp_path: Path) -> None:
    about = {"driver": "GTiff", "height": 20, "width": 30, "count": 4, "dtype": "uint8", "crs": "EPSG:32618"}
    alpha = np.full((20, 30), 255, np.uint8)
    alpha[:5] = 0
    place = rasterio.Affine(2.0, 0, 0, 0, -2.0, 0)
    with rasterio.open(tmp_path / "x.tif", "w", transform=place, photometric="RGB", alpha="YES", **about) as file:
        file.write(np.concatenate([SMOOTH[:20, :30].transpose(2, 0, 1), alpha[None]]))
    source = open_source(tmp_path / "x.tif", 3, 2)
    assert source.channels == 3
    np.testing.assert_array_equal(source.valid(((3, 8), (0, 30))), alpha[3:8] > 0)
    np.testing.assert_array_equal(source.read(((0, 20), (0, 30))), SMOOTH[:20, :30])
    source.close()


def test_missing_samples_of_a_recording(tmp_path: Path) -> None:
    source = open_source(MAKERS["wfdb"](tmp_path).path, 2, 1)
    assert source.valid(((0, 500),)) is None
    valid = source.valid(((995, 1015),))
    assert valid is not None
    np.testing.assert_array_equal(np.flatnonzero(~valid), range(5, 15))
    source.close()


def test_missing_tiles_of_a_slide(tmp_path: Path) -> None:
    about = "Aperio Image Library v1\r\n480x480 (240x240) JPEG/RGB Q=95|MPP = 0.5"
    tile = np.full((240, 240, 3), 77, np.uint8)
    tiles = iter([tile, None, tile, tile])
    with tifffile.TiffWriter(tmp_path / "x.svs") as file:
        layout = {"tile": (240, 240), "photometric": "rgb", "shape": (480, 480, 3), "dtype": np.uint8}
        file.write(tiles, description=about, metadata=None, compression="jpeg", **layout)
    source = open_source(tmp_path / "x.svs", 3, 2)
    valid = source.valid(((230, 250), (230, 250)))
    assert valid is not None
    expected = np.ones((20, 20), bool)
    expected[:10, 10:] = False
    np.testing.assert_array_equal(valid, expected)
    values = source.read(((230, 250), (230, 250)))
    assert np.abs(values[expected].astype(int) - 77).max() <= 1
    assert source.valid(((240, 480), (0, 480))) is None
    source.close()


# Little is read


def large_tiff(path: Path, side: int = 20000) -> Path:
    tile = zlib.compress(bytes(range(256)) * 256)
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        layout = {"tile": (256, 256), "shape": (side, side), "dtype": np.uint8, "compression": "zlib"}
        file.write(repeat(tile, (-(-side // 256)) ** 2), photometric="minisblack", **layout)
    return path


def test_a_box_of_a_large_tiff_takes_little_memory(tmp_path: Path) -> None:
    path = large_tiff(tmp_path / "x.tif")
    tracemalloc.start()
    source = open_source(path, 1, 2)
    values = source.read(((9000, 9400), (15000, 15400)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(values[..., 0], np.tile((np.arange(15000, 15400) % 256).astype(np.uint8), (400, 1)))
    source.close()
    assert peak < 2e7  # the whole has 4e8


@pytest.mark.parametrize("kind", ["npy", "zarr", "one piece"])
def test_opening_and_reading_a_box_is_lazy(tmp_path: Path, kind: str) -> None:
    side = 8000
    if kind == "npy":
        path = tmp_path / "x.npy"
        np.lib.format.open_memmap(path, "w+", np.uint8, (side, side))
    elif kind == "zarr":
        path = tmp_path / "x.zarr"
        zarr.create_array(path, shape=(side, side), chunks=(500, 500), dtype="uint8")
    else:
        path = tmp_path / "x.tif"
        tifffile.imwrite(path, shape=(side, side), dtype=np.uint8, photometric="minisblack")
    tracemalloc.start()
    source = open_source(path, 1, 2)
    assert source.read(((7000, 7400), (5000, 5400))).sum() == 0
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    source.close()
    assert peak < 1e7


def test_no_data_in_one_band_of_floats_is_no_brightness(tmp_path: Path) -> None:
    values = np.full((2, 8, 8), 5, np.float32)
    values[0, 3, 4] = -9999
    about = {"driver": "GTiff", "height": 8, "width": 8, "count": 2, "dtype": "float32", "nodata": -9999}
    with rasterio.open(
        tmp_path / "x.tif", "w", crs="EPSG:32618", transform=rasterio.Affine(2, 0, 0, 0, -2, 0), **about
    ) as file:
        file.write(values)
    source = open_source(tmp_path / "x.tif", 2, 2)
    try:
        found = region_of(source, channels=2, raw=True).read(((0, 8), (0, 8)))
    finally:
        source.close()
    assert found.min() == 0
    assert (found == 5).sum() == 2 * 63
