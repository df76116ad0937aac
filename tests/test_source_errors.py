"""Sources that cannot be read: errors name the file, the reason and the remedy; and what tells images apart."""

from __future__ import annotations

import hashlib
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import tifffile
import zarr

from everywindow.errors import DependencyError, InputError
from everywindow.io import identity, open_source
from source_files import MAKERS, SMOOTH, VOLUME, Made, rasterio


def damaged(path: Path, tile: int = 6) -> Path:
    with tifffile.TiffFile(path) as file:
        page: Any = file.pages[0]
        start, count = page.dataoffsets[tile], page.databytecounts[tile]
    data = bytearray(path.read_bytes())
    data[start : start + count] = b"\x13" * count
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("kind", ["bigtiff-pyramid", "geotiff", "slide", "ome-zarr-0.5"])
def test_a_damaged_tile_is_an_error_there_and_nowhere_else(kind: str, tmp_path: Path) -> None:
    made = MAKERS[kind](tmp_path)
    if made.format == "ome-zarr":
        (made.path / "0" / "c" / "0" / "0" / "0" / "1" / "1").write_bytes(b"nothing of the kind")
    elif made.format == "raster":
        with rasterio.open(made.path) as file:
            values, about = file.read(), file.profile
        with rasterio.open(made.path, "w", **(about | {"compress": "deflate"})) as file:
            file.write(values)
        damaged(made.path)
    else:
        damaged(made.path)
    source = open_source(made.path, 3, 2)
    size = source.levels[0].size
    with pytest.raises(
        InputError, match=rf"x\..*: damaged or cut short in the box 0:{size[0]} × 0:{size[1]} of level 0"
    ):
        source.read(tuple((0, n) for n in size))
    np.testing.assert_array_equal(source.read(((0, 20), (0, 20))), made.levels[0][:20, :20])
    source.close()


def read_whole(made: Made) -> None:
    with closing(open_source(made.path, made.levels[0].shape[-1], made.axes)) as source:
        source.read(tuple((0, n) for n in source.levels[0].size))


