"""Max against mean pooling, where what they take moves by one position."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx

from everywindow.costing import calls
from everywindow.engines import Prepared
from everywindow.geometry import Value
from everywindow.graph import Network
from everywindow.probing.fields import Field
from everywindow.probing.maps import first_value, kind_of, watched
from everywindow.report import PoolShift

PLAIN = ((2, 2), (3, 2))
"""Kernel and stride of the poolings that are tried on the image itself."""

ROUNDING = 8
"""Outputs that differ by so many units in the last place of the largest are unchanged."""


class _Pooling(NamedTuple):
    layer: str
    own: str
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    source: fx.Node | None = None


class _Moved(NamedTuple):
    """What changes with a shift: the share of values that do not, and the mean change over the deviation."""

    unchanged: float
    change: float


def moved_pools(prepared: Prepared, network: Network | None, fields: Sequence[Field]) -> tuple[PoolShift, ...]:
    """Max and mean pooling of the image, and of the maps before the network's own poolings, by the same kernel and
    stride; without padding."""
    axes = len(fields[0].window)
    own = [] if network is None else list(_own(network))
    plain = [_Pooling("image", "", (k,) * axes, (s,) * axes, (1,) * axes) for k, s in PLAIN]
    values = _sources(network, own)
    found: dict[_Pooling, list[tuple[_Moved, _Moved, _Moved]]] = {pooling: [] for pooling in (*plain, *own)}
    for view in fields:
        for pooling in plain:
            found[pooling] += _measured(view.middle.to(prepared.dtype), pooling)
        maps = [] if network is None else watched(prepared, network, view.middle, values)
        for node, each in maps:
            for pooling in own:
                found[pooling] += _measured(each, pooling) if pooling.source is node else []
    return tuple(_row(pooling, measured) for pooling, measured in found.items() if measured)


def _own(network: Network) -> Iterator[_Pooling]:
    """The network's max and average poolings with a kernel."""
    axes = len(network.window)
    for call in calls(network):
        kind, source = kind_of(call.node), call.node.all_input_nodes[0]
        if kind not in (f"max_pool{axes}d", f"avg_pool{axes}d"):
            continue
        schema: Any = call.node.target
        named = dict(zip((argument.name for argument in schema._schema.arguments), call.node.args, strict=False))
        kernel = _each(named["kernel_size"], axes)
        stride = _each(named.get("stride") or kernel, axes)
        own = "max" if kind.startswith("max") else "mean"
        yield _Pooling(call.layer, own, kernel, stride, _each(named.get("dilation", 1), axes), source)


def _sources(network: Network | None, own: Sequence[_Pooling]) -> dict[fx.Node, Value]:
    """The maps that the poolings take, with their records."""
    if network is None:
        return {}
    known = {call.node: first_value(call.values[call.node]) for call in calls(network)}
    found = {pooling.source: known.get(pooling.source) for pooling in own if pooling.source is not None}
    return {node: value for node, value in found.items() if value is not None and len(value.mapped) == len(value.axes)}


def _each(value: Any, axes: int) -> tuple[int, ...]:
    listed = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    return listed if len(listed) == axes else listed * axes


def _measured(values: Tensor, pooling: _Pooling) -> list[tuple[_Moved, _Moved, _Moved]]:
    """What a move by one position along each axis changes: of the values, of their maxima and of their means."""
    sizes = values.shape[1:]
    spans = [dilation * (kernel - 1) for kernel, dilation in zip(pooling.kernel, pooling.dilation, strict=True)]
    if any(size - 1 < span + 1 for size, span in zip(sizes, spans, strict=True)):
        return []
    return [_along(values, axis, pooling) for axis in range(1, values.ndim)]


def _along(values: Tensor, axis: int, pooling: _Pooling) -> tuple[_Moved, _Moved, _Moved]:
    here, there = (values.narrow(axis, first, values.shape[axis] - 1) for first in (0, 1))
    a, b = _blocks(here, pooling), _blocks(there, pooling)
    dims = tuple(range(-len(pooling.kernel), 0))
    return _moved(here, there), _moved(a.amax(dims), b.amax(dims)), _moved(a.mean(dims), b.mean(dims))


def _blocks(values: Tensor, pooling: _Pooling) -> Tensor:
    """``[channels, *outputs, *taps]``: what each output of a pooling without padding is made of."""
    settings = zip(pooling.kernel, pooling.stride, pooling.dilation, strict=True)
    for axis, (kernel, stride, dilation) in enumerate(settings, start=1):
        values = values.unfold(axis, dilation * (kernel - 1) + 1, stride)[..., ::dilation]
    return values


def _moved(before: Tensor, after: Tensor) -> _Moved:
    change = (after - before).abs()
    rounding = ROUNDING * torch.finfo(before.dtype).eps * before.abs().max()
    apart = before.flatten(1) - before.flatten(1).mean(1, keepdim=True)
    deviation = float(apart.square().mean().sqrt()) or 1.0
    return _Moved(float((change <= rounding).double().mean()), float(change.mean()) / deviation)


def _row(pooling: _Pooling, measured: Sequence[tuple[_Moved, _Moved, _Moved]]) -> PoolShift:
    inputs, largest, means = ([each[at] for each in measured] for at in range(3))
    return PoolShift(
        layer=pooling.layer,
        own=pooling.own,
        kernel=pooling.kernel,
        stride=pooling.stride,
        inputs_unchanged=_mean([one.unchanged for one in inputs]),
        max_unchanged=_mean([one.unchanged for one in largest]),
        mean_unchanged=_mean([one.unchanged for one in means]),
        inputs_change=_mean([one.change for one in inputs]),
        max_change=_mean([one.change for one in largest]),
        mean_change=_mean([one.change for one in means]),
    )


def _mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers)
