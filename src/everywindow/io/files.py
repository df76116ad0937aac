"""Image files as arrays, by Pillow, with its limits against hostile files on."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import PIL.Image
from PIL import ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import BITSPERSAMPLE as BITS_PER_SAMPLE
from PIL.TiffImagePlugin import PHOTOMETRIC_INTERPRETATION, TiffImageFile

from everywindow.errors import InputError
from everywindow.io.arrays import grey
from everywindow.io.reading import short
from everywindow.io.turn import ORIENTATION, UPRIGHT, Turn

# PostScript and metafiles are programs and drawings, not pixels: they are not among them.
FORMATS = frozenset(
    {
        *("AVIF", "BMP", "DIB", "GIF", "ICO", "JPEG", "JPEG2000", "MPO"),
        *("PCX", "PNG", "PPM", "QOI", "SGI", "TGA", "TIFF", "WEBP"),
    }
)
MODES = {1: "L", 3: "RGB"}
SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N")
WIDE_FORMATS = ("PNG", "PPM")
"""Formats whose 32-bit integer images, as Pillow gives them, hold 16-bit values."""

TIFF_SUFFIXES = (".tif", ".tiff")
PHOTOMETRIC = ("MINISBLACK", "RGB")

PathLike = str | os.PathLike[str]


def read_file(path: PathLike, channels: int, ndim: int) -> np.ndarray:
    """The pixels of an image file (``[H, W]`` or ``[H, W, 3]``), or the array in an ``.npy`` file.

    Raises:
        InputError: no such file, not an image, cut short, too large, or not of the classifier's kind.
    """
    file = _regular_file(path)
    if file.suffix.lower() == ".npy":
        return _read_npy(file)
    if ndim != 2 or channels not in MODES:
        raise InputError(
            str(path),
            f"image files have 2 axes and 1 or 3 channels, the classifier takes {ndim} and {channels}",
            "give an array, or an .npy file with channels last",
        )
    try:
        return _guarded(
            file, lambda image: _read_tiff(file, channels) if _is_deep(image) else _pixels(image, channels, str(path))
        )
    except InputError as error:
        # Pillow knows no colours in floats.
        if file.suffix.lower() in TIFF_SUFFIXES and isinstance(error.__cause__, UnidentifiedImageError):
            return _read_tiff(file, channels)
        raise


def turn_of(path: PathLike) -> Turn | None:
    """How :func:`read_file` turns an image file; None where it does not, or where it cannot be read.

    Nothing but the file's head is read.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with _opened(path) as image:
                orientation = UPRIGHT if _is_deep(image) else int(image.getexif().get(ORIENTATION, UPRIGHT))
                width, height = image.size
                tiff = isinstance(image, TiffImageFile)
    except Exception:  # whatever Pillow's decoders raise: reading the file tells
        return None
    if orientation not in range(2, 9):
        return None
    shown = Turn(orientation, (height, width))
    return Turn(orientation, shown.shown) if tiff else shown  # of a TIFF, Pillow tells the size that is shown


def is_image_name(name: str) -> bool:
    """Whether a file's name ends as those of images do that :func:`read_file` reads.

    >>> is_image_name("cell.JPG"), is_image_name("labels.csv")
    (True, False)
    """
    suffix = Path(name).suffix.lower()
    return suffix == ".npy" or PIL.Image.registered_extensions().get(suffix) in FORMATS


def read_picture(path: PathLike) -> np.ndarray:
    """An image file as an 8-bit picture ``[H, W, 3]``, for people to look at.

    Raises:
        InputError: no such file, not an image, cut short or too large.
    """
    pixels = read_file(path, channels=3, ndim=2)
    if pixels.dtype == np.uint16:
        pixels = (pixels // 257).astype(np.uint8)
    elif pixels.dtype != np.uint8:
        pixels = (np.nan_to_num(pixels).clip(0, 1) * 255 + 0.5).astype(np.uint8)
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)


def convert(image: PIL.Image.Image, channels: int, what: str) -> np.ndarray:
    """An opened image as ``[H, W]`` or ``[H, W, 3]``: upright, without alpha, grey or RGB."""
    if channels not in MODES:
        raise InputError(
            what,
            f"pictures have 1 or 3 channels, the classifier takes {channels}",
            "give an array, channels last",
        )
    return _pixels(image, channels, what)


def _regular_file(path: PathLike) -> Path:
    file = Path(path)
    if file.is_dir():
        raise InputError(str(path), "is a directory", "give one image file")
    if not file.exists():
        raise InputError(str(path), "no such file", "check the name")
    if not file.is_file():
        raise InputError(str(path), "is not a regular file", "give an image file")
    return file


