"""The steps that score a rectangle of windows: what is shared first, then the rest on batches of windows."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import torch
from torch import Tensor, fx

from everywindow.geometry import Batch, Reason, Value, per_axis
from everywindow.graph import VIEWS, Network, last_uses, needed_for, needed_nodes, output_nodes, records
from everywindow.ops import (
    IN_PLACE,
    Call,
    NotShared,
    Places,
    Rows,
    Step,
    axis_dim,
    fills_first,
    is_fresh,
    is_in_place,
    rule_for,
    settled,
    windows_of,
)
from everywindow.sharing.refold import Refold, refolded, refolds
from everywindow.sharing.sums import WindowSum, window_sums
from everywindow.sharing.weights import is_constant

aten = torch.ops.aten


@dataclass(frozen=True)
class SharedStep:
    """One call on shared values.

    Attributes:
        call: the call, with the records of its inputs.
        index: how many calls are shared up to and with this one.
        how: how it is computed.
        value: the record of its (first) output.
        frees: the shared values that nobody reads after it.
    """

    call: Call
    index: int
    how: Step
    value: Value
    frees: tuple[fx.Node, ...]

    @property
    def node(self) -> fx.Node:
        """The call's node."""
        return self.call.node


@dataclass(frozen=True)
class Ends:
    """Where sharing ends: the first call that takes whole windows, and why."""

    node: fx.Node
    reason: Reason


@dataclass(frozen=True, eq=False)
class Program:
    """How a rectangle of windows is scored.

    Attributes:
        network: the captured network.
        values: the records that this was made by.
        windows: windows per axis.
        stride: pixels between them.
        steps: the calls on shared values, in order.
        frontier: shared values that are taken apart into windows.
        sums: calls whose windows are added up from shared values.
        rest: the calls on batches of windows, in order.
        ends: where sharing ends; None where all is shared.
        places: where shared values lie.
        targets: what to call for some calls of the rest: what overwrites its input, what takes any order in memory.
        refolds: flattened vectors that are kept in the order of the memory.
    """

    network: Network
    values: Mapping[fx.Node, Value | tuple[Value, ...] | None]
    windows: tuple[int, ...]
    stride: tuple[int, ...]
    steps: tuple[SharedStep, ...]
    frontier: tuple[fx.Node, ...]
    sums: tuple[WindowSum, ...]
    rest: tuple[fx.Node, ...]
    ends: Ends | None
    places: Places
    targets: Mapping[fx.Node, Any]
    refolds: tuple[Refold, ...]

    def shared(
        self, image: Tensor, constants: Mapping[fx.Node, Any], after_each: Callable[[], None] = lambda: None
    ) -> dict[fx.Node, Any]:
        """What :meth:`scored` takes, from the pixels ``[C, *size]`` of the rectangle; ``after_each`` call is called."""
        environment: dict[fx.Node, Any] = {**constants, self.network.image: self._image(image)}
        for step in self.steps:
            environment[step.node] = step.how.run(environment)
            for node in step.frees:
                del environment[node]
            after_each()
        found = {node: settled(environment[node], self._rows(node)[1]) for node in self.frontier}
        return found | {one.node: self._summed(one, environment[one.source]) for one in self.sums}

    def constants(self, known: Mapping[fx.Node, Any]) -> dict[fx.Node, Any]:
        """The network's constants as :meth:`scored` takes them."""
        return refolded(self.refolds, known)

    def _image(self, pixels: Tensor) -> Tensor:
        """The pixels as a shared value: those of some window, each window's own where windows do not overlap."""
        image = pixels.unsqueeze(0)
        for axis, row in enumerate(self.places.rows(single(self.values[self.network.image]))):
            if row.body:
                image = image.narrow(2 + axis, 0, row.length)
            else:
                image = (
                    image.unfold(2 + axis, row.n, self.stride[axis]).movedim(-1, 3 + axis).flatten(2 + axis, 3 + axis)
                )
        return image

    def scored(self, shared: Mapping[fx.Node, Any], constants: Mapping[fx.Node, Any], members: Tensor) -> Any:
        """The network's output for some of the rectangle's windows, given by their place: ``[batch, axes]``."""
        environment: dict[fx.Node, Any] = {**constants}
        for node in self.frontier:
            environment[node] = self._windows(node, shared[node], members)
        for one in self.sums:
            environment[one.node] = one.windows(shared[one.node], members)
        vectors = {refold.flatten: refold for refold in self.refolds}
        summed = {one.node for one in self.sums}
        for node in self.rest:
            if node in summed:
                pass
            elif _asks_batch(node, self.values):
                environment[node] = len(members)
            elif node in vectors:
                environment[node] = vectors[node].vector(environment[vectors[node].source])
            else:
                args, kwargs = fx.node.map_arg((node.args, node.kwargs), environment.__getitem__)
                environment[node] = self.targets.get(node, node.target)(*args, **kwargs)
            for dead in self._rest_frees.get(node, ()):
                environment.pop(dead, None)
        return fx.node.map_arg(self.network.outputs, environment.__getitem__)

    @cached_property
    def _rest_frees(self) -> dict[fx.Node, list[fx.Node]]:
        """For each call of the rest the values that nobody reads after it, the outputs aside."""
        kept = set(output_nodes(self.network))
        frees = last_uses(self.rest)
        return {node: [dead for dead in values if dead not in kept] for node, values in frees.items()}

    def _windows(self, node: fx.Node, value: Tensor, members: Tensor) -> Tensor:
        rows, dims = self._rows(node)
        return windows_of(value, dims, self.places.tables(rows, value.device), members)

    def _summed(self, one: WindowSum, value: Tensor) -> Tensor:
        rows, dims = self._rows(one.source)
        return one.of(value, dims, self.places.tables(rows, value.device))

    def _rows(self, node: fx.Node) -> tuple[Rows, list[int]]:
        """Where the positions of a shared value lie, and its spatial dimensions."""
        record = single(self.values[node])
        rows = self.places.rows(record)
        return rows, [axis_dim(record.layout, axis) for axis in range(len(rows))]


