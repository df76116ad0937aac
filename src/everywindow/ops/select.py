"""Parts of a tensor: slices, single positions, splits; and several tensors in a row."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import fx

from everywindow.geometry import Layout, LocalOp, Value, feature_dim, has_batch, is_space, space_axes
from everywindow.kernels import every
from everywindow.ops import functional as fn
from everywindow.ops.emitter import Emitter, Mapped
from everywindow.ops.form import is_in_place, physical_dim
from everywindow.ops.local import after_local, extents_after, place
from everywindow.ops.places import Places, Step, Unchanged, passed_on, picked, verbatim
from everywindow.ops.pointwise import join_records
from everywindow.ops.reduce import reduced_map, reduced_value
from everywindow.ops.rule import (
    Call,
    MixesBatch,
    NotShared,
    Rule,
    normal_dim,
    overloads,
    refuse_batch,
    shape_of,
)
from everywindow.ops.verbatim import emit_verbatim, is_vector, plain_value


def _ready(call: Call, value: Value, dim: int) -> Value:
    """The record, gathered where the call cuts a flattened dimension."""
    merged = space_axes((value.layout[dim],)) and not is_space(value.layout[dim])
    return plain_value(value, "a selection") if merged else value


class Slice(Rule):
    """``x[start:end:step]`` along one dimension; on a spatial axis a local op with negative padding."""

    targets = overloads("slice.Tensor narrow.default")
    passes_on = True

    def infer(self, call: Call) -> Value:
        value, dim = self._input(call)
        if has_batch(value.layout[dim]) and call.shape[dim] == shape_of(call.inputs[0])[dim]:
            return value
        refuse_batch(value.layout[dim], "a slice picks")
        if is_space(value.layout[dim]):
            return after_local(call, value, {dim: self._op(call, dim)}, {dim: ""}, call.shape)
        layout = list(value.layout)
        layout[dim] = feature_dim(call.shape[dim])
        return replace(value, layout=tuple(layout))

    def convert(self, call: Call, emit: Emitter) -> Mapped:
        before = emit.mapped(call.inputs[0])
        value, dim = self._input(call)
        mapped = emit.plain(before, value)
        result = self.infer(call)
        if has_batch(value.layout[dim]):
            return mapped
        if not is_space(value.layout[dim]):
            return emit_verbatim(call, emit, mapped, result, dim=physical_dim(value.layout, dim))
        return cropped(emit, mapped, dim, self._op(call, dim), result)

    def share(self, call: Call, places: Places, after: Value) -> Step:
        value, dim = self._input(call)
        if has_batch(value.layout[dim]):
            return passed_on(call.inputs[0])
        if not is_space(value.layout[dim]):
            return verbatim(call, places, after)
        return picked(call, places, after, {dim: self._op(call, dim)})

    def _input(self, call: Call) -> tuple[Value, int]:
        value = call.value(call.inputs[0])
        dim = normal_dim(call["dim"], len(value.layout))
        return _ready(call, value, dim), dim

    def _op(self, call: Call, dim: int) -> LocalOp:
        n, kept = shape_of(call.inputs[0])[dim], call.shape[dim]
        step = call.arguments.get("step") or 1
        start = call["start"] or 0
        start = min(max(start + n if start < 0 else start, 0), n)
        return LocalOp(stride=step, pad_low=-start, pad_high=-(n - start - (kept - 1) * step - 1))


def cropped(emit: Emitter, mapped: Mapped, dim: int, op: LocalOp, value: Value) -> Mapped:
    """A slice of a spatial axis on the map."""
    placed = place(mapped, {dim: op}, emit)[dim]
    node = emit.call(fn.pad, mapped.node, [(dim, placed.low, placed.high)], 0.0)
    node = emit.call(every, node, dim, placed.stride)
    return replace(mapped, node=node, value=value, extents=extents_after(mapped, {dim: op}, emit))


class Select(Unchanged):
    """One index of a dimension, which goes away."""

    targets = overloads("select.int")

    def infer(self, call: Call) -> Value:
        value, dim = self._input(call)
        refuse_batch(value.layout[dim], "an index picks")
        if is_space(value.layout[dim]):
            single = after_local(call, value, {dim: self._op(call, dim)}, {dim: ""}, call.shape)
            return reduced_value(single, [dim], keepdim=False)
        return replace(value, layout=value.layout[:dim] + value.layout[dim + 1 :])

    def convert(self, call: Call, emit: Emitter) -> Mapped:
        before = emit.mapped(call.inputs[0])
        value, dim = self._input(call)
        mapped = emit.plain(before, value)
        if not is_space(value.layout[dim]):
            one = emit_verbatim(call, emit, mapped, self.infer(call), dim=physical_dim(value.layout, dim))
            return _without_first(emit, one, value.layout) if dim == 0 else one
        op = self._op(call, dim)
        single = after_local(call, value, {dim: op}, {dim: ""}, call.shape)
        return reduced_map(emit, cropped(emit, mapped, dim, op, single), [dim], "sum", keepdim=False)

    def _input(self, call: Call) -> tuple[Value, int]:
        value = call.value(call.inputs[0])
        dim = normal_dim(call["dim"], len(value.layout))
        return _ready(call, value, dim), dim

    def _op(self, call: Call, dim: int) -> LocalOp:
        n = shape_of(call.inputs[0])[dim]
        index = normal_dim(call["index"], n)
        return LocalOp(pad_low=-index, pad_high=-(n - 1 - index))


def _without_first(emit: Emitter, mapped: Mapped, before: Layout) -> Mapped:
    """A value whose first dimension went: in vector form the next one, behind the axes, takes its place."""
    if is_in_place(before):
        return mapped
    return replace(mapped, node=emit.call(torch.ops.aten.movedim.int, mapped.node, len(space_axes(before)), 0))


class Split(Unchanged):
    """Several parts along a dimension of features."""

    targets = overloads(
        "chunk.default split.Tensor split.sizes split_with_sizes.default tensor_split.sections tensor_split.indices "
        "unbind.int unsafe_chunk.default unsafe_split.Tensor"
    )

    def infer(self, call: Call) -> tuple[Value, ...]:
        value, dim = self._input(call)
        refuse_batch(value.layout[dim], "a split parts")
        if is_space(value.layout[dim]):
            raise NotShared("a split of the window's positions")
        return tuple(replace(value, layout=_part(value.layout, dim, shape)) for shape in call.shapes)

    def convert(self, call: Call, emit: Emitter) -> tuple[Mapped, ...]:
        before = emit.mapped(call.inputs[0])
        value, dim = self._input(call)
        mapped = emit.plain(before, value)
        several = emit_verbatim(call, emit, mapped, value, dim=physical_dim(value.layout, dim))
        parts = [
            replace(mapped, node=emit.call(operator.getitem, several.node, index), value=part)
            for index, part in enumerate(self.infer(call))
        ]
        goes = dim == 0 and len(parts[0].value.layout) < len(value.layout)
        return tuple(_without_first(emit, part, value.layout) if goes else part for part in parts)

    def _input(self, call: Call) -> tuple[Value, int]:
        value = call.value(call.inputs[0])
        dim = normal_dim(call["dim"], len(value.layout))
        return _ready(call, value, dim), dim


def _part(layout: Layout, dim: int, shape: Sequence[int]) -> Layout:
    if len(shape) < len(layout):
        return layout[:dim] + layout[dim + 1 :]
    return (*layout[:dim], feature_dim(shape[dim]), *layout[dim + 1 :])


class Concatenation(Unchanged):
    """Tensors in a row along a dimension of features."""

    targets = overloads("cat.default concat.default concatenate.default stack.default")

    def infer(self, call: Call) -> Value:
        if any(call.is_constant(node) for node in call["tensors"]):
            raise NotShared("a constant is put beside values of the map")
        values, dim = self._inputs(call)
        if "stack" in str(call.target):
            if any(value.mapped and not is_in_place(value.layout) for value in values):
                raise NotShared("flattened maps are stacked")
            values = [replace(value, layout=(*value.layout[:dim], (), *value.layout[dim:])) for value in values]
        for value in values:
            refuse_batch(value.layout[dim], "a concatenation adds to")
            if space_axes((value.layout[dim],)):
                raise NotShared("a concatenation along the window's positions")
        blank = [replace(value, layout=_blanked(value.layout, dim)) for value in values]
        joined = join_records(blank)
        layout = (*joined.layout[:dim], feature_dim(call.shape[dim]), *joined.layout[dim + 1 :])
        return replace(joined, layout=layout)

    def convert(self, call: Call, emit: Emitter) -> Mapped:
        values, dim = self._inputs(call)
        inputs = [
            emit.plain(mapped, value) for mapped, value in zip(map(emit.mapped, call["tensors"]), values, strict=True)
        ]
        inputs = emit.aligned(inputs)
        result = self.infer(call)
        where = physical_dim(result.layout, dim)
        node = emit.call(call.target, [mapped.node for mapped in inputs], where)
        return replace(inputs[0], node=node, value=result)

    def _inputs(self, call: Call) -> tuple[list[Value], int]:
        """The records, all gathered where the concatenation adds to a flattened dimension."""
        values = [call.value(node) for node in call["tensors"]]
        dim = normal_dim(call["dim"], len(call.shape))
        if "stack" in str(call.target):
            return values, dim
        merged = any(is_vector(value, dim) for value in values)
        return ([plain_value(value, "a concatenation") for value in values] if merged else values), dim


def _blanked(layout: Layout, dim: int) -> Layout:
    return (*layout[:dim], (), *layout[dim + 1 :])


class Item(Rule):
    """One of several outputs."""

    targets = (operator.getitem,)
    passes_on = True

    def infer(self, call: Call) -> Value:
        source, index = call.node.args
        assert isinstance(source, fx.Node)
        assert isinstance(index, int)
        several = call.values[source]
        if not isinstance(several, tuple):
            raise MixesBatch("an index picks")
        return several[index]

    def convert(self, call: Call, emit: Emitter) -> Mapped:
        source, index = call.node.args
        assert isinstance(source, fx.Node)
        assert isinstance(index, int)
        several = emit.values[source]
        assert isinstance(several, tuple)
        return several[index]

    def share(self, call: Call, places: Places, after: Value) -> Step:
        source, index = call.node.args
        assert isinstance(source, fx.Node)
        return Step(lambda environment: environment[source][index])
