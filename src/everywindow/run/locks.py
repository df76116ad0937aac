"""Locks that end with the process, however it ends."""

from __future__ import annotations

import os
from pathlib import Path

from everywindow.errors import InputError


def hold(file: Path, result: Path) -> int:
    """Open a file to read and to add to it, made where it is absent, and lock it; closing it gives the lock back.

    Raises:
        InputError: another run holds the lock, or the file cannot be opened.
    """
    while True:
        try:
            handle = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        except FileNotFoundError:
            raise
        except OSError as error:
            why = f"cannot be written ({error.strerror or error})"
            raise InputError(str(result), why, "choose another place") from error
        try:
            _lock(handle, result)
            # Whoever had the lock may have put another file in this one's place.
            if os.path.samestat(os.fstat(handle), os.stat(file)):
                return handle
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _lock(handle: int, result: Path) -> None:
    try:
        import fcntl
    except ImportError as error:  # Windows
        raise InputError(str(result), "this system has no locks of files", "scan on Linux or macOS") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise InputError(str(result), "another run is working on it", "wait for it, or give another name") from error