def _guarded(file: Path, use: Callable[[PIL.Image.Image], np.ndarray]) -> np.ndarray:
    """Open the image and use it; whatever Pillow's decoders raise on a damaged file, the file is at fault."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", PIL.Image.DecompressionBombWarning)
            # Not by its name: Pillow maps such files, and those of TIFF that are turned by a quarter come out garbled.
            with file.open("rb") as stream, _opened(stream) as image:
                return use(image)
    except (PIL.Image.DecompressionBombWarning, PIL.Image.DecompressionBombError) as error:
        raise InputError(
            str(file),
            f"has more than the {PIL.Image.MAX_IMAGE_PIXELS} pixels that are safe to read",
            "if you trust the file, raise PIL.Image.MAX_IMAGE_PIXELS, or give an array",
        ) from error
    except UnidentifiedImageError as error:
        raise InputError(str(file), "not an image that can be read", "give a PNG, JPEG or TIFF file") from error
    except (InputError, Warning):
        raise
    except Exception as error:
        why = short(error)
        raise InputError(str(file), f"damaged or cut short ({why})", "give an intact image") from error


def _opened(file: PathLike | BinaryIO) -> PIL.Image.Image:
    PIL.Image.init()
    return PIL.Image.open(file, formats=sorted(FORMATS & PIL.Image.OPEN.keys()))


def _is_deep(image: PIL.Image.Image) -> bool:
    """A TIFF with colours in more than 8 bits: Pillow keeps 8 of them, and where planes are apart the low ones."""
    if not isinstance(image, TiffImageFile) or image.mode not in ("RGB", "RGBA"):
        return False
    return bool(max(image.tag_v2.get(BITS_PER_SAMPLE, (8,))) > 8)


def _read_tiff(file: Path, channels: int) -> np.ndarray:
    """The first image of a TIFF that is grey or RGB, as the classifier's channels; alpha is left out."""
    from tifffile import TiffFile

    try:
        with TiffFile(file) as tiff:
            page = tiff.pages[0]
            colours = _colours(file, page)
            pixels: np.ndarray = page.asarray()
    except InputError:
        raise
    except Exception as error:
        why = short(error)
        raise InputError(
            str(file), f"not an image that can be read ({why})", "give a PNG, JPEG or TIFF file"
        ) from error
    if page.axes == "YX":
        return _with_channels(pixels, channels)
    pixels = np.moveaxis(pixels, 0, -1) if page.axes == "SYX" else pixels
    if colours < pixels.shape[-1]:
        warnings.warn(f"{file}: transparency is dropped", UserWarning, stacklevel=2)
        pixels = pixels[..., :colours]
    if colours == channels:
        return pixels
    return _with_channels(pixels[..., 0] if colours == 1 else grey(pixels), channels)


def _colours(file: Path, page: Any) -> int:
    """Channels without alpha; other kinds, and too large ones, are refused before memory is taken for them."""
    bands: int = page.shape[page.axes.index("S")] if "S" in page.axes else 1
    colours: int = bands - sum(kind != 0 for kind in page.extrasamples)  # 0 is no alpha but of unknown meaning
    if page.axes not in ("YX", "YXS", "SYX") or colours not in MODES or page.photometric.name not in PHOTOMETRIC:
        raise InputError(
            str(file),
            f"a TIFF of shape {page.shape} and {page.dtype} is neither grey nor RGB",
            "read it with tifffile.imread, and give an array, channels last",
        )
    most = PIL.Image.MAX_IMAGE_PIXELS
    if most is not None and math.prod(page.shape) > most * bands:
        raise InputError(str(file), f"has more than the {most} pixels that are safe to read", "give an array")
    return colours


def _pixels(image: PIL.Image.Image, channels: int, what: str) -> np.ndarray:
    if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
        rest = "as an image of any size (--out NAME.zarr) slides are read by level, and pages as a volume"
        warnings.warn(f"{what}: has several frames, the first is read; {rest}", UserWarning, stacklevel=2)
    if image.has_transparency_data:
        warnings.warn(f"{what}: transparency is dropped", UserWarning, stacklevel=2)
    source = image.format
    image.load()
    upright = ImageOps.exif_transpose(image)
    if upright.mode == "I" and source not in WIDE_FORMATS:
        raise InputError(what, "32-bit integers have no agreed range", "convert to 8 or 16 bits, or give an array")
    if upright.mode in ("I", *SIXTEEN_BIT):
        values = np.asarray(upright).astype(np.uint16)
        return _with_channels(65535 - values if _is_negative(image) else values, channels)
    if upright.mode == "F":
        return _with_channels(np.asarray(upright), channels)
    return np.array(_opaque(upright).convert(MODES[channels]))


def _is_negative(image: PIL.Image.Image) -> bool:
    """A TIFF in which white is 0: of 16 bits Pillow leaves it so, of 8 it does not."""
    return isinstance(image, TiffImageFile) and image.tag_v2.get(PHOTOMETRIC_INTERPRETATION) == 0


def _opaque(image: PIL.Image.Image) -> PIL.Image.Image:
    """Without alpha, by leaving it out: nothing is blended with a background."""
    straight = {"RGBa": "RGBA", "La": "LA", "PA": "RGBA"}.get(image.mode)
    image = image.convert(straight) if straight else image
    plain = {"RGBA": "RGB", "LA": "L", "P": "RGB"}.get(image.mode)
    image.info.pop("transparency", None)
    return image.convert(plain) if plain else image


def _with_channels(gray: np.ndarray, channels: int) -> np.ndarray:
    return gray if channels == 1 else np.repeat(gray[..., None], channels, axis=2)


def _read_npy(file: Path) -> np.ndarray:
    try:
        # Mapped, a header that promises more than the file holds is refused before memory is taken for it.
        mapped = np.load(file, mmap_mode="r", allow_pickle=False)
        if not isinstance(mapped, np.ndarray):
            raise ValueError("it is an archive of several arrays")
        return np.array(mapped)
    except Exception as error:
        why = short(error)
        raise InputError(str(file), f"not an array that can be read ({why})", "write it with numpy.save") from error
