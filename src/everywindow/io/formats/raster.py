"""Georeferenced images, by rasterio."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from everywindow.errors import InputError
from everywindow.io.formats import tiff
from everywindow.io.formats.sliced import levels_by_size
from everywindow.io.reading import is_installed, library, opening, reading
from everywindow.io.source import Box, Placement, Source
from everywindow.io.units import unit_name

SUFFIXES = (".vrt", ".img", ".bil", ".ecw", ".kea", ".gpkg")
SHARED_SUFFIXES = (".jp2", ".png", ".jpg", ".jpeg", ".webp")
"""Of pictures too: they are read here where a file beside them, or their header, names a coordinate system."""
SIDECARS = (".aux.xml", ".ovr", ".msk")
EXTRA = "geo"
CACHE = 64 * 2**20
"""Bytes of decoded blocks that GDAL may keep; by default it takes a twentieth of the machine's memory."""


def opens(path: Path) -> bool:
    """By its suffix, or by a coordinate system."""
    suffix = path.suffix.lower()
    if not path.is_file():
        return False
    if suffix in SUFFIXES:
        return True
    if tiff.opens(path):
        return _has_geo_keys(path)
    beside = suffix in SHARED_SUFFIXES and (suffix == ".jp2" or path.with_name(path.name + SIDECARS[0]).is_file())
    return beside and is_installed("rasterio") and _has_crs(path)


def files(path: Path) -> list[Path]:
    """The file, and what GDAL reads beside it."""
    return [path, *(one for end in SIDECARS if (one := path.with_name(path.name + end)).is_file())]


def _has_geo_keys(path: Path) -> bool:
    from tifffile import TiffFile

    try:
        with TiffFile(path) as file:
            page: Any = file.pages[0]
            return bool(page.is_geotiff)
    except Exception:  # the TIFF reader will say what is wrong
        return False


def _has_crs(path: Path) -> bool:
    rasterio = library("rasterio", EXTRA, str(path))
    try:
        with _unplaced(rasterio), rasterio.open(path) as dataset:
            return dataset.crs is not None
    except rasterio.errors.RasterioError:
        return False


@contextmanager
def _unplaced(rasterio: Any) -> Iterator[None]:
    """That an image has no place is no news here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        yield


def source(path: Path, channels: int, axes: int) -> Source:
    """The bands without transparency; overviews are its levels."""
    if axes != 2:
        raise InputError(str(path), f"georeferenced images have 2 axes, not {axes}", "give another image")
    return RasterSource(str(path))


class RasterSource:
    """An image with a coordinate system. :meth:`valid` goes by its value for no data, its mask or its transparency."""

    format = "raster"
    physical = False

    def __init__(self, path: str) -> None:
        self.path = path
        self._library = library("rasterio", EXTRA, path)
        remedy = "give an image that GDAL reads"
        with ExitStack() as stack, opening(path, remedy), self._environment(), _unplaced(self._library):
            first = stack.enter_context(self._library.open(path))
            self._bands = _bands(path, first)
            overviews = range(len(first.overviews(1)))
            self._datasets = [first] + [
                stack.enter_context(self._library.open(path, overview_level=number)) for number in overviews
            ]
            self.levels = levels_by_size([dataset.shape for dataset in self._datasets])
            self.channels = len(self._bands)
            self.dtype: np.dtype[Any] = np.result_type(*(first.dtypes[band - 1] for band in self._bands))
            self.placement = _placement(first)
            self._masked = any(flags != [self._library.enums.MaskFlags.all_valid] for flags in first.mask_flag_enums)
            self._stack = stack.pop_all()

    def _environment(self) -> Any:
        return self._library.Env(GDAL_CACHEMAX=CACHE)

    def read(self, box: Box, level: int = 0) -> np.ndarray:
        """Values as they are stored."""
        with reading(self.path, box, level), self._environment():
            values = self._datasets[level].read(self._bands, window=self._window(box), out_dtype=self.dtype)
        bands_last: np.ndarray = np.moveaxis(values, 0, -1)
        return bands_last

    def valid(self, box: Box, level: int = 0) -> np.ndarray | None:
        """Where some band holds data; of floats and signed integers, where all do: else -9999 would be a brightness."""
        if not self._masked:
            return None
        dataset, window = self._datasets[level], self._window(box)
        with reading(self.path, box, level), self._environment():
            valid: np.ndarray = dataset.dataset_mask(window=window) > 0
            if self.dtype.kind in "fi":
                valid &= (dataset.read_masks(self._bands, window=window) > 0).all(0)
        return None if valid.all() else valid

    def close(self) -> None:
        """Let go of the file."""
        self._stack.close()

    def _window(self, box: Box) -> Any:
        (top, bottom), (left, right) = box
        return self._library.windows.Window(left, top, right - left, bottom - top)


def _bands(path: str, dataset: Any) -> list[int]:
    kinds = {kind.name for kind in dataset.colorinterp}
    for kind, remedy in (("palette", "gdal_translate -expand rgb"), ("cyan", "gdal_translate or an image editor")):
        if kind in kinds:
            raise InputError(path, f"has a band of {kind}, not of brightness", f"convert it to RGB: {remedy}")
    return [band for band, kind in zip(dataset.indexes, dataset.colorinterp, strict=True) if kind.name != "alpha"]


def _placement(dataset: Any) -> Placement:
    a, b, c, d, e, f = tuple(dataset.transform)[:6]
    crs = dataset.crs
    if crs is None:
        return Placement()
    linear = crs.is_projected
    return Placement(
        spacing=(math.hypot(b, e), math.hypot(a, d)) if linear else None,
        unit=unit_name(crs.linear_units) if linear else None,
        crs=crs.to_wkt(),
        transform=(a, b, c, d, e, f),
    )
