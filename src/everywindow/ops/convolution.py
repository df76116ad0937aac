"""Convolution: the local op with weights."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

from torch import Tensor, fx

from everywindow.geometry import LocalOp, Value, feature_dim, is_space
from everywindow.kernels import convolution as filtered
from everywindow.kernels import saves, worthwhile
from everywindow.ops import functional as fn
from everywindow.ops.emitter import Emitter, Mapped
from everywindow.ops.form import is_in_place
from everywindow.ops.local import LocalOps, Placed, after_local, extents_after, place
from everywindow.ops.places import Environment, Places, Step
from everywindow.ops.rule import (
    Call,
    MixesBatch,
    NotShared,
    Rule,
    numbers,
    overloads,
    per_item,
    refuse_batch,
    shape_of,
)


class Convolution(Rule):
    """Convolutions over any number of axes, grouped, dilated, padded."""

    targets = overloads("conv1d.default conv2d.default conv3d.default conv1d.padding conv2d.padding conv3d.padding")

    def infer(self, call: Call) -> Value:
        call.require_constant("weight", "bias")
        value = call.value(call["input"])
        rank = len(shape_of(call["weight"]))
        if len(value.layout) != rank:
            raise MixesBatch("a convolution without batch dimension takes as channels")
        if is_space(value.layout[1]):
            raise NotShared("a convolution takes a spatial axis as channels")
        refuse_batch(value.layout[1], "a convolution sums over")
        if value.mapped and not is_in_place(value.layout):
            raise NotShared("a convolution over a flattened map")
        ops = local_ops(call)
        value = replace(value, layout=(value.layout[0], feature_dim(call.shape[1]), *value.layout[2:]))
        return after_local(call, value, ops, {dim: _why(op) for dim, op in ops.items()}, call.shape)

    def convert(self, call: Call, emit: Emitter) -> Mapped:
        mapped = emit.mapped(call["input"])
        ops = local_ops(call)
        placed = place(mapped, ops, emit)
        x, padding = _padded(emit, mapped.node, placed)
        convolution = _plain_overload(call)
        node = emit.call(
            convolution,
            x,
            emit.constant(call["weight"]),
            emit.constant(call["bias"]),
            [op.stride for op in placed.values()],
            padding,
            [op.dilation for op in placed.values()],
            call["groups"],
        )
        return replace(mapped, node=node, value=self.infer(call), extents=extents_after(mapped, ops, emit))

    def share(self, call: Call, places: Places, after: Value) -> Step:
        ops = local_ops(call)
        source, before = call["input"], call.value(call["input"])
        convolution, groups = _plain_overload(call), call["groups"]
        if all(op.kernel == 1 for op in ops.values()):
            pick = places.picks(before, after, ops)
            ones, zeros = [1] * len(ops), [0] * len(ops)

            def at_positions(environment: Environment) -> Any:
                weight, bias = arguments_of(call, environment)
                return convolution(pick(environment[source]), weight, bias, ones, zeros, ones, groups)

            return Step(at_positions, copies=() if pick.trivial else (source,))
        moves = places.moves(before, after, ops)
        strides, dilations = [op.stride for op in ops.values()], [op.dilation for op in ops.values()]

        def on_slabs(environment: Environment) -> Any:
            weight, bias = arguments_of(call, environment)

            def apply(slab: Tensor) -> Tensor:
                if saves(slab, weight, strides, dilations, groups):
                    return filtered(slab, weight, bias, dilations)
                made: Tensor = convolution(slab, weight, bias, strides, [0] * len(ops), dilations, groups)
                return made

            return moves.run(environment[source], 0.0, apply)

        return Step(on_slabs, moves)

    def macs(self, call: Call) -> int:
        return per_item(call.shape) * prod(shape_of(call["weight"])[1:])


def arguments_of(call: Call, environment: Environment) -> tuple[Tensor, Tensor | None]:
    """Weight and bias."""
    bias = call["bias"]
    return environment[call["weight"]], None if bias is None else environment[bias]


def may_save(call: Call) -> bool:
    """Whether minimal filtering may run a convolution of shared values (:mod:`everywindow.kernels.minimal`)."""
    out, channels, *taps = shape_of(call["weight"])
    plain = call["groups"] == 1 and all(step == 1 for step in numbers(call["stride"], len(taps)))
    return plain and worthwhile(out, channels, taps)


def local_ops(call: Call) -> LocalOps:
    """The convolution's local op for each of its dimensions."""
    kernel = shape_of(call["weight"])[2:]
    axes = len(kernel)
    stride, dilation = numbers(call["stride"], axes), numbers(call["dilation"], axes)
    spans = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    pads = _pads(call["padding"], spans)
    return {2 + index: LocalOp(kernel[index], dilation[index], stride[index], *pads[index]) for index in range(axes)}


def _pads(padding: Any, spans: list[int]) -> list[tuple[int, int]]:
    """Padding before and after, per axis; an odd total puts the larger half behind."""
    if padding == "same":
        return [(span // 2, span - span // 2) for span in spans]
    if padding == "valid":
        return [(0, 0)] * len(spans)
    return [(pad, pad) for pad in numbers(padding, len(spans))]


def _why(op: LocalOp) -> str:
    return f"zero padding {(op.pad_low, op.pad_high)}"


def _padded(emit: Emitter, x: fx.Node, placed: dict[int, Placed]) -> tuple[fx.Node, list[int]]:
    """The input, padded where the two sides differ, and the convolution's own padding."""
    if all(op.low == op.high for op in placed.values()):
        return x, [op.low for op in placed.values()]
    amounts = [(dim, op.low, op.high) for dim, op in placed.items()]
    return emit.call(fn.pad, x, amounts, 0.0), [0] * len(placed)


def _plain_overload(call: Call) -> Any:
    """The overload that takes padding as numbers."""
    return next(target for target in Convolution.targets[:3] if target.overloadpacket is call.target.overloadpacket)
