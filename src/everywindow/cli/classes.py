"""Names of classes on the command line."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import click

from everywindow.errors import InputError

if TYPE_CHECKING:
    from everywindow.api import Classifier

classes_option = click.option(
    "--classes", metavar="NAMES", help="A,B,C or a file with a name per line, in the order of the outputs."
)


def class_names(classes: str | None) -> list[str] | None:
    """Names in one word, or a file's lines.

    Raises:
        InputError: a file that cannot be read.
    """
    if classes is None:
        return None
    file = Path(classes)
    if not file.is_file():
        return [name.strip() for name in classes.split(",")]
    try:
        return [line.strip() for line in file.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(classes, f"cannot be read as text ({error})", "give a name per line in UTF-8") from error


def named(classifier: Classifier, classes: str | None) -> Classifier:
    """The classifier with other names, where they are given."""
    names = class_names(classes)
    return classifier if names is None else dataclasses.replace(classifier, classes=tuple(names))


def check_class(classifier: Classifier, klass: str | None) -> None:
    """See before any work whether there is such a class; without names the number of them is known later.

    Raises:
        InputError: no such class.
    """
    from everywindow.report import class_index

    if klass is not None:
        names = classifier.classes
        class_index(klass, names, None if names is None else len(names))
