"""Pictures that are decoded as a whole, by Pillow: PNG, JPEG and their like."""

from __future__ import annotations

from pathlib import Path

from everywindow.io.files import read_file
from everywindow.io.source import ArraySource, Source


def opens(path: Path) -> bool:
    """The last that is asked: its errors say what a file is not."""
    return True


def source(path: Path, channels: int, axes: int) -> Source:
    """The pixels as :func:`everywindow.scan` takes them from a file."""
    pixels = read_file(path, channels, axes)
    return ArraySource(pixels if pixels.ndim > axes else pixels[..., None], str(path), "picture")
