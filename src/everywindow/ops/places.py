"""What a rule is told, and gives, when a call is to run on values that the windows of a rectangle share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, fx

from everywindow.geometry import (
    Border,
    Indices,
    LocalOp,
    Misaligned,
    Positions,
    Stuffing,
    Upsampling,
    Value,
    is_space,
    slabs,
    space_axes,
    taken,
)
from everywindow.ops.aliasing import IN_PLACE, fills_first
from everywindow.ops.blocks import Flat, Moves
from everywindow.ops.form import axis_dim
from everywindow.ops.rule import Call, NotShared, Rule, Shape, shape_of

Rows = tuple[Positions, ...]
"""The positions of a value per spatial axis."""

Pick = LocalOp | Upsampling | Stuffing | Border
"""What makes every position of an output a copy of one of the input, or padding; of local ops those of one tap."""

_Op = TypeVar("_Op", LocalOp, Pick)

Environment = Mapping[fx.Node, Any]
"""The values computed so far, and the weights."""


class Laying(Protocol):
    """Lays a constant out along the positions of shared values."""

    def __call__(self, constant: Tensor) -> Tensor:
        """The constant's values there."""

    def elements(self, shape: Shape) -> int:
        """How many they are, for a constant of this shape."""


NOTHING: Mapping[fx.Node, Laying] = {}


@dataclass(frozen=True)
class Step:
    """How a call is computed on shared values.

    Attributes:
        run: gives its value from the values before it.
        moves: the blocks that it runs on, one after the other; None where it takes all positions in one call.
        copies: inputs that are first copied to other positions.
        laid: values of constants that are first laid out along the positions.
        macs: mult-adds for each position, where they are others than the call's over its positions.
    """

    run: Callable[[Environment], Any]
    moves: Moves | None = None
    copies: tuple[fx.Node, ...] = ()
    laid: int = 0
    macs: int | None = None


def passed_on(node: fx.Node) -> Step:
    """A call that changes nothing."""
    return Step(lambda environment: environment[node])


@dataclass
class Places:
    """Where the values of a graph lie for one rectangle of windows, and the tables that go with that.

    Attributes:
        windows: windows per axis.
        stride: pixels between them.
        dying: values with memory of their own that one call alone reads.
    """

    windows: tuple[int, ...]
    stride: tuple[int, ...]
    dying: set[fx.Node] = field(default_factory=set)
    _rows: dict[Any, Positions] = field(default_factory=dict)
    _moves: dict[Any, Any] = field(default_factory=dict)

    def rows(self, value: Value) -> Rows:
        """The positions of a value that still has all its axes."""
        return tuple(self._row(value, axis) for axis in range(len(self.windows)))

    def _row(self, value: Value, axis: int) -> Positions:
        record = value.axis(axis)
        key = (record.n, record.jump, record.period, record.head, record.tail, axis)
        if key not in self._rows:
            self._rows[key] = Positions.of(record, self.windows[axis], self.stride[axis])
        return self._rows[key]

    def tables(self, rows: Rows, device: torch.device) -> list[Tensor]:
        """Per axis, where each window's positions lie: ``[windows, n]``."""
        key = ("tables", rows, device)
        if key not in self._moves:
            self._moves[key] = [torch.from_numpy(row.table.astype(np.int32)).to(device) for row in rows]
        found: list[Tensor] = self._moves[key]
        return found

    def moves(self, before: Value, after: Value, ops: Mapping[int, LocalOp]) -> Moves:
        """A local op, one for each dimension that has one, from one value to another of the same layout of axes.

        Raises:
            NotShared: windows do not share what the op reads, or the op runs over features too.
        """
        source, target = self.rows(before), self.rows(after)
        by_axis = _by_axis(before, ops)
        dims = tuple(axis_dim(before.layout, axis) for axis in range(len(source)))
        key = ("moves", source, target, tuple(by_axis), dims)
        if key not in self._moves:
            triples = zip(by_axis, source, target, strict=True)
            try:
                parts = [slabs(*triple) for triple in triples]
            except Misaligned:
                raise NotShared("windows do not share what it reads") from None
            self._moves[key] = Moves(parts, source, target, dims)
        found: Moves = self._moves[key]
        return found

    def picks(self, before: Value, after: Value, ops: Mapping[int, Pick]) -> Picks:
        """Where positions of the output are copies of the input's, or padding."""
        source, target = self.rows(before), self.rows(after)
        by_axis = _by_axis(before, ops)
        dims = tuple(axis_dim(before.layout, axis) for axis in range(len(source)))
        key = ("picks", source, target, tuple(by_axis), dims)
        if key not in self._moves:
            indices = [taken(*triple) for triple in zip(by_axis, source, target, strict=True)]
            self._moves[key] = Picks(dims, indices, [row.length for row in source])
        found: Picks = self._moves[key]
        return found

    def aligned(self, call: Call, after: Value) -> dict[fx.Node, Picks]:
        """For each input that lies on other positions than the output what brings it there."""
        rows = self.rows(after)
        inputs = {node: call.value(node) for node in call.inputs}
        return {
            node: self.picks(value, _with_axes_of(value, after), {})
            for node, value in inputs.items()
            if self.rows(value) != rows
        }


