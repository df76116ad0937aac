"""Layers summed up by the modules that they are in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from everywindow.costing import LayerCost
from everywindow.errors import InputError


def by_module(rows: Sequence[LayerCost], depth: int) -> tuple[LayerCost, ...]:
    """One row for each module of that depth in the path, in the order of their first layers.

    What a module sees, and its output, are those of its last layer.

    Raises:
        InputError: the depth is no positive number.
    """
    if isinstance(depth, bool) or not isinstance(depth, int) or depth < 1:
        raise InputError("depth", f"{depth!r} is no number of 1 or more", "give 1 for the outermost modules")
    groups: dict[str, list[LayerCost]] = {}
    for row in rows:
        groups.setdefault(".".join(module_path(row.layer).split(".")[:depth]), []).append(row)
    return tuple(_summed(name, group) for name, group in groups.items())


def grouped(rows: Sequence[LayerCost], most: int) -> tuple[LayerCost, ...]:
    """At most so many rows: the layers themselves, or sums over modules as deep as that allows.

    Where even the outermost modules are more, neighbours go together.
    """
    found = tuple(rows)
    depth = max((module_path(row.layer).count(".") for row in rows), default=0) + 1
    while len(found) > most and depth:
        found = by_module(rows, depth)
        depth -= 1
    together = -(-len(found) // most)
    chunks = (found[at : at + together] for at in range(0, len(found), max(1, together)))
    return tuple(_summed(_span(chunk), chunk) for chunk in chunks)


def _span(group: Sequence[LayerCost]) -> str:
    first, last = group[0].layer, group[-1].layer
    return first if first == last else f"{first} to {last}"


def module_path(layer: str) -> str:
    """The module that a layer's name tells of.

    >>> module_path("features.24"), module_path("cat (in stage2.0)"), module_path("add (in forward)")
    ('features.24', 'stage2.0', 'forward')
    """
    _, inside, path = layer.partition(" (in ")
    return path.removesuffix(")") if inside else layer


def _summed(name: str, group: Sequence[LayerCost]) -> LayerCost:
    if len(group) == 1:
        return replace(group[0], layer=name)
    image: Counter[str] = Counter()
    for row in group:
        image.update(row.image_macs)
    families, hows = ({getattr(row, name) for row in group} for name in ("family", "how"))
    return replace(
        group[-1],
        layer=name,
        kind=f"{len(group)} layers",
        family=families.pop() if len(families) == 1 else "other",
        params=sum(row.params for row in group),
        macs=sum(row.macs for row in group),
        comparisons=sum(row.comparisons for row in group),
        additions=sum(row.additions for row in group),
        how=hows.pop() if len(hows) == 1 else "mixed",
        image_macs=dict(image),
    )