def build(network: Network, windows: Sequence[int], stride: Sequence[int], share: int | None = None) -> Program:
    """The program for a rectangle of windows; of the calls that can be shared only the first ``share`` are."""
    return _Builder(network, tuple(windows), per_axis("stride", tuple(stride), len(windows)), share).program()


class _Builder:
    def __init__(self, network: Network, windows: tuple[int, ...], stride: tuple[int, ...], share: int | None) -> None:
        self.network = network
        self.values = records(network).values
        self.places = Places(windows, stride)
        self.share = share
        self.ends: Ends | None = None
        self.done: dict[fx.Node, Step] = {}
        self.shared: set[fx.Node] = {network.image}

    def program(self) -> Program:
        needed = needed_nodes(self.network)
        calls = [node for node in needed if node.op == "call_function" and not is_constant(node, self.values)]
        for node in calls:
            self._consider(node)
        rest = tuple(node for node in calls if node not in self.shared)
        sums = window_sums(rest, self.shared, self.values)
        frontier = self._frontier([node for node in rest if node not in {one.node for one in sums}])
        kept = dict.fromkeys([*frontier, *(one.source for one in sums)])
        reached = needed_for(kept)
        steps = [node for node in self.done if node in reached]
        return Program(
            self.network,
            self.values,
            self.places.windows,
            self.places.stride,
            self._with_frees(steps, kept),
            frontier,
            sums,
            rest,
            self.ends,
            self.places,
            {node: target for node in rest if (target := _instead(node, rest)) is not None},
            refolds(rest, frontier, self.values, prod(self.places.windows)),
        )

    def _consider(self, node: fx.Node) -> None:
        """Share a call, if its inputs are shared and it can be."""
        inputs = [source for source in node.all_input_nodes if self.values[source] is not None]
        if "shape" not in node.meta or not inputs or any(source not in self.shared for source in inputs):
            return
        call = Call(node, self.values)
        if self.share is not None and len(self.done) >= self.share and node.target is not operator.getitem:
            why = "behind it windows one by one are predicted to take less time"
            self.ends = self.ends or Ends(node, call.because(why))
            return
        try:
            self.done[node] = self._step(call)
            self.shared.add(node)
            if owns_memory(node) and len(node.users) == 1:
                self.places.dying.add(node)
        except NotShared as reason:
            self.ends = self.ends or Ends(node, call.because(str(reason)))

    def _step(self, call: Call) -> Step:
        value = self.values[call.node]
        for one in _read_outputs(call.node, value):
            _require_shareable(one)
        rule = rule_for(call.target)
        if rule is None:
            raise NotShared(f"nothing is known about {call.target}")
        if not any(row.body for row in self.places.rows(single(value))):
            raise NotShared("every position depends on where its window lies")
        return rule.share(call, self.places, single(value))

    def _frontier(self, rest: Sequence[fx.Node]) -> tuple[fx.Node, ...]:
        asked = [
            source
            for node in rest
            if not _asks_batch(node, self.values)
            for source in node.all_input_nodes
            if source in self.shared
        ]
        asked += [leaf for leaf in output_nodes(self.network) if leaf in self.shared]
        return tuple(dict.fromkeys(asked))

    def _with_frees(self, steps: Sequence[fx.Node], kept: Iterable[fx.Node]) -> tuple[SharedStep, ...]:
        last = last_uses(steps)
        kept = set(kept)
        order = {node: index for index, node in enumerate(self.done, start=1)}
        return tuple(
            SharedStep(
                Call(node, self.values),
                order[node],
                self.done[node],
                single(self.values[node]),
                tuple(dead for dead in last.get(node, ()) if dead in self.shared and dead not in kept),
            )
            for node in steps
        )


