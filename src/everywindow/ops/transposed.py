"""Transposed convolution: a convolution of the map with zeros between its positions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from torch import Tensor

from everywindow.geometry import LocalOp, Stuffing, Value, feature_dim, space_axes
from everywindow.ops.convolution import arguments_of
from everywindow.ops.emitter import Emitter, Mapped
from everywindow.ops.local import after_local
from everywindow.ops.opaque import OfMaps
from everywindow.ops.places import Environment, Places, Step
from everywindow.ops.rule import Call, NotShared, numbers, overloads, per_item, shape_of
from everywindow.ops.upsample import FINER_THAN_PIXELS, require_undilated


class TransposedConvolution(OfMaps):
    """Shared as a convolution of stuffed positions; one pass runs the call itself on the map."""

    macs_by_input = True
    targets = overloads("conv_transpose1d.default conv_transpose2d.input conv_transpose3d.input")

    def infer(self, call: Call) -> Value | tuple[Value, ...]:
        call.require_constant("weight", "bias")
        return super().infer(call)

    def _after(self, call: Call, value: Value) -> Value:
        stages = _stages(call)
        ops = {dim: stage.op for dim, stage in stages.items()}
        stuffed = _stuffed(value, stages, feature_dim(call.shape[1]))
        return after_local(call, stuffed, ops, {dim: stage.why for dim, stage in stages.items()}, call.shape)

    def _on_map(self, call: Call, emit: Emitter, mapped: Mapped) -> Mapped:
        extents = list(mapped.extents)
        for dim, stage in _stages(call).items():
            axis = require_undilated(call, mapped, dim)
            extents[axis] = mapped.extent(axis).finer(stage.step, stage.added)
        arguments = [emit.argument(argument, {call["input"]: mapped.node}) for argument in call.arguments.values()]
        return replace(mapped, node=emit.call(call.target, *arguments), extents=tuple(extents))

    def share(self, call: Call, places: Places, after: Value) -> Step:
        source, stages = call["input"], _stages(call)
        before = call.value(source)
        stuffed = _stuffed(before, stages, before.layout[1])
        pick = places.picks(before, stuffed, {dim: Stuffing(stage.step) for dim, stage in stages.items()})
        moves = places.moves(stuffed, after, {dim: stage.op for dim, stage in stages.items()})
        convolution = _CONVOLUTIONS[len(stages)]
        ones, groups = [1] * len(stages), call["groups"]
        dilations = [stage.op.dilation for stage in stages.values()]

        def run(environment: Environment) -> Any:
            weight, bias = arguments_of(call, environment)
            turned = _turned(weight, groups)

            def apply(slab: Tensor) -> Tensor:
                made: Tensor = convolution(slab, turned, bias, ones, [0] * len(ones), dilations, groups)
                return made

            return moves.run(pick(environment[source], 0.0), 0.0, apply)

        return Step(run, moves, copies=(source,), macs=prod(shape_of(call["weight"])))

    def macs(self, call: Call) -> int:
        return per_item(shape_of(call["input"])) * prod(shape_of(call["weight"])[1:])


_CONVOLUTIONS: Mapping[int, Any] = {axes: overloads(f"conv{axes}d.default")[0] for axes in (1, 2, 3)}


@dataclass(frozen=True)
class Stage:
    """A transposed convolution along one axis.

    Attributes:
        step: its stride.
        op: the convolution of the stuffed positions.
        added: by how much the output is longer than ``step`` times the input.
        why: what makes positions at the border depend on the window's end.
    """

    step: int
    op: LocalOp
    added: int
    why: str


def _stages(call: Call) -> dict[int, Stage]:
    """The stage of each dimension behind the features."""
    kernel = shape_of(call["weight"])[2:]
    named = (numbers(call[name], len(kernel)) for name in ("stride", "padding", "output_padding", "dilation"))
    settings = zip(kernel, *named, strict=True)
    return {dim: _stage(*setting) for dim, setting in enumerate(settings, start=2)}


def _stage(kernel: int, step: int, padding: int, output_padding: int, dilation: int) -> Stage:
    span = dilation * (kernel - 1)
    low = span - padding - (step - 1)
    op = LocalOp(kernel=kernel, dilation=dilation, pad_low=low, pad_high=low + output_padding)
    return Stage(
        step, op, span - 2 * padding + output_padding + 1 - step, f"it ends with its input's, {padding} cut off"
    )


def _stuffed(value: Value, stages: Mapping[int, Stage], features: Any) -> Value:
    """The record of the map with zeros between its positions."""
    for dim, stage in stages.items():
        axis = space_axes((value.layout[dim],))[0]
        record = value.axis(axis).stuffed(Stuffing(stage.step))
        if record is None:
            raise NotShared(FINER_THAN_PIXELS)
        value = value.with_axis(axis, record)
    return replace(value, layout=(value.layout[0], features, *value.layout[2:]))


def _turned(weight: Tensor, groups: int) -> Tensor:
    """``[in, out / groups, *kernel]`` as a convolution has it: ``[out, in / groups, *kernel]``, the kernel reversed."""
    grouped = weight.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1)
    turned: Tensor = grouped.flip(tuple(range(2, weight.ndim)))
    return turned
