"""The modes on several images: those of a folder or a list."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from everywindow.comparing.asked import Asked
from everywindow.comparing.maps import read_for
from everywindow.comparing.one import compare_one, grid_for
from everywindow.errors import InputError
from everywindow.io import Image, image_files
from everywindow.report import Comparison, Skipped, in_all, off

ARGUMENTS = ("pad", "scale")
"""What is at fault in these is so for every image."""


def listed(images: Any) -> list[Any] | None:
    """The images of a list or a folder, or of folders in a list; None where it is one image.

    Raises:
        InputError: there are none.
    """
    if isinstance(images, (list, tuple)):
        if not images:
            raise InputError("image", "the list is empty", "give one or more images")
        return [one for image in images for one in _files(image) or [image]]
    return _files(images)


def _files(image: Any) -> list[Any] | None:
    """Those of a folder; None where it is none."""
    is_folder = isinstance(image, (str, os.PathLike)) and Path(image).is_dir()
    return list(image_files(image)) if is_folder else None


def compare_several(
    asked: Asked,
    images: Sequence[Any],
    strict: bool = False,
    on_image: Callable[[Comparison], None] | None = None,
) -> Comparison:
    """All modes on each image. Those that cannot be used are left out, and listed.

    Maps are large: but for those of the image that is farthest off they are gone after ``on_image``.

    Raises:
        InputError: none can be used; with ``strict`` one cannot.
    """
    done: list[Comparison] = []
    skipped: list[Skipped] = []
    farthest: Comparison | None = None
    for number, image in enumerate(images, start=1):
        name = os.fspath(image) if isinstance(image, (str, os.PathLike)) else f"image {number}"
        read = _read(asked, image, name, skipped, strict)
        if read is None:
            continue
        found = compare_one(asked, read, name)
        asked = _without(asked, found)
        farthest = found if farthest is None or off(found) > off(farthest) else farthest
        done.append(replace(found, maps={}, left_out=found.left_out or (done[0].left_out if done else ())))
        if on_image is not None:
            on_image(found)
    if not done:
        why = f"none of {len(images)} can be used, the first because: {skipped[0]}"
        raise InputError("image", why, "give images that the classifier can take")
    return in_all(done, skipped, farthest)


def _read(asked: Asked, image: Any, name: str, skipped: list[Skipped], strict: bool) -> Image | None:
    """An image that has windows; else None, and why in ``skipped``."""
    try:
        read = read_for(asked.known, image, asked.pad, asked.scale, asked.raw)
        grid_for(asked, read)
    except InputError as error:
        if error.what in ARGUMENTS:
            raise
        if strict:
            raise InputError(name, _why(error, name), error.remedy) from error
        skipped.append(Skipped(name, _why(error, name)))
        return None
    return read


def _why(error: InputError, name: str) -> str:
    why = error.why if error.what in (name, "image") else f"{error.what}: {error.why}"
    return f"{why}; {error.remedy}" if "raw=" in error.remedy else why


def _without(asked: Asked, found: Comparison) -> Asked:
    """Modes that cannot run on one image are not tried on the next."""
    out = {each.mode for each in found.left_out}
    return replace(asked, modes=tuple(mode for mode in asked.modes if mode not in out)) if out else asked
