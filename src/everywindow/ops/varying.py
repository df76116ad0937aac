"""Constants that vary over the window's positions: position embeddings, masks, ramps.

Along each axis their longest run of equal slices is the body: what comes before it depends on where the window starts,
what comes after on where it ends. Where the slices change is noted at the constant's node (:data:`CHANGES`) from its
values; whoever holds the graph notes it anew when they change. What runs checks it once more, on the values it gets.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import numpy as np
import torch
from torch import Tensor, fx

from everywindow.errors import EverywindowError
from everywindow.geometry import Dim, Positions, Value, space_axes
from everywindow.ops.places import Laying, Places
from everywindow.ops.rule import Call, NotShared, Shape, shape_of

CHANGES = "changes"
"""Metadata of a constant's node: per dimension the positions whose slice differs from the one before."""

VARIES = "a constant varies over the window's positions"


def changes(constant: Tensor) -> tuple[tuple[int, ...], ...]:
    """Per dimension, the positions whose slice differs from the one before.

    >>> changes(torch.tensor([[0.0, 1.0, 1.0], [0.0, 2.0, 2.0]]))
    ((1,), (1,))
    """
    return tuple(_changes_along(constant, dim) for dim in range(constant.ndim))


def _changes_along(constant: Tensor, dim: int) -> tuple[int, ...]:
    size = constant.shape[dim]
    if size < 2:
        return ()
    differs = _differ(constant.narrow(dim, 1, size - 1), constant.narrow(dim, 0, size - 1))
    found: list[int] = differs.movedim(dim, 0).reshape(size - 1, -1).any(1).nonzero().flatten().tolist()
    return tuple(at + 1 for at in found)


def _differ(a: Tensor, b: Tensor) -> Tensor:
    """Where values differ; 0 and -0 do, for one over them does."""
    differs = a != b
    return differs | (a.signbit() != b.signbit()) if a.is_floating_point() else differs


def varying(call: Call, layout: tuple[Dim, ...]) -> list[tuple[fx.Node, int]]:
    """The constants that vary over positions of an output with this layout, each with such a dimension of it.

    Raises:
        NotShared: one is not broadcast to the output.
    """
    nodes = dict.fromkeys(node for node in call.node.all_input_nodes if call.is_constant(node) and "shape" in node.meta)
    shapes = {node: padded(shape_of(node), len(layout)) for node in nodes}
    if not all(_is_broadcast(shape, call.shape) for shape in shapes.values()):
        raise NotShared(VARIES)
    return [
        (node, dim)
        for node, shape in shapes.items()
        for dim, size in enumerate(shape)
        if size > 1 and space_axes((layout[dim],))
    ]


def _is_broadcast(shape: Shape, to: Shape) -> bool:
    return len(shape) == len(to) and all(size in (1, whole) for size, whole in zip(shape, to, strict=True))


def padded(shape: Shape, rank: int) -> Shape:
    """A shape with sizes of 1 in front, as broadcasting adds them."""
    return (1,) * (rank - len(shape)) + shape


def with_varying(call: Call, value: Value) -> Value:
    """The output's record, where constants have made positions the window's own.

    Raises:
        NotShared: no axis has a body left.
    """
    found = varying(call, value.layout)
    for node, dim in found:
        axis = space_axes((value.layout[dim],))[0]
        value = value.with_axis(axis, value.axis(axis).varied(_changes_of(node, dim - len(value.layout))))
    if found and not any(value.axis(axis).shared for axis in value.mapped):
        raise NotShared(VARIES)
    return value.because(call.because(VARIES)) if found else value


def _changes_of(node: fx.Node, dim: int) -> tuple[int, ...]:
    """Where slices change along a dimension counted from behind; everywhere, where that has not been noted."""
    known = node.meta.get(CHANGES)
    return tuple(range(1, shape_of(node)[dim])) if known is None else known[dim]


class Laid:
    """A constant laid out along the rows of shared positions: each gets what its place in the window has.

    Args:
        layer: the layer that reads it.
        rows: the dimensions over which it varies, counted from behind, and the rows there.
    """

    def __init__(self, layer: str, rows: Mapping[int, Positions]) -> None:
        self.layer, self.rows = layer, rows
        insides = {dim: np.maximum(row.owners()[1], 0) for dim, row in rows.items()}
        self._insides = {dim: torch.from_numpy(inside) for dim, inside in insides.items()}

    def __call__(self, constant: Tensor) -> Tensor:
        """The constant's values for all positions of the rows.

        Raises:
            EverywindowError: windows share positions at which it no longer has equal values.
        """
        for dim, row in self.rows.items():
            body = constant.narrow(dim, row.head, row.body)
            if row.body and bool(_differ(body, body.narrow(dim, 0, 1)).any()):
                raise EverywindowError(self.layer, "a constant changed while windows were scored", "scan again")
            constant = constant.index_select(dim, self._insides[dim].to(constant.device))
        return constant

    def elements(self, shape: Shape) -> int:
        """Values of a constant of this shape, laid out."""
        lengths = dict(enumerate(shape, start=-len(shape)))
        return prod((lengths | {dim: row.length for dim, row in self.rows.items()}).values())


def laid_out(call: Call, places: Places, after: Value) -> Mapping[fx.Node, Laying]:
    """How to lay out each constant of a call that varies over positions."""
    rows = places.rows(after)
    along: dict[fx.Node, dict[int, Positions]] = {}
    for node, dim in varying(call, after.layout):
        row = rows[space_axes((after.layout[dim],))[0]]
        along.setdefault(node, {})[dim - len(after.layout)] = row
    return {node: Laid(call.layer, by_dim) for node, by_dim in along.items()}
