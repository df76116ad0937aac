"""From record to record through the captured graph, call by call, by each operation's own rule."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from typing import Any

from torch import fx

from everywindow.errors import IndependenceError
from everywindow.geometry import AxisRecord, Batch, Feature, Reason, Space, Value, joined_spent
from everywindow.graph.network import Network
from everywindow.ops import (
    BATCH,
    Call,
    MixesBatch,
    NotProved,
    NotReproducible,
    NotShared,
    is_random,
    layout_by_shape,
    rule_for,
)

Values = dict[fx.Node, Value | tuple[Value, ...] | None]
"""The record of every value; None for those that do not depend on the image."""

_REMEDY = "windows cannot be scored apart; change the network's forward() in evaluation mode"


def propagated(network: Network, one_pass: bool = False, gather: bool = False) -> Values:
    """The record of every value of a network.

    Args:
        one_pass: whether positions may take what the window around them has for the whole window.
        gather: whether calls may take windows from a map.

    Raises:
        IndependenceError: the network mixes the items of a batch, or gives another result each time.
    """
    values: Values = {}
    sized: set[fx.Node] = set()
    for node in network.graph.nodes:
        if node.op == "placeholder":
            values[node] = _image(network)
        elif node.op == "call_function":
            values[node] = _infer(node, values, sized, len(network.window), one_pass, gather)
        elif node.op == "get_attr":
            values[node] = None
    return values


def _image(network: Network) -> Value:
    channels = (Feature(network.channels),) if network.channels > 1 else ()
    axes = tuple((Space(axis),) for axis in range(len(network.window)))
    return Value(((Batch(),), channels, *axes), tuple(AxisRecord.of_window(size) for size in network.window))


def _infer(
    node: fx.Node, values: Values, sized: set[fx.Node], axes: int, one_pass: bool, gather: bool
) -> Value | tuple[Value, ...] | None:
    if is_random(node):
        raise _refusal(node, f"{node.target} draws random numbers")
    if "shape" not in node.meta:
        sized.add(node)
        return None
    if all(values[source] is None for source in node.all_input_nodes):
        return _constant(node, sized, axes)
    call = Call(node, values, one_pass)
    try:
        found = _gathering(call) if gather else _by_rule(call)
        computes = any(source in sized and "shape" not in source.meta for source in node.all_input_nodes)
        if computes and not _names_sizes(node.target):
            return _doubted(found, call.because("computes with the size of the batch"))
        return found
    except NotShared as reason:
        return _per_window(call, str(reason))
    except NotProved as reason:
        return _doubted(_per_window(call, str(reason)), call.because(str(reason)))
    except MixesBatch as reason:
        raise _refusal(
            node, str(reason) if "items of the batch" in str(reason) else f"{reason} the items of the batch"
        ) from None
    except NotReproducible as reason:
        raise _refusal(node, str(reason)) from None


def _gathering(call: Call) -> Value | tuple[Value, ...]:
    """The record of a call; where it takes whole windows, of the same on each window's own tensors."""
    try:
        return _by_rule(call)
    except NotShared:
        apart = gathered_inputs(call)
        if apart is None:
            raise
    try:
        return _by_rule(apart)
    except NotShared as reason:
        return _per_window(apart, str(reason))


def gathered_inputs(call: Call) -> Call | None:
    """The call on windows' own tensors; None where it has no map among its inputs."""
    maps = {
        node: value.gathered() for node in call.inputs if isinstance(value := call.values[node], Value) and value.mapped
    }
    return Call(call.node, ChainMap(maps, call.values), call.one_pass) if maps else None  # type: ignore[arg-type]


def _by_rule(call: Call) -> Value | tuple[Value, ...]:
    rule = rule_for(call.target)
    if rule is not None:
        return rule.infer(call)
    why = f"nothing is known about {call.target}"
    return _doubted(_per_window(call, why), call.because(why))


def _doubted(value: Value | tuple[Value, ...], reason: Reason) -> Value | tuple[Value, ...]:
    """The record with a doubt about how the items of the batch are treated."""
    return _each(value, lambda one: replace(one, unproved=one.unproved or reason))


