"""The images of a folder."""

from __future__ import annotations

import os
from pathlib import Path

from everywindow.errors import InputError
from everywindow.io.files import is_image_name


def image_files(folder: str | os.PathLike[str]) -> tuple[Path, ...]:
    """Files in a folder and its subfolders whose suffix is that of an image, in the order of their names.

    What they hold is not looked at. Hidden files and folders are left out.

    Raises:
        InputError: there are none.
    """
    root = Path(folder)
    files = (file for file in root.rglob("*") if is_image_name(file.name) and file.is_file())
    found = sorted(file for file in files if not _is_hidden(file.relative_to(root)))
    if not found:
        raise InputError(str(folder), "a folder without images", "give one with PNG, JPEG, TIFF or .npy files")
    return tuple(found)


def _is_hidden(file: Path) -> bool:
    return any(part.startswith(".") for part in file.parts)
