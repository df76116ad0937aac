"""Files and directories that are complete or absent, never half written."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from everywindow.errors import InputError


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A scratch path that takes the place of ``path`` when the block ends without an error.

    It has the name, and so the suffix, of ``path``, in a new folder beside it. Write a file or make a
    directory there; a directory replaces a directory as a whole. After an error nothing is left, and what
    was at ``path`` before still is.

    Raises:
        InputError: ``path`` cannot be written.

    >>> folder = tempfile.mkdtemp()
    >>> with atomic_path(Path(folder) / "map.txt") as scratch:
    ...     _ = scratch.write_text("whole")
    >>> os.listdir(folder)
    ['map.txt']
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name[:40]}.", dir=target.parent))
    except OSError as error:
        raise _unwritable(target, error) from error
    try:
        yield folder / target.name
        _exchange(folder, target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def atomic_file(path: str | os.PathLike[str]) -> AbstractContextManager[Path]:
    """:func:`atomic_path` for a file, which takes no folder's place.

    Raises:
        InputError: a folder is there, or ``path`` cannot be written.
    """
    if Path(path).is_dir():
        raise InputError(str(path), "is a folder", "give the name of a file")
    return atomic_path(path)


def _exchange(folder: Path, target: Path) -> None:
    """Move the new one into place; the old one comes back if that fails."""
    new, old = folder / target.name, folder / "old"
    old = old if old != new else folder / "older"
    try:
        if target.is_dir():
            os.replace(target, old)
        try:
            os.replace(new, target)
        except OSError:
            if old.exists():
                os.replace(old, target)
            raise
    except OSError as error:
        raise _unwritable(target, error) from error


def _unwritable(target: Path, error: OSError) -> InputError:
    return InputError(str(target), f"cannot be written ({error.strerror or error})", "choose another place")