def _constant(node: fx.Node, sized: set[fx.Node], axes: int) -> Value | tuple[Value, ...] | None:
    """The record of a value without the image; one of the batch's size counts as made for each window."""
    if not any(source in sized for source in node.all_input_nodes):
        return None
    sized.add(node)
    shape = node.meta["shape"]
    known = [shape] if not isinstance(shape, list) else list(shape)
    value = Value(layout_by_shape(known[0], (), ()), (None,) * axes)
    if _is_uniform(node.target):
        return value if any(size % BATCH == 0 for size in known[0]) else None
    doubted = replace(value, unproved=Reason(str(node.meta["layer"]), "computes with the size of the batch"))
    return (doubted,) * len(known) if isinstance(shape, list) else doubted


def _names_sizes(target: Any) -> bool:
    """Whether an operation takes numbers as sizes of its result, and not as values."""
    return _operation(target) in _SIZING


def _is_uniform(target: Any) -> bool:
    """Whether an operation gives every item of the batch the same values."""
    return _operation(target) in _UNIFORM


def _operation(target: Any) -> str:
    return str(getattr(target, "__name__", target)).partition(".")[0]


_UNIFORM = frozenset(["zeros", "ones", "full", "empty", "expand", "new_zeros", "new_ones", "new_full"])
_SIZING = _UNIFORM | frozenset(
    ["view", "reshape", "_unsafe_view", "unflatten", "view_as", "reshape_as", "broadcast_to", "expand_as"]
)


def _per_window(call: Call, why: str) -> Value | tuple[Value, ...]:
    """The record where sharing ends; behind a reduction over the window the call just runs as it stands."""
    pairs = [(value, shape) for node in call.inputs for value, shape in _several(node, call)]
    merged = _merged([value for value, _ in pairs], call.because(why))
    found = tuple(_shaped(merged, shape, pairs) for shape in call.shapes)
    return found if isinstance(call.node.meta["shape"], list) else found[0]


def _merged(inputs: list[Value], reason: Reason) -> Value:
    """What the inputs' records say together, before layout and axes."""
    ends_here = reason if any(value.mapped for value in inputs) else None
    first = inputs[0]
    return Value(
        (),
        (None,) * len(first.axes),
        tuple(dict.fromkeys(reason for value in inputs for reason in value.reasons)),
        any(value.inexact for value in inputs),
        next((value.unshared for value in inputs if value.unshared), ends_here),
        next((value.unproved for value in inputs if value.unproved), None),
        reduce(_seen_together, inputs[1:], first).history(),
    )


def _seen_together(a: Value, b: Value) -> Value:
    one, other = a.gone(), b.gone()
    return replace(one, spent=joined_spent(one, other))


def _shaped(merged: Value, shape: tuple[int, ...], inputs: list[tuple[Value, tuple[int, ...]]]) -> Value:
    """The record of an output; one that is shaped like an input keeps that input's axes, which tell its stride."""
    for value, input_shape in inputs:
        if input_shape == shape and value.mapped:
            return replace(merged, layout=value.layout, axes=value.axes, spent=value.spent)
    first, first_shape = inputs[0]
    return replace(merged, layout=layout_by_shape(shape, first.gone().layout, first_shape))


def _several(node: fx.Node, call: Call) -> list[tuple[Value, tuple[int, ...]]]:
    """The records and shapes of an input, which may be several values."""
    value, shape = call.values[node], node.meta["shape"]
    if isinstance(value, tuple):
        return [(item, tuple(size)) for item, size in zip(value, shape, strict=True)]
    return [] if value is None else [(value, tuple(shape))]


def _each(value: Value | tuple[Value, ...], change: Callable[[Value], Value]) -> Value | tuple[Value, ...]:
    return tuple(map(change, value)) if isinstance(value, tuple) else change(value)


def _refusal(node: fx.Node, why: str) -> IndependenceError:
    return IndependenceError(str(node.meta["layer"]), why, _REMEDY)
