"""Padding: with a constant, or with copies of the window's own positions (reflected, repeated, wrapped)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from everywindow.geometry import Border, LocalOp, Value, is_space, space_axes
from everywindow.ops import functional as fn
from everywindow.ops.copies import pad_with_copies
from everywindow.ops.emitter import Emitter, Mapped
from everywindow.ops.local import LocalOps, after_local, extents_after, place
from everywindow.ops.places import Places, Step, picked, verbatim
from everywindow.ops.rule import Call, NotShared, Rule, overloads, shape_of
from everywindow.ops.verbatim import emit_verbatim

MODES = {"reflection": "reflect", "replication": "replicate", "_pad_circular": "circular", "constant": "constant"}
"""The mode of the overloads that have one each, by the start of their names."""


class Padding(Rule):
    """On a spatial axis a local op whose head and tail hold the padding.

    In one pass the image-wide map is padded at its own border in the same way.
    """

    targets = overloads(
        "pad.default constant_pad_nd.default reflection_pad1d.default reflection_pad2d.default "
        "reflection_pad3d.default replication_pad1d.default replication_pad2d.default replication_pad3d.default "
        "_pad_circular.default"
    )

    def infer(self, call: Call) -> Value:
        value = call.value(call.inputs[0])
        ops, mode = _local_ops(call), _mode(call)
        name = "" if mode == "constant" else f"{mode} "
        why = {dim: f"{name}padding {(op.pad_low, op.pad_high)}" for dim, op in ops.items()}
        after = after_local(call, value, ops, why, call.shape)
        for dim, border in _borders(call, ops).items():
            _check(border, shape_of(call.inputs[0])[dim], mode)
            if mode == "circular" and is_space(value.layout[dim]):
                axis = space_axes((value.layout[dim],))[0]
                after = after.with_axis(axis, after.axis(axis).wrapped())
        return after

    def convert(self, call: Call, emit: Emitter) -> Mapped:
        mapped = emit.mapped(call.inputs[0])
        ops, mode, result = _local_ops(call), _mode(call), self.infer(call)
        if not _on_map(mapped.value, ops):
            return emit_verbatim(call, emit, mapped, result)
        placed = place(mapped, ops, emit)
        if mode == "constant":
            amounts = [(dim, op.low, op.high) for dim, op in placed.items()]
            node = emit.call(fn.pad, mapped.node, amounts, _fill(call))
        else:
            sides = [(dim, op.op.pad_low, op.op.pad_high, op.scale) for dim, op in placed.items()]
            node = emit.call(pad_with_copies, mapped.node, sides, mode)
        return replace(mapped, node=node, value=result, extents=extents_after(mapped, ops, emit))

    def share(self, call: Call, places: Places, after: Value) -> Step:
        ops = _local_ops(call)
        if not _on_map(call.value(call.inputs[0]), ops):
            return verbatim(call, places, after)
        return picked(call, places, after, _borders(call, ops) or ops, _fill(call))


def _on_map(value: Value, ops: LocalOps) -> bool:
    return any(is_space(value.layout[dim]) for dim in ops)


def _mode(call: Call) -> str:
    if "mode" in call.arguments:
        return str(call["mode"])
    name = str(call.target).removeprefix("aten.")
    return next(mode for start, mode in MODES.items() if name.startswith(start))


def _fill(call: Call) -> float:
    return float(call.arguments.get("value") or 0.0)


def _local_ops(call: Call) -> LocalOps:
    """The padding as a local op of each dimension that it changes."""
    pads = list(call.arguments["pad"] if "pad" in call.arguments else call["padding"])
    last = len(shape_of(call.inputs[0])) - 1
    pairs = zip(pads[::2], pads[1::2], strict=True)
    return {last - at: LocalOp(pad_low=low, pad_high=high) for at, (low, high) in enumerate(pairs) if low or high}


def _borders(call: Call, ops: LocalOps) -> Mapping[int, Border]:
    """The padding of each dimension, where it is one with copies."""
    mode = _mode(call)
    return {} if mode == "constant" else {dim: Border(mode, op.pad_low, op.pad_high) for dim, op in ops.items()}


def _check(border: Border, n: int, mode: str) -> None:
    """Raise NotShared where the window has too few positions."""
    if not border.fits(n):
        raise NotShared(f"{mode} padding {(border.low, border.high)} of {n} positions")
