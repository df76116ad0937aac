"""Which reader opens a file, and what tells one file from another."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

from everywindow.errors import InputError
from everywindow.io.source import Source

FORMATS = (
    "zarr",
    "npy",
    "nifti",
    "signal",
    "slide",
    "raster",
    "tiff",
    "picture",
)
"""Files of ``formats``, in the order in which they are asked whether they open a path."""


def open_source(path: str | os.PathLike[str], channels: int, axes: int) -> Source:
    """An image file of any kind and size, opened for reading by boxes.

    Args:
        path: a picture, TIFF, slide, GeoTIFF, zarr or OME-Zarr directory, ``.npy``, NIfTI or WFDB record.
        channels: what the classifier takes: pictures are read as grey or RGB, and arrays without names of axes are
            understood, by it.
        axes: number of spatial axes.

    Raises:
        InputError: no such file, or not an image of so many axes that can be read.
        DependencyError: the library that reads it is not installed.
    """
    given = Path(path)
    found: Source = _format(given).source(given, channels, axes)
    return found


def identity(path: str | os.PathLike[str]) -> dict[str, str | int]:
    """What tells one image from another of the same name: bytes in all its files, and their SHA-256.

    Of several files, names and sizes go into the sum too, in the order of names.

    Raises:
        InputError: no such file.
    """
    given = Path(path)
    files = list(_files(given))
    size, digest = 0, hashlib.sha256()
    for name, file in files:
        if len(files) > 1:
            digest.update(f"{name}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                size += len(block)
                digest.update(block)
    return {"size": size, "sha256": digest.hexdigest()}


def _format(path: Path) -> ModuleType:
    """The first format that opens the path."""
    for name in FORMATS:
        module = import_module(f"everywindow.io.formats.{name}")
        if module.opens(path):
            if name == "picture":
                _check_there(path)
            return module
    raise AssertionError("pictures open everything")


def _check_there(path: Path) -> None:
    if path.is_dir():
        raise InputError(str(path), "is a directory without an image", "give an image file, or a zarr directory")
    if not path.exists():
        raise InputError(str(path), "no such file", "check the name")


def _files(path: Path) -> Iterator[tuple[str, Path]]:
    """Each file and its name within the image, in the order of names."""
    module = _format(path)
    listed = module.files(path) if hasattr(module, "files") else [path]
    for one in sorted(listed):
        inside = sorted(file for file in one.rglob("*") if file.is_file()) if one.is_dir() else [one]
        for file in inside:
            yield file.relative_to(one).as_posix() if one.is_dir() else one.name, file
