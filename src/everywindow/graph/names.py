"""Names that may stand in the code that is made of a graph: a file can hold any, and no code must come from it."""

from __future__ import annotations

from torch import fx

FORBIDDEN = frozenset("\"'\\")
"""With these a name ends the text that it stands in."""


def is_plain(name: object) -> bool:
    """Whether a name of a weight or layer can stand between quotation marks.

    >>> is_plain("features.0.weight"), is_plain('a", print(1), "')
    (True, False)
    """
    return isinstance(name, str) and name.isprintable() and not FORBIDDEN & set(name)


def first_odd_name(graph: fx.Graph) -> str | None:
    """The first name in a graph that cannot stand in its code; None where all can."""
    for node in graph.nodes:
        plain = not isinstance(node.target, str) or is_plain(node.target)
        named = node.name.isidentifier() and all(str(key).isidentifier() for key in node.kwargs)
        if not (plain and named):
            return str(node.target)
    return None
