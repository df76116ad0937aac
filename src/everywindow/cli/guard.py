"""What a command reads is not what it may write."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from everywindow.errors import InputError


def keep_inputs(
    outs: Iterable[str | Path], model: str, inputs: Iterable[str | None] = (), option: str = "--out"
) -> None:
    """See before any work that no output is one of the inputs, or lies in the model's bundle.

    Raises:
        InputError: names the output, and which of the inputs it would spoil.
    """
    home = _home(model)
    for out in map(Path, outs):
        if any(_same(out, Path(file)) for file in inputs if file is not None):
            raise InputError(str(out), "is the image or the weights to be read", f"give {option} another name")
        if _same(out, Path(model)) or (home is not None and _same(out, home)):
            raise InputError(str(out), "is the model itself", f"give {option} another name")
        if home is not None and home.resolve() in out.resolve().parents:
            raise InputError(
                str(out), f"lies in the bundle {home} of the model", f"give {option} a place outside of it"
            )


def _home(model: str) -> Path | None:
    """The folder of a bundle; None for other models."""
    path = Path(model)
    folder = path.parent if path.name == "config.json" and path.is_file() else path
    return folder if folder.is_dir() else None


def _same(one: Path, other: Path) -> bool:
    """Whether two paths that may not exist lead to the same file or folder, through links too."""
    return one.exists() and other.exists() and one.samefile(other)
