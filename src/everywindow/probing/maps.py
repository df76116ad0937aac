"""The maps inside a network: which are looked at, and their values for a window."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import lcm
from typing import Any

import torch
from torch import Tensor, fx

from everywindow.costing import calls, layer_costs, window_macs
from everywindow.engines import Prepared
from everywindow.geometry import AxisRecord, Batch, Feature, Layout, Reason, Space, Value
from everywindow.graph import Network, run_graph
from everywindow.ops import Call

DTYPES = (torch.float32, torch.float64)

ROUNDING = 1000
"""Units in the last place of the largest value up to which a map does not vary."""


@dataclass(frozen=True)
class Layer:
    """A layer that gives a map, or a part of the network that does.

    Attributes:
        name: the user's name for it.
        kind: its operation.
        node: of the graph.
        value: the record of its map.
    """

    name: str
    kind: str
    node: fx.Node
    value: Value

    @property
    def axes(self) -> tuple[AxisRecord, ...]:
        """The record of each spatial axis."""
        return tuple(self.value.axis(axis) for axis in self.value.mapped)

    @property
    def period(self) -> tuple[int, ...]:
        """Pixels per axis by whose multiples an image may move so that the map moves by whole positions."""
        return tuple(record.period for record in self.axes)

    @property
    def steps(self) -> tuple[int, ...]:
        """Positions per axis by which the map then moves."""
        return tuple(record.period // record.jump for record in self.axes)

    @property
    def whole(self) -> bool:
        """Whether the network looks at whole windows before, so that no position is known to be free of the border."""
        return self.value.unshared is not None

    @property
    def bodies(self) -> tuple[tuple[int, int], ...]:
        """Per axis the first position that depends on no border of the window, and the one after the last."""
        return tuple((0, 0) if self.whole else (record.head, record.n - record.tail) for record in self.axes)

    @property
    def sees(self) -> tuple[int, ...]:
        """Pixels per axis that a position sees, padding included."""
        return tuple(record.seen_high - record.seen_low for record in self.axes)


def map_layers(network: Network) -> tuple[Layer, ...]:
    """The layers whose maps are worth a look: those with mult-adds, poolings, where maps meet, and all others that
    change where positions lie or what they depend on. Of several calls the last."""
    counted = {row.layer for row in layer_costs(network) if row.family != "other"}
    found: dict[str, Layer] = {}
    for call in calls(network):
        value = first_value(call.values[call.node])
        if value is None or not _is_map(value, network):
            found.pop(call.layer, None)  # what the layer gives in the end is none
        elif call.layer in counted or _matters(call, value):
            found.pop(call.layer, None)
            found[call.layer] = Layer(call.layer, kind_of(call.node), call.node, value)
    return tuple(found.values())


def end_of_maps(network: Network) -> str:
    """Why there are no maps behind some layer; empty where they only end in a mean or a fully connected layer."""
    for call in calls(network):
        value = first_value(call.values[call.node])
        if value is not None and value.unshared is not None:
            reason: Reason = value.unshared
            return f"{reason.layer}: {reason.why}"
    return ""


def _is_map(value: Value, network: Network) -> bool:
    """Whether all axes are still there, each with more positions than a move takes."""
    return len(value.mapped) == len(network.window) and all(
        record.n > max(1, record.period // record.jump) for record in map(value.axis, value.mapped)
    )


def _matters(call: Call, value: Value) -> bool:
    if window_macs(call):
        return True
    values = [first_value(call.values[node]) for node in dict.fromkeys(call.inputs)]
    maps = [one for one in values if one is not None and one.mapped]
    return len(maps) > 1 or any(_places(one) != _places(value) for one in maps)


def _places(value: Value) -> list[tuple[int, ...]]:
    records = [record for record in value.axes if record is not None]
    return [(record.n, record.jump, record.head, record.tail) for record in records]


def first_value(value: Value | tuple[Value, ...] | None) -> Value | None:
    """The record of a value, or of the first of several."""
    return value[0] if isinstance(value, tuple) else value


def kind_of(node: fx.Node) -> str:
    """``max_pool2d``: the operation of a call."""
    schema = getattr(node.target, "_schema", None)
    name = str(schema.name if schema is not None else getattr(node.target, "__name__", node.target))
    return name.removeprefix("aten::").removesuffix("_with_indices")


def watched(
    prepared: Prepared, network: Network, window: Tensor, values: Mapping[fx.Node, Value]
) -> list[tuple[fx.Node, Tensor]]:
    """The maps ``[channels, *positions]`` of some nodes for a window ``[C, *window]``, in the order of computing."""
    found: list[tuple[fx.Node, Tensor]] = []
    watch(prepared, network, window, values, lambda node, each: found.append((node, each)))
    return found


def watch(
    prepared: Prepared,
    network: Network,
    window: Tensor,
    values: Mapping[fx.Node, Value],
    see: Callable[[fx.Node, Tensor], None],
) -> None:
    """Show the maps of some nodes for a window, each once it is there; none is kept."""

    def show(node: fx.Node, result: Any) -> None:
        if node in values:
            see(node, as_map(result[0] if isinstance(result, (tuple, list)) else result, values[node]))

    image = window[None].to(device=prepared.device, dtype=prepared.dtype).contiguous()
    with torch.inference_mode():
        run_graph(network.graph, network.state, image, show)


def as_map(tensor: Tensor, value: Value) -> Tensor:
    """A value for one window as ``[channels, *positions]``, whatever order its dimensions are in."""
    layout: Layout = value.layout
    sizes = value.sizes(1)
    atoms = [atom for dim in layout for atom in dim]
    split = tensor.reshape([atom.size if isinstance(atom, Feature) else sizes[atom] for atom in atoms])
    spaces = {atom.axis: at for at, atom in enumerate(atoms) if isinstance(atom, Space)}
    others = [at for at, atom in enumerate(atoms) if isinstance(atom, (Batch, Feature))]
    ordered = split.permute(*others, *(spaces[axis] for axis in sorted(spaces)))
    shaped = ordered.reshape(-1, *ordered.shape[len(others) :])
    return shaped if shaped.dtype in DTYPES else shaped.float()


def scale_of(values: Tensor) -> float:
    """What differences of a map ``[channels, *positions]`` are measured by: its spread, the largest difference between
    two of its positions over the channels; of a map that varies by no more than rounding its largest value."""
    flat = values.flatten(1)
    spread, largest = float((flat.amax(1) - flat.amin(1)).max()), float(flat.abs().max())
    return spread if spread > ROUNDING * torch.finfo(values.dtype).eps * largest else largest or 1.0


def common_period(layers: tuple[Layer, ...], window: tuple[int, ...]) -> tuple[int, ...]:
    """Per axis the smallest multiple of the layers' periods; of as many as fit into half a window."""
    found = [1] * len(window)
    for layer in layers:
        found = [
            both if (both := lcm(have, period)) <= size // 2 else have
            for have, period, size in zip(found, layer.period, window, strict=True)
        ]
    return tuple(found)
