"""From a captured network to the fully convolutional one, call by call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import torch
from torch import Tensor, fx, nn

from everywindow.convert.network import FullyConvolutional, Geometry
from everywindow.errors import ConversionError
from everywindow.geometry import Extent, MapSize, Reason, Value, has_batch
from everywindow.graph import (
    Network,
    Records,
    gathered_inputs,
    needed_nodes,
    one_pass_network,
    one_pass_records,
    output_nodes,
)
from everywindow.ops import (
    Call,
    ContextEmitter,
    Emitter,
    Mapped,
    NotShared,
    axis_dim,
    emit_overload,
    is_fresh,
    per_item,
    rule_for,
    sizes,
    spread,
    windows_to_batch,
)

aten = torch.ops.aten

INSTEAD = "scan with mode='exact' gives the crops' numbers"
"""The remedy where there is no conversion."""


def fully_convolutional(
    network: Network, stride: tuple[int, ...] | None = None, copy: bool = True
) -> FullyConvolutional:
    """The converted network, for windows every ``stride`` pixels (default: the network's stride).

    ``copy=False`` shares the weights with the captured network.

    Raises:
        ConversionError: a layer has no equal in a fully convolutional network.
    """
    network = one_pass_network(network)
    known = one_pass_records(network)
    if known.unshared or known.unproved:
        _refuse(known.unshared or known.unproved)
    stride = stride or known.network_stride
    conversion = _Conversion(network, known, stride)
    graph = conversion.run()
    state = _state(network, conversion.emit.modules, graph, copy)
    geometry = _geometry(network, known, stride)
    maps = conversion.sizes()
    return FullyConvolutional(
        graph, state, conversion.emit.modules, geometry, known.verdict, network.channels, maps, network.unsaved
    )


def _refuse(reason: Reason | None) -> None:
    assert reason is not None
    raise ConversionError(reason.layer, reason.why, INSTEAD)


def _geometry(network: Network, known: Records, stride: tuple[int, ...]) -> Geometry:
    field = tuple(high - low for low, high in known.receptive_field)
    return Geometry(network.window, stride, (0,) * len(stride), field, known.network_stride, known.tile_spans)


class _Conversion:
    """One walk through the captured graph; constants are brought along when somebody needs them."""

    def __init__(self, network: Network, known: Records, stride: tuple[int, ...]) -> None:
        self.network = network
        self.known = known
        self.emit = Emitter(network.window, stride, self._constant)
        self.around = ContextEmitter(self.emit)
        self._constants: dict[fx.Node, fx.Node] = {}
        self._taken: dict[fx.Node, list[fx.Node]] = {}

    def run(self) -> fx.Graph:
        """The converted graph."""
        uses = _Uses.of(self.network, self.known.values)
        for node in needed_nodes(self.network):
            value = self.known.values.get(node)
            if value is not None:
                self.emit.layer = self.around.layer = str(node.meta.get("layer", node.name))
                self._emit(node, value, uses)
        outputs: dict[Any, Any] = {
            node: self._finish(node) for node in output_nodes(self.network) if "shape" in node.meta
        }
        # What is no tensor has no counterpart; text and numbers stand in no file of a network.
        self.emit.graph.output(fx.node.map_aggregate(self.network.outputs, lambda item: outputs.get(item)))
        _drop_unused(self.emit.graph)
        return self.emit.graph

    def _emit(self, node: fx.Node, value: Value | tuple[Value, ...], uses: _Uses) -> None:
        """The counterpart of a value: for the map or the windows, for the window around each position, or for both."""
        if node in uses.meeting:
            self.emit.values[node] = self._convert(node, value, self.around)
        elif node in uses.windows:
            self.emit.values[node] = self._convert(node, value, self.emit)
        if node in uses.around:
            self.around.values[node] = self._convert(node, value, self.around)

    def sizes(self) -> tuple[MapSize, ...]:
        """The size of every converted value; the output comes last."""
        made = [
            (node, mapped)
            for node in needed_nodes(self.network)
            for mapped in [*self._taken.get(node, ()), *self._made(node)]
        ]
        index = {node: at for at, (node, mapped) in enumerate(made) if isinstance(mapped, Mapped)}
        last = {
            node: max((index[user] for user in _readers(node) if user in index), default=at)
            for node, at in index.items()
        }
        return tuple(
            self._size(node, mapped, last[node])
            if isinstance(mapped, Mapped)
            else _windows_size(mapped, len(self.network.window), index.get(node, at))
            for at, (node, mapped) in enumerate(made)
        )

    def _made(self, node: fx.Node) -> list[Mapped]:
        """The counterparts of a value."""
        found = [self.emit.values.get(node), self.around.own.get(node)]
        return [mapped for mapped in found if isinstance(mapped, Mapped)]

    def _size(self, node: fx.Node, mapped: Mapped, last_use: int) -> MapSize:
        call = Call(node, self.known.values, one_pass=True)
        rule = rule_for(node.target)
        macs = rule.macs(call) if rule is not None and node.op == "call_function" else 0
        lengths, extents = sizes(mapped)
        features = per_item(call.shape) // prod(length for length in lengths if length is not None)
        alias = node.op == "call_function" and not is_fresh(node.target)
        source = sizes(self._beside(mapped, node, call.inputs[0])) if rule is not None and rule.macs_by_input else None
        return MapSize(str(node.meta["layer"]), features, lengths, extents, macs, last_use, alias, source)

    def _beside(self, mapped: Mapped, node: fx.Node, source: fx.Node) -> Mapped:
        """The counterpart of a call's input that its own counterpart was made of."""
        emit = self.emit if self.emit.values.get(node) is mapped else self.around
        return emit.mapped(source)

    def _convert(self, node: fx.Node, value: Value | tuple[Value, ...], emit: Emitter) -> Mapped | tuple[Mapped, ...]:
        if node.op == "placeholder":
            assert isinstance(value, Value)
            return Mapped(self.emit.image, value, (Extent(),) * len(self.network.window))
        call = Call(node, self.known.values, one_pass=True)
        if not call.inputs:
            raise ConversionError(call.layer, "makes a tensor of the batch's size", INSTEAD)
        rule = rule_for(node.target)
        assert rule is not None
        if not _shares(call):
            apart = gathered_inputs(call)
            if apart is not None:
                call, emit = apart, self._taking_windows(call, emit)
            if apart is None or not _shares(call):
                return self._as_it_stands(call, value, emit)
        try:
            return rule.convert(call, emit)
        except NotShared as reason:
            if not any(call.value(node).mapped for node in call.inputs):
                return self._as_it_stands(call, value, emit)
            raise ConversionError(call.layer, str(reason), INSTEAD) from None

    def _taking_windows(self, call: Call, emit: Emitter) -> Emitter:
        """An emitter that sees each window's own tensors in the place of a call's maps."""
        maps = [node for node in call.inputs if emit.mapped(node).value.mapped]
        try:
            taken = {node: emit.gathered(emit.mapped(node)) for node in maps}
        except NotShared as reason:
            raise ConversionError(call.layer, str(reason), INSTEAD) from None
        self._taken[call.node] = maps
        return emit.seeing(taken)

    def _as_it_stands(self, call: Call, value: Value | tuple[Value, ...], emit: Emitter) -> Mapped | tuple[Mapped, ...]:
        """The original call on windows in the batch."""
        inputs = [emit.mapped(node) for node in call.inputs]
        if len({mapped.batched for mapped in inputs}) > 1:
            raise ConversionError(call.layer, "joins values whose axes were reduced in another order", INSTEAD)
        converted = {node: mapped.node for node, mapped in zip(call.inputs, inputs, strict=True)}
        arguments = [emit.argument(argument, converted) for argument in call.arguments.values()]
        node = emit_overload(call, emit, arguments)
        if isinstance(value, tuple):
            return tuple(
                replace(inputs[0], node=emit.call(_item, node, index), value=part) for index, part in enumerate(value)
            )
        return replace(inputs[0], node=node, value=value)

    def _constant(self, node: fx.Node) -> fx.Node:
        """A weight, or a value computed from weights alone, in the converted graph."""
        if node not in self._constants:
            self._constants[node] = self._bring(node)
        return self._constants[node]

    def _bring(self, node: fx.Node) -> fx.Node:
        graph = self.emit.graph
        if node.op == "get_attr":
            return graph.create_node("get_attr", node.target, name=node.name)
        if "shape" not in node.meta:
            raise ConversionError(str(node.meta["layer"]), "computes with the size of the batch", INSTEAD)
        return graph.node_copy(node, self._constant)

    def _finish(self, leaf: fx.Node) -> fx.Node:
        """One output as a map of scores ``[N, K, *counts]``; what depends on weights alone stays as it is."""
        if self.known.values[leaf] is None and "shape" in leaf.meta:
            return self._constant(leaf)
        mapped = self.emit.values.get(leaf)
        layer = str(leaf.meta["layer"])
        if not isinstance(mapped, Mapped):
            raise ConversionError(layer, "an output does not depend on the image", INSTEAD)
        mapped = self._all_in_batch(mapped, layer)
        if not mapped.value.layout or not has_batch(mapped.value.layout[0]):
            raise ConversionError(layer, "the output's first dimension is not the batch", INSTEAD)
        node = mapped.node
        if len(mapped.value.layout) > 2 and not any(mapped.value.layout[2:]):
            node = self.emit.call(aten.flatten.using_ints, node, 1)
        return self.emit.call(
            spread, node, self.emit.image, self.emit.counts(range(len(self.network.window))), mapped.batched
        )

    def _all_in_batch(self, mapped: Mapped, layer: str) -> Mapped:
        """The output with one score vector per window."""
        axes = mapped.value.mapped
        if not axes:
            return mapped
        if any(mapped.value.axis(axis).n != 1 for axis in axes):
            lengths = "×".join(str(mapped.value.axis(axis).n) for axis in axes)
            raise ConversionError(
                layer,
                f"the output still has {lengths} positions for one window",
                "end the network with a pooling",
            )
        layout = mapped.value.layout
        steps = [(axis_dim(layout, axis), self.emit.window_steps(mapped, axis)[2]) for axis in axes]
        node = self.emit.call(windows_to_batch, mapped.node, steps, self.emit.counts(axes))
        left = tuple(tuple(atom for atom in dim if getattr(atom, "axis", None) not in axes) for dim in layout)
        kept = tuple(dim for index, dim in enumerate(left) if dim or not layout[index] or index == 0)
        return self.emit.into_batch(mapped, axes, node, mapped.value.reduced(axes, kept))


def _shares(call: Call) -> bool:
    """Whether the call's rule holds for its inputs as they are."""
    rule = rule_for(call.target)
    assert rule is not None
    try:
        rule.infer(call)
    except NotShared:
        return False
    return True


def _windows_size(source: fx.Node, count: int, last_use: int) -> MapSize:
    """The size of windows taken from a map."""
    shape = tuple(source.meta["shape"])
    axes: tuple[None, ...] = (None,) * count
    return MapSize(str(source.meta["layer"]), per_item(shape), axes, axes, 0, last_use)


@dataclass(frozen=True)
class _Uses:
    """What the one pass makes of each value.

    Attributes:
        windows: a map, or a value for each window.
        around: a value for the window around each position of a map, for it meets single positions farther on.
        meeting: made where the two meet.
    """

    windows: frozenset[fx.Node]
    around: frozenset[fx.Node]
    meeting: frozenset[fx.Node]

    @classmethod
    def of(cls, network: Network, values: Mapping[fx.Node, Value | tuple[Value, ...] | None]) -> _Uses:
        """Found from the outputs back to the image."""
        windows, around, meeting = set(output_nodes(network)), set(), set()
        for node in reversed(needed_nodes(network)):
            gone = _gone(values.get(node))
            if not gone:
                windows.add(node)
            for source in node.all_input_nodes:
                left = _gone(values.get(source))
                if left - gone:
                    around.add(source)
                    meeting.add(node)
                    continue
                if node in windows:
                    windows.add(source)
                if left and node in around:
                    around.add(source)
        return cls(frozenset(windows), frozenset(around), frozenset(meeting - around))


def _gone(value: Value | tuple[Value, ...] | None) -> frozenset[int]:
    """The spatial axes that are reduced over the window."""
    first = value[0] if isinstance(value, tuple) else value
    return frozenset() if first is None else frozenset(range(len(first.axes))) - frozenset(first.mapped)


def _item(several: Any, index: int) -> Any:
    return several[index]


def _readers(node: fx.Node) -> list[fx.Node]:
    """The nodes that read a value, directly or through views of it."""
    found: list[fx.Node] = []
    waiting = [node]
    while waiting:
        for user in waiting.pop().users:
            found.append(user)
            if user.op == "call_function" and not is_fresh(user.target):
                waiting.append(user)
    return found


def _drop_unused(graph: fx.Graph) -> None:
    for node in reversed(list(graph.nodes)):
        if not node.users and node.op in ("call_function", "get_attr"):
            graph.erase_node(node)


def _state(network: Network, modules: Mapping[str, nn.Module], graph: fx.Graph, copy: bool) -> dict[str, Tensor]:
    """The weights that the converted network reads, by their own names."""
    names = {str(node.target) for node in graph.nodes if node.op == "get_attr"}
    norms = tuple(f"{path}." for path, module in modules.items() if isinstance(module, nn.modules.batchnorm._BatchNorm))
    used = {name: tensor for name, tensor in network.state.items() if name in names or name.startswith(norms)}
    state = {name: _copied(tensor) for name, tensor in used.items()} if copy else used
    return state | {name: state[first] for name, first in network.tied.items() if first in state}


def _copied(tensor: Tensor) -> Tensor:
    fresh = tensor.detach().clone()
    return nn.Parameter(fresh, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else fresh
