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
    return tuple(_summed(name, group) for name, group in _groups(rows, depth).items())


def _groups(rows: Sequence[LayerCost], depth: int) -> dict[str, list[LayerCost]]:
    groups: dict[str, list[LayerCost]] = {}
    for row in rows:
        groups.setdefault(".".join(module_path(row.layer).split(".")[:depth]), []).append(row)
    return groups


def grouped(rows: Sequence[LayerCost], most: int) -> tuple[LayerCost, ...]:
    """At most so many rows: the layers themselves, or sums over modules as deep as that allows.

    Where even the outermost modules are more, neighbours go together. A sum is of the family that has the most of its
    mult-adds.
    """
    if len(rows) <= most:
        return tuple(rows)
    deepest = max(module_path(row.layer).count(".") for row in rows) + 1
    for depth in range(deepest, 0, -1):
        groups = list(_groups(rows, depth).items())
        if len(groups) <= most:
            return tuple(_told(name, group) for name, group in groups)
    together = -(-len(groups) // most)
    joined = (groups[at : at + together] for at in range(0, len(groups), together))
    return tuple(
        _told(_span([name for name, _ in some]), [row for _, group in some for row in group]) for some in joined
    )


def _told(name: str, group: Sequence[LayerCost]) -> LayerCost:
    return replace(_summed(name, group), family=max(group, key=lambda row: row.macs).family)


def _span(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"


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
