"""Which reader opens a file, and what tells one file from another."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

from everywindow.errors import InputError
from everywindow.io.files import is_image_name
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


def stamp(path: str | os.PathLike[str]) -> tuple[tuple[str, int, int, int], ...]:
    """What changes when an image's files are written to: names, sizes, times and places on the disk.

    Raises:
        InputError: no such file.
    """
    facts = [(name, file.stat()) for name, file in _files(Path(path))]
    return tuple((name, one.st_size, one.st_mtime_ns, one.st_ino) for name, one in facts)


def is_image_folder(path: str | os.PathLike[str]) -> bool:
    """Whether a folder is itself an image, as zarr and OME-Zarr are."""
    given = Path(path)
    return given.is_dir() and _named_format(given) is not None


def scannable_files(folder: str | os.PathLike[str]) -> tuple[Path, ...]:
    """Images in a folder and its subfolders, by their names; what they hold is not looked at.

    Hidden ones are left out. Folders that are images are not entered.

    Raises:
        InputError: there are none.
    """
    root = Path(folder)
    found: list[Path] = []
    within: set[Path] = set()
    for path in sorted(root.rglob("*")):
        if any(part.startswith(".") for part in path.relative_to(root).parts) or within & {*path.parents}:
            continue
        module = _named_format(path)
        if path.is_dir():
            if module is not None:
                within.add(path)
                found.append(path)
        elif module is not None or is_image_name(path.name):
            found.append(path)
            within.update(_companions(path, module))
    if not found:
        raise InputError(str(folder), "a folder without images", "give one with pictures, TIFF, slides or zarr")
    return tuple(path for path in found if path not in within or path.is_dir())


def _companions(path: Path, module: ModuleType | None) -> set[Path]:
    """Further files of the same image."""
    return {*module.files(path)} - {path} if module is not None and hasattr(module, "files") else set()


def _named_format(path: Path) -> ModuleType | None:
    """The format that opens the path for its name or its first bytes; None where only pictures' reader is left."""
    modules = (import_module(f"everywindow.io.formats.{name}") for name in FORMATS[:-1])
    return next((module for module in modules if module.opens(path)), None)


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
