"""Where the records are propagated: from the image through the captured graph to the scores."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from math import lcm
from typing import Any
from weakref import WeakKeyDictionary

from torch import fx

from everywindow.errors import IndependenceError
from everywindow.geometry import (
    AxisRecord,
    Batch,
    Feature,
    Halo,
    Reason,
    Space,
    Spent,
    Value,
    Verdict,
    joined_spent,
)
from everywindow.graph.constants import note_changes
from everywindow.graph.network import Network
from everywindow.graph.weighted import with_weighted_means
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

LITTLE = 0.25
"""Share of a window's mult-adds up to which the one pass runs the rest window by window."""

_REMEDY = "windows cannot be scored apart; change the network's forward() in evaluation mode"


@dataclass(frozen=True)
class Records:
    """The record of every value of a network; None for values that do not depend on the image.

    Attributes:
        values: by node of the network's graph.
        outputs: the records of the outputs, in the order of their leaves.
    """

    values: Mapping[fx.Node, Value | tuple[Value, ...] | None]
    outputs: tuple[Value, ...]

    @property
    def verdict(self) -> Verdict:
        """Whether the plain conversion equals the crops, proved; and if not, which layers are the reason."""
        if self.exact:
            return Verdict(exact=True)
        ends = [self.unshared] if self.unshared else []
        return Verdict(False, tuple(dict.fromkeys([*ends, *(why for value in self.outputs for why in value.reasons)])))

    @property
    def exact(self) -> bool:
        """Whether every output equals the crops'; never where one has no conversion."""
        return self.unshared is None and all(value.exact for value in self.outputs)

    @property
    def unshared(self) -> Reason | None:
        """The first layer that has no conversion; None where all have."""
        return next((value.unshared for value in self.outputs if value.unshared), None)

    @property
    def unproved(self) -> Reason | None:
        """A layer for which nothing is known about how it treats the items of the batch."""
        return next((value.unproved for value in self.outputs if value.unproved), None)

    @property
    def network_stride(self) -> tuple[int, ...]:
        """Per axis, the product of the strides of the network's layers, in pixels."""
        return tuple(lcm(*(spent.network_stride for spent in seen)) for seen in self._seen())

    @property
    def receptive_field(self) -> tuple[tuple[int, int], ...]:
        """Per axis, the first pixel that a score sees, relative to its window, and the one after the last."""
        return tuple((min(s.low for s in seen), max(s.high for s in seen)) for seen in self._seen())

    @property
    def tile_spans(self) -> tuple[tuple[int, int] | None, ...]:
        """Per axis, the first pixel that a tile must hold, relative to each of its windows, and the one after the last.

        None where a tile must hold the whole axis.
        """
        halos = [reduce(Halo.joined, (spent.halo for spent in seen)) for seen in self._seen()]
        return tuple(None if halo.wraps else (halo.low, halo.high) for halo in halos)

    def _seen(self) -> list[list[Spent]]:
        """Per axis, what each output saw of it."""
        histories = [value.history() for value in self.outputs]
        nothing = [Spent(0, 1, 1, Halo())]
        return [[spent for spent in column if spent] or nothing for column in zip(*histories, strict=True)]


_KNOWN: WeakKeyDictionary[Network, Records] = WeakKeyDictionary()
_ONE_PASS: WeakKeyDictionary[Network, Records] = WeakKeyDictionary()


def records(network: Network) -> Records:
    """The records of a network; propagated once, and again behind :func:`refresh`.

    Raises:
        IndependenceError: the network mixes the items of a batch, or gives another result each time.
    """
    if network not in _KNOWN:
        note_changes(network)
        _KNOWN[network] = _propagate(network)
    return _KNOWN[network]


def one_pass_records(network: Network) -> Records:
    """The records of the one pass, which goes on where windows stop sharing.

    Where a value of the whole window meets single positions, each takes that of the window around it. Where little is
    left to compute (:data:`LITTLE`), windows are taken from the map and the rest runs as it stands.
    Where nothing of the kind is in the network, these are the :func:`records`.
    """
    if not records(network).unshared:
        return records(network)
    if network not in _ONE_PASS:
        found = _propagate(network, one_pass=True)
        if found.unshared and _left(network, found) <= LITTLE:
            gathering = _propagate(network, one_pass=True, gather=True)
            found = found if gathering.unshared else gathering
        weighted = with_weighted_means(network) if found.unshared else network
        _ONE_PASS[network] = found if weighted is network else one_pass_records(weighted)
    return _ONE_PASS[network]


def one_pass_network(network: Network) -> Network:
    """The network that the :func:`one_pass_records` are of: with means weighted by a softmax in another form, where it
    has no one pass as it stands."""
    weighted = with_weighted_means(network)
    return weighted if one_pass_records(network) is one_pass_records(weighted) else network


def _left(network: Network, known: Records) -> float:
    """The share of a window's mult-adds behind the calls that take whole windows."""
    total = behind = 0
    for node in needed_nodes(network):
        value = known.values[node]
        rule = rule_for(node.target) if node.op == "call_function" and value is not None else None
        if rule is not None:
            macs = rule.macs(Call(node, known.values, one_pass=True))
            first = value[0] if isinstance(value, tuple) else value
            total, behind = total + macs, behind + (macs if first is not None and first.unshared else 0)
    return behind / max(1, total)


def refresh(network: Network) -> None:
    """Forget the records, and what was made by them, where constants changed in what the records say of them."""
    if note_changes(network):
        _KNOWN.pop(network, None)
        _ONE_PASS.pop(network, None)
        network.kept.clear()


def output_nodes(network: Network) -> list[fx.Node]:
    """The leaves of the network's output structure."""
    leaves: list[fx.Node] = []
    fx.node.map_arg(network.outputs, leaves.append)
    return leaves


def needed_for(nodes: Iterable[fx.Node]) -> set[fx.Node]:
    """Some nodes, and all that they depend on."""
    wanted: set[fx.Node] = set()
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if node not in wanted:
            wanted.add(node)
            waiting.extend(node.all_input_nodes)
    return wanted


def needed_nodes(network: Network) -> list[fx.Node]:
    """The nodes that the outputs depend on, in order."""
    wanted = needed_for(output_nodes(network))
    return [node for node in network.graph.nodes if node in wanted]


def _propagate(network: Network, one_pass: bool = False, gather: bool = False) -> Records:
    values: Values = {}
    sized: set[fx.Node] = set()
    for node in network.graph.nodes:
        if node.op == "placeholder":
            values[node] = _image(network)
        elif node.op == "call_function":
            values[node] = _infer(node, values, sized, len(network.window), one_pass, gather)
        elif node.op == "get_attr":
            values[node] = None
    leaves = [values[node] for node in output_nodes(network)]
    return Records(values, tuple(value for value in leaves if isinstance(value, Value)))


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
        raise _refusal(node, str(reason) if "batch" in str(reason) else f"{reason} the items of the batch") from None
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