def owns_memory(node: fx.Node) -> bool:
    """Whether a call's value never shares memory with another."""
    rule = rule_for(node.target)
    return is_fresh(node.target) and not (rule is not None and rule.passes_on)


def _instead(node: fx.Node, rest: Sequence[fx.Node]) -> Any:
    """What to call for a call on batches of windows, which may lie otherwise in memory than as the network has them."""
    if node.target in VIEWS:
        return aten.reshape.default
    return IN_PLACE[node.target] if _overwrites(node, rest) else None


def _overwrites(node: fx.Node, rest: Sequence[fx.Node]) -> bool:
    first = node.args[0] if node.args else None
    if not isinstance(first, fx.Node) or len(first.users) > 1 or first not in rest:
        return False
    return fills_first(node) and owns_memory(first)


def _read_outputs(node: fx.Node, value: Value | tuple[Value, ...] | None) -> Sequence[Value | None]:
    """The records of a call's output; of several those that some later call takes."""
    if not isinstance(value, tuple):
        return (value,)
    items = [user.args[1] for user in node.users if user.target is operator.getitem and user.users]
    return [value[item] for item in items if isinstance(item, int)]


def single(value: Value | tuple[Value, ...] | None) -> Value:
    """A record; of several outputs the first."""
    assert value is not None
    return value[0] if isinstance(value, tuple) else value


def _require_shareable(value: Value | None) -> None:
    assert value is not None
    if value.unshared is not None:
        raise NotShared(value.unshared.why)
    if len(value.mapped) < len(value.axes):
        raise NotShared("each window has a value of its own")
    if not is_in_place(value.layout):
        raise NotShared("it flattens the window's positions")
    if not value.layout or value.layout[0] != (Batch(),):
        raise NotShared("the batch is not the first dimension")


def _asks_batch(node: fx.Node, values: Mapping[fx.Node, Any]) -> bool:
    """Whether a node asks for the number of images in the batch."""
    if node.target is not aten.sym_size.int:
        return False
    source, dim = node.args
    value = values[source] if isinstance(source, fx.Node) else None
    if not isinstance(value, Value) or not isinstance(dim, int):
        return False
    return value.layout[dim] == (Batch(),)


def positions_share(rows: Rows) -> float:
    """Positions of a value in all, over those of the windows one by one."""
    return prod(row.length for row in rows) / prod(row.windows * row.n for row in rows)
