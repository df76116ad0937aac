"""Calls that run on the map as they stand: on features only, or on values that no window shares any more."""

from __future__ import annotations

import operator
from dataclasses import replace
from typing import Any

from torch import fx

from everywindow.geometry import Layout, Value, feature_dim, is_space, space_axes
from everywindow.ops.emitter import Emitter, Mapped
from everywindow.ops.form import is_in_place, physical_dim
from everywindow.ops.places import Unchanged
from everywindow.ops.rule import Call, NotShared, normal_dim, overloads, refuse_batch, shape_of


def plain_value(value: Value, doing: str, tokens: bool = False) -> Value:
    """The record of a value once every window has its own tensor.

    Only a flattened vector is taken apart like this; with ``tokens`` also positions that stand beside features.

    Raises:
        NotShared: its positions are not all in one flattened dimension.
    """
    if not value.mapped:
        return value
    at = value.flat_dim()
    if at in (None, 0) or (len(value.layout) > 2 and not tokens):
        raise NotShared(f"{doing} over the positions of the window")
    return value.reduced(value.mapped, value.gone().layout)


def emit_verbatim(call: Call, emit: Emitter, mapped: Mapped, value: Value, **changed: Any) -> Mapped:
    """The original call on the converted input; ``changed`` replaces arguments by name."""
    converted = {call.inputs[0]: mapped.node}
    arguments = [
        changed[name] if name in changed else emit.argument(argument, converted)
        for name, argument in call.arguments.items()
    ]
    node = emit_overload(call, emit, arguments)
    return replace(mapped, node=node, value=value)


def emit_overload(call: Call, emit: Emitter, arguments: list[Any]) -> fx.Node:
    """The call's overload with all arguments in schema order (keyword-only ones by name)."""
    schema = call.target._schema.arguments
    positional = [value for value, spec in zip(arguments, schema, strict=True) if not spec.kwarg_only]
    keyword = {spec.name: value for value, spec in zip(arguments, schema, strict=True) if spec.kwarg_only}
    return emit.call(call.target, *positional, **keyword)


def is_vector(value: Value, dim: int) -> bool:
    """Whether a dimension is a flattened vector with positions in it, and not a spatial axis."""
    atoms = value.layout[dim]
    return bool(space_axes((atoms,))) and (len(value.layout) == 2 or not is_space(atoms))


class AlongFeatures(Unchanged):
    """A call along one dimension of features (softmax, glu, cumulative sums): positions do not meet.

    On a flattened map every window takes its own vector.
    """

    targets = overloads(
        "softmax.int log_softmax.int _softmax.default _log_softmax.default glu.default cumsum.default "
        "cumprod.default cummax.default cummin.default logsumexp.default prod.dim_int median.dim flip.default "
        "roll.default var.correction std.correction var.dim std.dim sort.default topk.default argmax.default "
        "native_channel_shuffle.default channel_shuffle.default"
    )

    def infer(self, call: Call) -> Value | tuple[Value, ...]:
        value = self._value(call)
        return (value,) * len(call.shapes) if isinstance(call.node.meta["shape"], list) else value

    def _value(self, call: Call) -> Value:
        value, dims = self._plain(call)
        for dim in dims:
            refuse_batch(value.layout[dim], f"{_name(call)} runs over")
            if space_axes((value.layout[dim],)):
                raise NotShared(f"{_name(call)} runs over the window's positions")
        return replace(value, layout=_kept_dims(value.layout, dims, call))

    def convert(self, call: Call, emit: Emitter) -> Mapped | tuple[Mapped, ...]:
        value, dims = self._plain(call)
        mapped = emit.mapped(call.inputs[0])
        mapped = emit.plain(mapped, value)
        named = {
            name: _same_kind(call[name], [physical_dim(value.layout, dim) for dim in dims])
            for name in ("dim", "dims")
            if name in call.arguments
        }
        result = emit_verbatim(call, emit, mapped, self._value(call), **named)
        if not isinstance(call.node.meta["shape"], list):
            return result
        several = range(len(call.shapes))
        return tuple(replace(result, node=emit.call(operator.getitem, result.node, index)) for index in several)

    def _plain(self, call: Call) -> tuple[Value, list[int]]:
        """The input's record, gathered where the call meets a flattened map, and the dimensions it runs over."""
        value = call.value(call.inputs[0])
        if "channel_shuffle" in _name(call) and value.mapped and not is_in_place(value.layout):
            raise NotShared("a channel shuffle over a flattened map")
        dims = _dims(call, len(value.layout))
        if any(is_vector(value, dim) for dim in dims):
            value = plain_value(value, f"{_name(call)} runs")
        return value, dims


def _dims(call: Call, rank: int) -> list[int]:
    if "channel_shuffle" in _name(call):
        return [1]
    given = call.arguments.get("dim", call.arguments.get("dims"))
    if given is None or (given == [] and _name(call) != "flip"):
        return list(range(rank))
    listed = [given] if isinstance(given, int) else list(given)
    return [normal_dim(dim, rank) for dim in listed]


def _same_kind(given: Any, dims: list[int]) -> Any:
    return dims[0] if isinstance(given, int) else dims


def _kept_dims(layout: Layout, dims: list[int], call: Call) -> Layout:
    """The layout of the output: reduced dimensions change their size or go."""
    shape = call.shape
    if len(shape) == len(layout):
        source = shape_of(call.inputs[0])
        return tuple(
            dim if index not in dims or shape[index] == source[index] else feature_dim(shape[index])
            for index, dim in enumerate(layout)
        )
    return tuple(dim for index, dim in enumerate(layout) if index not in dims)


def _name(call: Call) -> str:
    return str(call.target).removeprefix("aten.").partition(".")[0]
