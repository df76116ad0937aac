"""Python's arguments as options of the command line."""

from __future__ import annotations

import re

from everywindow.errors import EverywindowError, InputError

ARGUMENTS = (
    *(
        "angles",
        "boxes",
        "classes",
        "depth",
        "device",
        "dtype",
        "image_size",
        "memory",
        "mode",
        "out",
        "output",
        "overlaps",
    ),
    *(
        "modes",
        "overwrite",
        "pad",
        "predict",
        "protocols",
        "raw",
        "reductions",
        "resize",
        "samples",
        "scale",
        "scales",
        "seed",
        "shifts",
        "small",
        "strict",
    ),
    *("stride", "trust", "weights", "window", "zooms"),
)
CALLED = {"threshold": "boxes"}
"""Arguments whose options have other names."""

_BOTH = re.compile(r"\w+=True \((--[\w-]+)\)")
_GIVEN = re.compile(rf"(?<![^\s(])({'|'.join(ARGUMENTS)})=(?!\.\.\.)([^\s,;)]*)")


def as_options(text: str) -> str:
    """A message with the names that the command line has for what it speaks of.

    >>> as_options("enlarge it with scale=, or give trust=True (--trust), or mode='crops'")
    'enlarge it with --scale, or give --trust, or --mode crops'
    """
    return _GIVEN.sub(_option, _BOTH.sub(r"\1", text))


def error_text(error: EverywindowError) -> str:
    """An error's line. Names of files and layers in it stay as they are."""
    what = _dashed(CALLED.get(error.what, error.what)) if is_option(error) else error.what
    return f"{what}: {as_options(error.why)}; {as_options(error.remedy)}"


def is_option(error: EverywindowError) -> bool:
    """Whether the value of an option is at fault."""
    return isinstance(error, InputError) and (error.what in ARGUMENTS or error.what in CALLED)


def _option(found: re.Match[str]) -> str:
    name, value = found.groups()
    shown = "" if value == "True" else value.strip("'\"")
    return f"{_dashed(name)} {shown}".rstrip()


def _dashed(name: str) -> str:
    return "--" + name.replace("_", "-")
