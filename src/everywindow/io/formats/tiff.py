"""TIFF, BigTIFF and OME-TIFF, read by tiles or strips, with their levels."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from everywindow.errors import InputError
from everywindow.io.files import PHOTOMETRIC
from everywindow.io.formats import picture
from everywindow.io.formats.sliced import CHANNEL, SlicedSource, levels_by_size, native, roles_of, sizes
from everywindow.io.reading import is_installed, library, opening
from everywindow.io.source import Placement, Source
from everywindow.io.units import in_micrometers

SUFFIXES = (".tif", ".tiff", ".btf", ".tf2", ".tf8")
MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
WITHOUT_CODECS = ("NONE", "ADOBE_DEFLATE", "DEFLATE")
"""Compressions that tifffile reads by itself."""

PAGES = "iqr"
"""Names that tifffile gives to an axis of pages of which the file does not tell what they are."""


def opens(path: Path) -> bool:
    """By its suffix and its first bytes."""
    if path.suffix.lower() not in SUFFIXES or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) in MAGIC


def source(path: Path, channels: int, axes: int) -> Source:
    """The first image of the file; where it cannot be sliced (a palette, CMYK), Pillow decodes it as a whole.

    A tile or strip is the least that is decoded, so large strips take memory of their size.

    Raises:
        InputError: not an image of so many axes, or one that must be decoded as a whole and is too large for it.
    """
    from tifffile import TiffFile

    with ExitStack() as stack:
        with opening(str(path), "give an intact TIFF"):
            file = stack.enter_context(TiffFile(path))
            series = file.series[0]
            page = series.keyframe
        why = _unsliceable(page)
        if why:
            stack.close()
            return _whole(path, channels, axes, page, why)
        with opening(str(path), "give an intact TIFF"):
            found = _sliced(path, file, series, axes, stack)
        return replace(found, closing=stack.pop_all().close)


def _unsliceable(page: Any) -> str | None:
    """Why the pixels, as they are stored, are not those of the image."""
    if page.photometric.name not in PHOTOMETRIC and not _is_jpeg_colour(page):
        return f"holds {page.photometric.name} values"
    if page.dtype is None or page.bitspersample < 8:
        return f"has {page.bitspersample} bits per value"
    orientation = page.tags.get("Orientation")
    if orientation is not None and orientation.value != 1:
        return "is stored turned or mirrored"
    if page.compression.name not in WITHOUT_CODECS and not is_installed("imagecodecs"):
        return f"is compressed by {page.compression.name}, which takes imagecodecs (pip install 'everywindow[slides]'),"
    return None


def _is_jpeg_colour(page: Any) -> bool:
    """Colours that the codec itself turns into RGB."""
    return page.photometric.name == "YCBCR" and "JPEG" in page.compression.name


def _whole(path: Path, channels: int, axes: int, page: Any, why: str) -> Source:
    import PIL.Image

    most = PIL.Image.MAX_IMAGE_PIXELS
    if most is not None and page.imagewidth * page.imagelength > most:
        if "imagecodecs" in why:
            library("imagecodecs", "slides", str(path))
        remedy = "convert it to upright grey or RGB, tiled: gdal_translate, vips or tifffile do so"
        raise InputError(str(path), f"{why} and is too large to decode as a whole", remedy)
    return picture.source(path, channels, axes)


def _sliced(path: Path, file: Any, series: Any, axes: int, stack: ExitStack) -> SlicedSource:
    names = _names(path, series, axes)
    roles = roles_of(names, _counted(names, series.shape), axes, str(path))
    arrays = tuple(_array(path, file, level, stack) for level in series.levels)
    kinds = [k for k in series.keyframe.extrasamples if k != 0]  # 0 is no alpha but of unknown meaning
    bands = series.shape[roles.index(CHANNEL)] if CHANNEL in roles else 1
    if kinds and "s" in names and bands > len(kinds):
        warnings.warn(f"{path}: transparency is dropped", UserWarning, stacklevel=5)
        bands -= len(kinds)
    levels = levels_by_size([sizes(level.shape, roles) for level in series.levels])
    kind = "ome-tiff" if file.is_ome else "tiff"
    placement = _placement(file, axes) if file.is_ome else Placement()
    return SlicedSource(str(path), kind, arrays, roles, levels, bands, native(series.dtype), placement)


def _names(path: Path, series: Any, axes: int) -> tuple[str, ...]:
    """Names of axes; pages are the depth of a volume, and of them as pictures the first is taken."""
    names = tuple(series.axes.lower())
    pages = [name for name in names if name in PAGES]
    if axes == 3 and "z" not in names and len(pages) == 1:
        return tuple("z" if name in PAGES else name for name in names)
    if any(series.shape[names.index(name)] > 1 for name in pages):
        warnings.warn(f"{path}: has several frames, the first is read", UserWarning, stacklevel=6)
    return names


def _counted(names: Sequence[str], shape: Sequence[int]) -> tuple[int, ...]:
    """Extents, of which pages count as one."""
    return tuple(1 if name in PAGES else size for name, size in zip(names, shape, strict=True))


def _array(path: Path, file: Any, level: Any, stack: ExitStack) -> Any:
    """Where values lie in one piece as they are, a memory map; else tiles or strips, decoded as they are needed."""
    if level.dataoffset is not None and not level.is_multifile:
        dtype = np.dtype(level.dtype).newbyteorder(file.byteorder)
        return np.memmap(path, dtype, "r", level.dataoffset, level.shape)
    import zarr

    store = level.aszarr(level=0)
    stack.callback(store.close)
    return zarr.open_array(store, mode="r")


def _placement(file: Any, axes: int) -> Placement:
    """Spacing as the OME header tells; a TIFF's own resolution is that of a print."""
    root = ElementTree.fromstring(file.ome_metadata)
    pixels = next((node for node in root.iter() if node.tag.rpartition("}")[2] == "Pixels"), None)
    if pixels is None:
        return Placement()
    found = []
    for name in "ZYX"[-axes:]:
        value = pixels.get(f"PhysicalSize{name}")
        factor = in_micrometers(pixels.get(f"PhysicalSize{name}Unit", "µm"))
        if value is None or factor is None:
            return Placement()
        found.append(float(value) * factor)
    return Placement(tuple(found), "micrometer")