def test_truncated_files(tmp_path: Path) -> None:
    for kind in ("one-piece", "strips", "npy", "nifti", "nifti-gz", "wfdb", "geotiff", "slide"):
        made = MAKERS[kind](tmp_path)
        file = made.path.with_suffix(".dat") if kind == "wfdb" else made.path
        data = file.read_bytes()
        file.write_bytes(data[: len(data) // 2])
        with pytest.raises(InputError, match=r"x\."):
            read_whole(made)


def test_too_large_to_decode_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    PIL.Image.fromarray(SMOOTH).convert("CMYK").save(tmp_path / "x.tif")
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(InputError, match=r"holds SEPARATED values and is too large.*convert it"):
        open_source(tmp_path / "x.tif", 3, 2)
    PIL.Image.fromarray(SMOOTH).save(tmp_path / "x.png")
    with pytest.raises(InputError, match=r"x\.png: has more than the 1000 pixels.*convert it to a tiled TIFF"):
        open_source(tmp_path / "x.png", 3, 2)


def test_palettes_of_georeferenced_images(tmp_path: Path) -> None:
    about = {"driver": "GTiff", "height": 20, "width": 30, "count": 1, "dtype": "uint8", "crs": "EPSG:32618"}
    with rasterio.open(
        tmp_path / "x.tif", "w", transform=rasterio.Affine(2.0, 0, 0, 0, -2.0, 0), photometric="palette", **about
    ) as file:
        file.write(SMOOTH[None, :20, :30, 0])
        file.write_colormap(1, {0: (1, 2, 3, 255)})
    with pytest.raises(InputError, match=r"palette.*expand rgb"):
        open_source(tmp_path / "x.tif", 3, 2)


EXTRAS = {"geotiff": ("rasterio", "geo"), "slide": ("openslide", "slides")}
EXTRAS |= {"nifti": ("nibabel", "volumes"), "wfdb": ("wfdb", "signals")}


@pytest.mark.parametrize("kind", EXTRAS)
def test_a_missing_library_is_named_with_its_extra(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, (package, extra) = MAKERS[kind](tmp_path), EXTRAS[kind]
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        DependencyError, match=rf"{package}: reads .*not installed; pip install 'everywindow\[{extra}\]'"
    ):
        open_source(made.path, 3, made.axes)


def test_without_imagecodecs_small_tiffs_are_read_and_large_ones_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = MAKERS["strips"](tmp_path)
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    source = open_source(made.path, 3, 2)
    np.testing.assert_array_equal(source.read(((0, 203), (0, 237))), SMOOTH)
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(DependencyError, match=r"imagecodecs.*everywindow\[slides\]"):
        open_source(made.path, 3, 2)


@pytest.mark.parametrize(
    ("name", "axes", "why"),
    [
        ("absent.tif", 2, "no such file"),
        ("absent.svs", 2, "no such file"),
        ("absent", 1, "no such file"),
        ("folder", 2, "is a directory without an image"),
        ("text.png", 2, "not an image that can be read"),
        ("text.tif", 2, "not an image that can be read"),
        ("text.svs", 2, "cannot be read"),
        ("text.nii", 3, "cannot be read"),
        ("text.npy", 2, "cannot be read"),
        ("text.vrt", 2, "cannot be read"),
        ("header.tif", 2, "cannot be read"),
        ("text.hea", 1, "cannot be read"),
    ],
)
def test_what_is_no_image(tmp_path: Path, name: str, axes: int, why: str) -> None:
    (tmp_path / "folder").mkdir()
    for file in ("text.png", "text.tif", "text.svs", "text.nii", "text.npy", "text.vrt", "text.hea"):
        (tmp_path / file).write_text("no image\n")
    (tmp_path / "header.tif").write_bytes(b"II*\0\xff\xff\xff\x00")
    with pytest.raises(InputError, match=f"{name}: {why}"):
        open_source(tmp_path / name, 3, axes)


@pytest.mark.parametrize(
    ("kind", "axes", "why"),
    [
        ("slide", 3, "slides have 2 axes"),
        ("geotiff", 1, "georeferenced images have 2 axes"),
        ("wfdb", 2, "recordings have 1 axis"),
        ("bigtiff-pyramid", 3, "are not an image with 3 spatial axes"),
        ("npy", 1, "is not 1 axes"),
        ("zarr-channels-last", 1, "is not 1 axes"),
        ("zarr-named", 3, "are not an image with 3 spatial axes"),
        ("nifti", 2, "is not an image with 2 axes"),
    ],
)
def test_wrong_numbers_of_axes(kind: str, axes: int, why: str, tmp_path: Path) -> None:
    made = MAKERS[kind](tmp_path)
    with pytest.raises(InputError, match=why):
        open_source(made.path, 3, axes)


def test_several_times_and_groups_of_no_image(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "x.zarr", mode="w")
    with pytest.raises(InputError, match="is a zarr group without multiscales"):
        open_source(tmp_path / "x.zarr", 3, 2)
    group.create_array("0", shape=(2, 5, 5), chunks=(1, 5, 5), dtype="uint8")
    step = [{"type": "scale", "scale": [1, 1, 1]}]
    axes = [{"name": name} for name in "tyx"]
    scales = [{"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": step}]}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": scales}
    with pytest.raises(InputError, match="has 2 images along the axis t"):
        open_source(tmp_path / "x.zarr", 1, 2)


def test_several_pages_are_told(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "x.tif", VOLUME[..., 0], photometric="minisblack")
    with pytest.warns(UserWarning, match="several frames, the first is read"):
        source = open_source(tmp_path / "x.tif", 1, 2)
    np.testing.assert_array_equal(source.read(((0, 31), (0, 27))), VOLUME[0])
    source.close()


# What tells one image from another


def test_identity(tmp_path: Path) -> None:
    made = MAKERS["npy"](tmp_path)
    data = made.path.read_bytes()
    assert identity(made.path) == {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    with pytest.raises(InputError, match="no such file"):
        identity(tmp_path / "absent.npy")


@pytest.mark.parametrize("kind", ["ome-zarr-0.5", "wfdb"])
def test_identity_sees_a_change_in_any_file(kind: str, tmp_path: Path) -> None:
    made = MAKERS[kind](tmp_path)
    before = identity(made.path)
    assert identity(made.path) == before
    files = sorted(file for file in tmp_path.rglob("*") if file.is_file())
    assert before["size"] == sum(file.stat().st_size for file in files)
    data = files[-1 if made.format == "ome-zarr" else 0].read_bytes()
    file = files[-1 if made.format == "ome-zarr" else 0]
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    after = identity(made.path)
    assert (after["size"], after["sha256"] != before["sha256"]) == (before["size"], True)
