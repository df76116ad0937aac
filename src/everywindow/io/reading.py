"""What readers of files have in common: libraries that may be absent, and errors that name the file and the place."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from everywindow.errors import DependencyError, EverywindowError, InputError
from everywindow.io.source import Box


def library(name: str, extra: str, path: str) -> Any:
    """A library that reads some kind of file.

    Raises:
        DependencyError: it is not installed, or broken; the extra that brings it is named.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # those of its own imports are no one's here
            return import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        absent = isinstance(error, ModuleNotFoundError) and error.name == package
        why = (
            f"reads {path}, and is not installed"
            if absent
            else f"reads {path}, and cannot be imported ({short(error)})"
        )
        raise DependencyError(package, why, f"pip install 'everywindow[{extra}]'") from error


def is_installed(name: str) -> bool:
    """Whether a library can be imported."""
    try:
        library(name, "", "")
    except DependencyError:
        return False
    return True


def short(error: BaseException) -> str:
    """What an error says, in a few words."""
    return " ".join(str(error).split())[:120] or type(error).__name__


@contextmanager
def opening(path: str, remedy: str) -> Iterator[None]:
    """Whatever a library raises on a file that it cannot open, the file is at fault."""
    try:
        yield
    except (EverywindowError, MemoryError, Warning):
        raise
    except Exception as error:
        raise InputError(path, f"cannot be read ({short(error)})", remedy) from error


@contextmanager
def reading(path: str, box: Box, level: int) -> Iterator[None]:
    """Whatever a library raises on a damaged part of a file, the error names the file and the part."""
    try:
        yield
    except (EverywindowError, MemoryError, Warning):
        raise
    except Exception as error:
        where = " × ".join(f"{start}:{stop}" for start, stop in box)
        why = f"damaged or cut short in the box {where} of level {level} ({short(error)})"
        raise InputError(path, why, "give an intact image") from error