class Picks:
    """Positions picked along each axis; nothing is copied where nothing changes."""

    def __init__(self, dims: Sequence[int], indices: Sequence[Indices], lengths: Sequence[int]) -> None:
        self.trivial = all(
            len(index) == length and bool((index == np.arange(length)).all())
            for index, length in zip(indices, lengths, strict=True)
        )
        self._flat = None if self.trivial else Flat(dims, indices, lengths)

    def __call__(self, x: Tensor, fill: float = 0.0) -> Tensor:
        """The picked positions; ``fill`` where a padding fills in."""
        return x if self._flat is None else self._flat(x, fill)


def _by_axis(value: Value, ops: Mapping[int, _Op]) -> list[_Op | LocalOp]:
    found: list[_Op | LocalOp] = [LocalOp()] * len(value.axes)
    for dim, op in ops.items():
        if is_space(value.layout[dim]):
            found[space_axes((value.layout[dim],))[0]] = op
        elif op != LocalOp():
            raise NotShared("a local operation runs over features")
    return found


def _with_axes_of(value: Value, other: Value) -> Value:
    for axis in range(len(value.axes)):
        value = value.with_axis(axis, other.axis(axis))
    return value


def arguments(call: Call, environment: Environment, replaced: Mapping[fx.Node, Any] | None = None) -> tuple[Any, Any]:
    """The call's arguments with values in the place of nodes."""
    known = replaced or {}

    def value(node: fx.Node) -> Any:
        return known[node] if node in known else environment[node]

    args, kwargs = fx.node.map_arg((call.node.args, call.node.kwargs), value)
    return args, kwargs


def picked(call: Call, places: Places, after: Value, ops: Mapping[int, Pick], fill: float = 0.0) -> Step:
    """Positions picked from the input, or filled."""
    source = call.inputs[0]
    pick = places.picks(call.value(source), after, ops)

    def run(environment: Environment) -> Any:
        return pick(environment[source], fill)

    return Step(run, copies=() if pick.trivial else (source,))


class Unchanged(Rule):
    """A rule whose calls run on shared values as they stand: they treat each position by itself."""

    def share(self, call: Call, places: Places, after: Value) -> Step:
        return verbatim(call, places, after)


def verbatim(call: Call, places: Places, after: Value, laid: Mapping[fx.Node, Laying] = NOTHING) -> Step:
    """The call as it stands, on inputs brought to the output's positions; over its first input where it may.

    ``laid`` brings constants there.
    """
    picks = places.aligned(call, after)
    first = call.node.args[0] if call.node.args else None
    copied = isinstance(first, fx.Node) and first in picks and not picks[first].trivial
    target = IN_PLACE[call.target] if (copied or first in places.dying) and fills_first(call.node) else call.target

    bringing: Mapping[fx.Node, Callable[[Tensor], Tensor]] = {**picks, **laid}

    def run(environment: Environment) -> Any:
        brought = {node: bring(environment[node]) for node, bring in bringing.items()}
        args, kwargs = arguments(call, environment, brought)
        return target(*args, **kwargs)

    copies = tuple(node for node, pick in picks.items() if not pick.trivial)
    return Step(run, copies=copies, laid=sum(lay.elements(shape_of(node)) for node, lay in laid.items()))


__all__ = [
    "Environment",
    "Laying",
    "Pick",
    "Picks",
    "Places",
    "Rows",
    "Step",
    "Unchanged",
    "arguments",
    "passed_on",
    "picked",
    "verbatim",
]
