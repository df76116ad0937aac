"""Python's arguments as options of the command line."""

from __future__ import annotations

import re

from everywindow.errors import EverywindowError, InputError

ARGUMENTS = (
    *("boxes", "classes", "depth", "device", "dtype", "image_size", "memory", "mode", "out", "output", "overlaps"),
    *("pad", "predict", "protocols", "reductions", "resize", "samples", "scale", "scales", "seed", "small", "strict"),
    *("stride", "trust", "weights", "window"),
)
_GIVEN = re.compile(rf"(?<![^\s(])({'|'.join(ARGUMENTS)})=(?!\.\.\.)([^\s,;)]*)")


def as_options(text: str) -> str:
    """A message with the names that the command line has for what it speaks of.

    >>> as_options("enlarge it with scale=, or give trust=True (--trust), or mode='crops'")
    'enlarge it with --scale, or give --trust, or --mode crops'
    """
    return _GIVEN.sub(_option, text.replace("trust=True (--trust)", "--trust"))


def error_text(error: EverywindowError) -> str:
    """An error's line. Names of files and layers in it stay as they are."""
    is_option = isinstance(error, InputError) and error.what in ARGUMENTS
    what = _dashed(error.what) if is_option else error.what
    return f"{what}: {as_options(error.why)}; {as_options(error.remedy)}"


def _option(found: re.Match[str]) -> str:
    name, value = found.groups()
    shown = "" if value == "True" else value.strip("'\"")
    return f"{_dashed(name)} {shown}".rstrip()


def _dashed(name: str) -> str:
    return "--" + name.replace("_", "-")
