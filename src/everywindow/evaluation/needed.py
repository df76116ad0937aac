"""Libraries that only the figures about boxes need."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from everywindow.errors import DependencyError

PACKAGES = {"pycocotools": "pycocotools.cocoeval", "scikit-learn": "sklearn.metrics"}


def check_needed() -> None:
    """See before a long run that both are there.

    Raises:
        DependencyError: one is not.
    """
    for package in PACKAGES:
        needed(package)


def needed(package: str) -> Any:
    """The part of a library that is used here.

    Raises:
        DependencyError: it is not installed, or broken.
    """
    try:
        return import_module(PACKAGES[package])
    except ImportError as error:
        absent = isinstance(error, ModuleNotFoundError) and (error.name or "") in PACKAGES[package]
        why = "not installed, and figures about boxes need it" if absent else f"cannot be imported ({error})"
        raise DependencyError(package, why, "pip install 'everywindow[evaluate]', or leave boxes= out") from error
