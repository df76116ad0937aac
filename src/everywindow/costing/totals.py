"""Totals over a network: mult-adds per mode, and the memory that its values take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

from torch import fx

from everywindow.geometry import MapSize, WindowGrid, peak_elements
from everywindow.graph import Network, records
from everywindow.ops import BATCH, Call, is_fresh, rule_for


def calls(network: Network) -> Iterator[Call]:
    """The calls that depend on the image."""
    values = records(network).values
    for node in network.graph.nodes:
        if node.op == "call_function" and values[node] is not None and node.all_input_nodes:
            call = Call(node, values)
            if call.inputs:
                yield call


def window_macs(call: Call) -> int:
    """Mult-adds of a call for one window."""
    rule = rule_for(call.target)
    return rule.macs(call) if rule is not None else 0


def crops_macs(network: Network, grid: WindowGrid) -> int:
    """Mult-adds of the original network on every window by itself, with all its outputs."""
    return grid.total * sum(window_macs(call) for call in calls(network.as_run))


def fcn_macs(maps: Sequence[MapSize], grid: WindowGrid) -> int:
    """Mult-adds of one pass of the converted network."""
    return sum(size.macs_for(grid) for size in maps)


def fcn_peak_bytes(maps: Sequence[MapSize], grid: WindowGrid, itemsize: int) -> int:
    """Most bytes of values that one pass holds at a time (weights and the routines' own scratch not counted)."""
    return peak_elements(maps, grid) * itemsize


def window_peak_bytes(network: Network) -> int:
    """Most bytes of values that the original network holds at a time for one window, with all its outputs."""
    order = list(network.as_run.graph.nodes)
    last = {source: index for index, node in enumerate(order) for source in node.all_input_nodes}
    alive = peak = 0
    ends: dict[int, int] = {}
    for index, node in enumerate(order):
        size = _own_bytes(node)
        alive += size
        end = max(last.get(node, index), index)
        ends[end] = ends.get(end, 0) + size
        peak = max(peak, alive)
        alive -= ends.pop(index, 0)
    return peak


def _own_bytes(node: fx.Node) -> int:
    """Bytes of a value for one item of the batch; 0 for weights and views."""
    if node.op == "get_attr" or "shape" not in node.meta:
        return 0
    if node.op == "call_function" and not is_fresh(node.target):
        return 0
    shapes, dtypes = node.meta["shape"], node.meta["dtype"]
    if not isinstance(shapes, list):
        shapes, dtypes = [shapes], [dtypes]
    sizes: list[int] = [prod(shape) * dtype.itemsize for shape, dtype in zip(shapes, dtypes, strict=True)]
    return sum(sizes) // BATCH
