"""The folder in which a result is made before it appears as a whole: one run's alone, and tidied up after a crash."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from everywindow.errors import InputError
from everywindow.run.locks import hold
from everywindow.run.manifest import TILES, sync_folder

LOCK, OLD, NEW = "lock", "old", "new"
"""Names in the folder: the lock, the result that is replaced, and the one that is made."""


def tidy(out: Path) -> None:
    """Put back what a run had set aside that was killed before its own result was in place; remove what it had made.

    Raises:
        InputError: that run is alive.
    """
    if _folder(out).exists():
        with making(out):
            pass


@contextmanager
def making(out: Path) -> Iterator[Path]:
    """A folder beside ``out``, nobody else's; it is gone afterwards, and what was set aside in it is back.

    Raises:
        InputError: another run makes the same result, or it cannot be written there.
    """
    folder = _folder(out)
    handle = _held(folder, out)
    try:
        _clear(folder, out)
        yield folder
    finally:
        try:
            _clear(folder, out)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(handle)


def put(folder: Path, out: Path, overwrite: bool) -> None:
    """Move the result that was made to its place; what was there goes, if it may and nobody works on it.

    Raises:
        InputError: another run works on what is there, or has put it there meanwhile.
    """
    if not out.exists():
        os.rename(folder / NEW, out)
    elif not overwrite:
        raise InputError(str(out), "another run has made it meanwhile", "choose another name, or --overwrite")
    elif (out / TILES).exists():
        handle = hold(out / TILES, out)
        try:
            _exchange(folder, out)
        finally:
            os.close(handle)
    else:
        _exchange(folder, out)
    sync_folder(out.parent)


def _exchange(folder: Path, out: Path) -> None:
    os.rename(out, folder / OLD)
    os.rename(folder / NEW, out)


def _folder(out: Path) -> Path:
    """By the name of the result alone, so that the next run finds it; names may be as long as the system's longest."""
    return out.parent / f".{out.name[:40]}.{hashlib.sha256(os.fsencode(out.name)).hexdigest()[:8]}.begun"


def _held(folder: Path, out: Path) -> int:
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            return hold(folder / LOCK, out)
        except FileNotFoundError:  # the run before has just removed it
            continue


def _clear(folder: Path, out: Path) -> None:
    if (folder / OLD).exists() and not out.exists():
        os.rename(folder / OLD, out)
    for name in (OLD, NEW):
        shutil.rmtree(folder / name, ignore_errors=True)
