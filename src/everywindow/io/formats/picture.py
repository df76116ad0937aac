"""Pictures that are decoded as a whole, by Pillow: PNG, JPEG and their like."""

from __future__ import annotations

from pathlib import Path

import PIL.Image
from PIL.Image import DecompressionBombError, DecompressionBombWarning

from everywindow.errors import InputError
from everywindow.io.files import read_file
from everywindow.io.source import ArraySource, Source


def opens(path: Path) -> bool:
    """The last that is asked: its errors say what a file is not."""
    return True


def source(path: Path, channels: int, axes: int) -> Source:
    """The pixels as :func:`everywindow.scan` takes them from a file.

    Raises:
        InputError: not an image of this kind, or too large to decode as a whole.
    """
    try:
        pixels = read_file(path, channels, axes)
    except InputError as error:
        if isinstance(error.__cause__, (DecompressionBombError, DecompressionBombWarning)):
            why = f"has more than the {PIL.Image.MAX_IMAGE_PIXELS} pixels that are decoded as a whole"
            raise InputError(str(path), why, "convert it to a tiled TIFF, for instance by vips") from error
        raise
    return ArraySource(pixels if pixels.ndim > axes else pixels[..., None], str(path), "picture")
