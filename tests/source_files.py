"""Files of every kind that a source reads, made by the libraries that write them, and what they hold."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tifffile
import zarr

from everywindow.io.reading import library

nibabel = pytest.importorskip("nibabel")
openslide = pytest.importorskip("openslide")
rasterio = pytest.importorskip("rasterio")
pytest.importorskip("imagecodecs")


class Made(NamedTuple):
    """A file, and per level the values ``[*size, C]`` that it should give."""

    path: Path
    levels: list[np.ndarray]
    format: str
    axes: int = 2
    spacing: tuple[float, ...] | None = None
    unit: str | None = None


RNG = np.random.default_rng(5)
SMOOTH = RNG.integers(0, 256, (30, 40, 3)).repeat(7, 0).repeat(6, 1).astype(np.uint8)[:203, :237]
PYRAMID = [SMOOTH, SMOOTH[::2, ::2], SMOOTH[::4, ::4]]
GREY16 = (SMOOTH[..., 0].astype(np.uint16) * 257)[..., None]
BANDS = SMOOTH[..., [0, 1, 2, 0, 1]]
TILED = {"tile": (64, 48), "compression": "zlib"}


def bigtiff_pyramid(folder: Path) -> Made:
    with tifffile.TiffWriter(folder / "x.tif", bigtiff=True) as file:
        file.write(PYRAMID[0], subifds=2, photometric="rgb", **TILED)
        for level in PYRAMID[1:]:
            file.write(level, subfiletype=1, photometric="rgb", **TILED)
    return Made(folder / "x.tif", PYRAMID, "tiff")


def ome_tiff(folder: Path) -> Made:
    about = {"axes": "CYX", "PhysicalSizeX": 250.0, "PhysicalSizeXUnit": "nm"}
    about |= {"PhysicalSizeY": 0.5, "PhysicalSizeYUnit": "µm"}
    with tifffile.TiffWriter(folder / "x.ome.tif", ome=True) as file:
        planes = [level.transpose(2, 0, 1) for level in PYRAMID]
        file.write(planes[0], subifds=2, metadata=about, photometric="minisblack", **TILED)
        for level in planes[1:]:
            file.write(level, subfiletype=1, photometric="minisblack", **TILED)
    return Made(folder / "x.ome.tif", PYRAMID, "ome-tiff", 2, (0.5, 0.25), "micrometer")


def plain(name: str, array: np.ndarray, values: np.ndarray, axes: int = 2, **options: Any) -> Callable[[Path], Made]:
    def make(folder: Path) -> Made:
        tifffile.imwrite(folder / name, array, **options)
        return Made(folder / name, [values], "tiff", axes)

    return make


VOLUME = RNG.integers(0, 4000, (9, 31, 27)).astype(np.uint16)[..., None]


def geotiff(folder: Path) -> Made:
    about = {"driver": "GTiff", "height": 203, "width": 237, "count": 3, "dtype": "uint8", "crs": "EPSG:32618"}
    about |= {"tiled": True, "blockxsize": 64, "blockysize": 64, "nodata": 0}
    place = rasterio.Affine(2.0, 0, 500000, 0, -3.0, 4000000)
    with rasterio.open(folder / "x.tif", "w", transform=place, **about) as file:
        file.write(SMOOTH.transpose(2, 0, 1))
        file.build_overviews([2, 4], rasterio.enums.Resampling.nearest)
    levels = []
    for number in (None, 0, 1):
        with rasterio.open(folder / "x.tif", **({} if number is None else {"overview_level": number})) as file:
            levels.append(file.read().transpose(1, 2, 0))
    np.testing.assert_array_equal(levels[0], SMOOTH)
    return Made(folder / "x.tif", levels, "raster", 2, (3.0, 2.0), "meter")


def ome_zarr(version: str) -> Callable[[Path], Made]:
    def make(folder: Path) -> Made:
        group = zarr.open_group(folder / "x.zarr", mode="w", zarr_format=2 if version == "0.4" else 3)
        axes = [{"name": "t", "type": "time"}, {"name": "c", "type": "channel"}]
        axes += [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
        datasets = []
        for number, level in enumerate(PYRAMID):
            group.create_array(str(number), data=level.transpose(2, 0, 1)[None, :, None], chunks=(1, 1, 1, 50, 60))
            scale = [1, 1, 1, 0.5 * 2**number, 0.25 * 2**number]
            datasets.append({"path": str(number), "coordinateTransformations": [{"type": "scale", "scale": scale}]})
        shared = [{"type": "scale", "scale": [1, 1, 1, 2, 2]}]
        scales = [{"version": version, "axes": axes, "datasets": datasets, "coordinateTransformations": shared}]
        inner = {"multiscales": scales}
        group.attrs.update(inner if version == "0.4" else {"ome": {"version": version, **inner}})
        return Made(folder / "x.zarr", PYRAMID, "ome-zarr", 2, (1.0, 0.5), "micrometer")

    return make


def zarr_array(array: np.ndarray, names: tuple[str, ...] | None = None) -> Callable[[Path], Made]:
    def make(folder: Path) -> Made:
        chunks = tuple(min(n, 40) for n in array.shape)
        zarr.create_array(folder / "x.zarr", data=array, chunks=chunks, dimension_names=names)
        return Made(folder / "x.zarr", [SMOOTH], "zarr")

    return make


def npy(array: np.ndarray, axes: int) -> Callable[[Path], Made]:
    def make(folder: Path) -> Made:
        np.save(folder / "x.npy", array)
        return Made(folder / "x.npy", [array if array.ndim > axes else array[..., None]], "npy", axes)

    return make


def nifti(dtype: str, suffix: str, channels: bool) -> Callable[[Path], Made]:
    def make(folder: Path) -> Made:
        values = VOLUME[..., 0].astype(dtype)
        stored = np.stack([values, values // 2], -1) if channels else values
        image = nibabel.Nifti1Image(stored, np.diag([2, 3, 4, 1.0]))
        image.header.set_xyzt_units("mm", "sec")
        image.header.set_slope_inter(*((0.5, -100) if dtype == "int16" else (1, 0)))
        nibabel.save(image, folder / f"x{suffix}")
        whole = nibabel.load(folder / f"x{suffix}").get_fdata().astype(np.float32)
        whole = whole if channels else whole[..., None]
        return Made(folder / f"x{suffix}", [whole], "nifti", 3, (2.0, 3.0, 4.0), "millimeter")

    return make


def record(folder: Path) -> Made:
    wfdb = library("wfdb", "signals", "x")
    signals = np.cumsum(RNG.normal(size=(5000, 2)), axis=0)
    signals[1000:1010, 1] = np.nan
    about = {"fs": 250, "units": ["mV", "mV"], "sig_name": ["I", "II"], "fmt": ["16", "16"]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the writer's own, about pandas
        wfdb.wrsamp("x", p_signal=signals, write_dir=str(folder), **about)
    whole = wfdb.rdrecord(str(folder / "x")).p_signal
    np.testing.assert_allclose(whole, signals, atol=0.01)
    return Made(folder / "x.hea", [whole], "wfdb", 1, (1 / 250,), "second")


def aperio(folder: Path) -> Made:
    """A slide of levels whose downsamples are no whole numbers; tifffile says what it holds."""
    smooth = np.kron(RNG.integers(0, 256, (13, 17, 3)), np.ones((80, 80, 1))).astype(np.uint8)[:1023, :1301]
    with tifffile.TiffWriter(folder / "x.svs") as file:
        about = "Aperio Image Library v1\r\n1301x1023 (240x240) JPEG/RGB Q=95|AppMag = 20|MPP = 0.5"
        for level in (smooth, smooth[1:-1:4, 1:-1:4]):
            options = {
                "tile": (240, 240),
                "photometric": "rgb",
                "compression": "jpeg",
                "compressionargs": {"level": 95},
            }
            file.write(level, description=about, metadata=None, **options)
    with openslide.OpenSlide(folder / "x.svs") as slide:
        size = slide.level_dimensions[1]
        rgb = [slide.read_region((0, 0), n, slide.level_dimensions[n]) for n in range(2)]
        assert slide.level_downsamples[1] != 4
        assert size == (325, 256)
    return Made(folder / "x.svs", [np.asarray(one)[..., :3] for one in rgb], "slide", 2, (0.5, 0.5), "micrometer")


MAKERS: dict[str, Callable[[Path], Made]] = {
    "bigtiff-pyramid": bigtiff_pyramid,
    "ome-tiff-pyramid": ome_tiff,
    "strips": plain("x.tif", SMOOTH, SMOOTH, photometric="rgb", rowsperstrip=10, compression="lzw"),
    "one-piece": plain("x.tif", SMOOTH, SMOOTH, photometric="rgb"),
    "planar": plain("x.tif", SMOOTH.transpose(2, 0, 1), SMOOTH, photometric="rgb", planarconfig="separate", **TILED),
    "sixteen-bits": plain("x.tif", GREY16, GREY16, photometric="minisblack", byteorder=">", rowsperstrip=9),
    "sixteen-bits-tiled": plain("x.tif", GREY16[..., 0], GREY16, byteorder=">", predictor=True, **TILED),
    "floats": plain("x.tif", SMOOTH / np.float32(255), SMOOTH / np.float32(255), photometric="rgb", **TILED),
    "bands": plain("x.tif", BANDS, BANDS, photometric="minisblack", planarconfig="contig", rowsperstrip=5),
    "tiff-volume": plain("x.tif", VOLUME[..., 0], VOLUME, 3, photometric="minisblack", **TILED),
    "geotiff": geotiff,
    "ome-zarr-0.4": ome_zarr("0.4"),
    "ome-zarr-0.5": ome_zarr("0.5"),
    "zarr-channels-last": zarr_array(SMOOTH),
    "zarr-channels-first": zarr_array(SMOOTH.transpose(2, 0, 1)),
    "zarr-named": zarr_array(SMOOTH.transpose(1, 2, 0), ("x", "c", "y")),
    "npy": npy(SMOOTH, 2),
    "npy-grey": npy(GREY16[..., 0], 2),
    "npy-signal": npy(RNG.normal(size=(4000, 2)), 1),
    "npy-volume": npy(VOLUME, 3),
    "nifti": nifti("int16", ".nii", False),
    "nifti-gz": nifti("uint8", ".nii.gz", False),
    "nifti-channels": nifti("float32", ".nii", True),
    "wfdb": record,
    "slide": aperio,
}
