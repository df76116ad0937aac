"""What each layer costs and sees, from the records alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from torch import fx, nn

from everywindow.costing.totals import calls, window_macs
from everywindow.geometry import Value
from everywindow.graph import Network
from everywindow.ops import BATCH, Call, rule_for

FULLY_CONNECTED = ("linear", "addmm", "mm", "matmul", "einsum", "tensordot", "inner", "mv", "bilinear")
"""Operations that connect every input to every output, where weights are one of their operands."""


@dataclass(frozen=True)
class LayerCost:
    """What one layer costs and sees. Lengths are pixels of the input, one number per spatial axis.

    Attributes:
        layer: the user's name for it: the path of its module, where it is one.
        kind: its operation; of several the one with the most mult-adds.
        family: ``"conv"``, ``"fc"``, ``"pool"`` or ``"other"``.
        shape: its output for one window, without the batch.
        params: its parameters; those that several layers share count at the first.
        macs: mult-adds for one window.
        comparisons, additions: for one window, of max and average poolings: every value that goes into an output
            counts one. They are no mult-adds and stand in no total of these.
        receptive_field: what one output sees of the input, padding included; once each window has a value of its own
            (a fully connected layer, a mean), what this sees.
        network_stride: product of the strides of the layers so far.
        padding: how far the first output sees beyond the window's start.
        reach: positions at the window's start and end that see padding, or depend on it in another way; None where
            each window has a value of its own.
        how: how the mode ``exact`` computes it: ``"shared"``, ``"strips"``, ``"per window"``, or ``"left out"``, where
            only other outputs than the wanted one need it; of layers that are summed up ``"mixed"`` where they differ;
            empty before windows are known.
        image_macs: mult-adds for all windows of the image, by mode.
    """

    layer: str
    kind: str
    family: str
    shape: tuple[int, ...]
    params: int
    macs: int
    comparisons: int
    additions: int
    receptive_field: tuple[int, ...]
    network_stride: tuple[int, ...]
    padding: tuple[int, ...]
    reach: tuple[tuple[int, int] | None, ...]
    how: str = ""
    image_macs: Mapping[str, int] = field(default_factory=dict)


def layer_costs(network: Network) -> tuple[LayerCost, ...]:
    """One record per layer with parameters, mult-adds or pooling, and where branches meet, in the order of computing.

    A layer that runs several times is one row: its mult-adds are added up, what it sees is that of its last call.
    """
    groups: dict[str, list[Call]] = {}
    for call in calls(network):
        groups[call.layer] = [*groups.pop(call.layer, []), call]  # in the order of their last calls
    own = _own_parameters(network)
    rows = [(group, _row(group, network.window, own)) for group in groups.values()]
    return tuple(row for group, row in rows if _counts(row) or any(map(_joins, group)))


def _counts(row: LayerCost) -> bool:
    return bool(row.params or row.macs or row.comparisons or row.additions)


def _joins(call: Call) -> bool:
    """Whether maps meet in a call: what it sees is what all of them see together."""
    maps = [value for node in set(call.inputs) if isinstance(value := call.values[node], Value) and value.mapped]
    return len(maps) > 1


class Seen(NamedTuple):
    """What a value sees along one axis, in pixels; ``reach`` in positions."""

    receptive_field: int
    network_stride: int
    padding: int
    reach: tuple[int, int] | None


def _row(group: Sequence[Call], window: Sequence[int], own: Mapping[fx.Node, int]) -> LayerCost:
    last, main = group[-1], max(group, key=window_macs)
    seen = list(_seen(last, window))
    kind = _kind(main)
    compared, added = (sum(found) for found in zip(*map(_pooled, group), strict=True))
    shape = tuple(size // BATCH if size % BATCH == 0 else size for size in last.shape)
    return LayerCost(
        layer=last.layer,
        kind=kind,
        family=_family(kind, bool(compared or added), weighted=len(main.inputs) < len(main.node.all_input_nodes)),
        shape=shape[1:] or (1,),
        params=sum(own[call.node] for call in group),
        macs=sum(map(window_macs, group)),
        comparisons=compared,
        additions=added,
        receptive_field=tuple(axis.receptive_field for axis in seen),
        network_stride=tuple(axis.network_stride for axis in seen),
        padding=tuple(axis.padding for axis in seen),
        reach=tuple(axis.reach for axis in seen),
    )


def _kind(call: Call) -> str:
    return call.target._schema.name.removeprefix("aten::") if hasattr(call.target, "_schema") else "item"


def _family(kind: str, pools: bool, weighted: bool) -> str:
    if "conv" in kind:
        return "conv"
    if kind in FULLY_CONNECTED and weighted:
        return "fc"
    return "pool" if pools or "pool" in kind else "other"


def _pooled(call: Call) -> tuple[int, int]:
    """Comparisons and additions of a call for one window."""
    rule = rule_for(call.target)
    return (rule.comparisons(call), rule.additions(call)) if rule is not None else (0, 0)


def _seen(call: Call, window: Sequence[int]) -> Iterator[Seen]:
    value = call.values[call.node]
    first = value[0] if isinstance(value, tuple) else value
    assert isinstance(first, Value)
    for record, spent, size in zip(first.axes, first.history(), window, strict=True):
        if record is not None:
            sees = record.seen_high - record.seen_low
            yield Seen(sees, record.network_stride, -record.seen_low, (record.head, record.tail))
        elif spent is not None:
            yield Seen(spent.high - spent.low, spent.network_stride, -spent.low, None)
        else:
            yield Seen(size, size, 0, None)


def _own_parameters(network: Network) -> dict[fx.Node, int]:
    """Parameters that a call is the first to read, itself or through values made of weights alone."""
    found: dict[fx.Node, int] = {}
    counted: set[fx.Node] = set()
    for call in calls(network):
        waiting, weights = list(call.node.all_input_nodes), set()
        while waiting:
            node = waiting.pop()
            if node not in counted and node not in found:
                counted.add(node)
                waiting += node.all_input_nodes
                weights |= {str(node.target)} if node.op == "get_attr" else set()
        learned = [network.state[name] for name in weights if isinstance(network.state[name], nn.Parameter)]
        found[call.node] = sum(weight.numel() for weight in learned)
    return found
