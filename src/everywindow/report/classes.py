"""Which class a name or a number stands for."""

from __future__ import annotations

import operator
from collections.abc import Sequence

from everywindow.errors import InputError


def class_index(klass: int | str, names: Sequence[str] | None, count: int | None) -> int:
    """Index of a class given by name or by index (names first; digits are read as an index).

    Args:
        klass: the class.
        names: of all classes, where they are known.
        count: how many classes there are, where that is known.

    Raises:
        InputError: no such class.

    >>> class_index("beat", ["noise", "beat"], 2), class_index("0", ["noise", "beat"], 2)
    (1, 0)
    """
    if isinstance(klass, str) and names is not None and klass in names:
        return _only_one(klass, names)
    try:
        index = int(klass) if isinstance(klass, str) else operator.index(klass)
    except (TypeError, ValueError):
        why = "no names are known" if names is None else f"it is none of {_few(names)}"
        raise InputError(f"class {klass!r}", why, "give a name of the classifier or an index") from None
    if index < 0 or (count is not None and index >= count):
        known = "" if count is None else f" to {count - 1}"
        why = "it is negative" if count is None else f"there are {count} classes"
        raise InputError(f"class {klass!r}", why, f"give an index from 0{known}")
    return index


def _only_one(name: str, names: Sequence[str]) -> int:
    found = [index for index, other in enumerate(names) if other == name]
    if len(found) > 1:
        why = f"it stands for the classes {', '.join(map(str, found))}"
        raise InputError(f"class {name!r}", why, "give the index of one of them")
    return found[0]


def _few(names: Sequence[str], limit: int = 8) -> str:
    return ", ".join(names[:limit]) + (", ..." if len(names) > limit else "")
