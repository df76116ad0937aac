"""Means, sums and maxima over dimensions; over a spatial axis they take each window's own positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import torch

from everywindow.geometry import Dim, Space, Value, has_batch, space_axes
from everywindow.ops import functional as fn
from everywindow.ops.emitter import Emitter, Mapped
from everywindow.ops.form import axis_dim, is_in_place, physical_dim, rearrangement
from everywindow.ops.places import Places, Step, verbatim
from everywindow.ops.rule import Call, MixesBatch, NotShared, Rule, normal_dim, overloads, per_item, shape_of
from everywindow.ops.verbatim import AlongFeatures, plain_value


class Reduction(Rule):
    """Mean, sum, largest and smallest value over any dimensions but the batch."""

    targets = overloads("mean.dim sum.dim_IntList amax.default amin.default mean.default sum.default")

    def infer(self, call: Call) -> Value | tuple[Value, ...]:
        return reduced_value(_ready(call), _dims(call), keepdim=bool(call.arguments.get("keepdim")))

    def convert(self, call: Call, emit: Emitter) -> Mapped | tuple[Mapped, ...]:
        mapped = _promoted(call, emit, emit.plain(emit.mapped(call.inputs[0]), _ready(call)))
        kind = call.target._schema.name.removeprefix("aten::")
        keepdim = bool(call.arguments.get("keepdim"))
        return reduced_map(emit, mapped, _dims(call), _KINDS.get(kind, kind), keepdim)

    def share(self, call: Call, places: Places, after: Value) -> Step:
        value = call.value(call.inputs[0])
        if space_axes([value.layout[dim] for dim in _dims(call)]):
            raise NotShared("it takes whole windows")
        return verbatim(call, places, after)

    def sums(self, call: Call) -> int | None:
        kind = call.target._schema.name.removeprefix("aten::")
        return sum_divisor(call, _dims(call), kind) if kind in ("mean", "sum") else None

    def additions(self, call: Call) -> int:
        return _over_space(call) if call.target._schema.name in ("aten::mean", "aten::sum") else 0

    def comparisons(self, call: Call) -> int:
        return _over_space(call) if call.target._schema.name in ("aten::amax", "aten::amin", "aten::max") else 0


def _over_space(call: Call) -> int:
    """Values that go into a reduction for one window, where it runs over positions as a pooling does."""
    value = call.value(call.inputs[0])
    pools = space_axes([value.layout[dim] for dim in _dims(call)])
    return per_item(shape_of(call.inputs[0])) if pools else 0


def sum_divisor(call: Call, dims: Sequence[int], kind: str) -> int | None:
    """What a window's sum is divided by, where the call sums or averages all its positions and nothing else."""
    value, dtype = call.value(call.inputs[0]), call.inputs[0].meta["dtype"]
    spatial = [dim for dim, atoms in enumerate(value.layout) if space_axes((atoms,))]
    whole = len(value.mapped) == len(value.axes) and is_in_place(value.layout) and sorted(dims) == spatial
    if not whole or not dtype.is_floating_point or call.node.meta["dtype"] != dtype:
        return None
    return prod(value.axis(axis).n for axis in value.mapped) if kind == "mean" else 1


class Norm(Reduction):
    """The Euclidean norm over dimensions."""

    targets = overloads("linalg_vector_norm.default norm.ScalarOpt_dim")

    def infer(self, call: Call) -> Value | tuple[Value, ...]:
        return _ALONG.infer(call) if self._other(call) else super().infer(call)

    def convert(self, call: Call, emit: Emitter) -> Mapped | tuple[Mapped, ...]:
        return _ALONG.convert(call, emit) if self._other(call) else super().convert(call, emit)

    def _other(self, call: Call) -> bool:
        """Whether this is another norm, which only features have in common."""
        return call.arguments.get("ord", call.arguments.get("p")) not in (2, 2.0, None)


_ALONG = AlongFeatures()


class Extremum(Reduction):
    """``x.max(dim)``: the values; their places count from the window's corner and are not converted."""

    targets = overloads("max.dim min.dim")

    def infer(self, call: Call) -> tuple[Value, ...]:
        value = super().infer(call)
        assert isinstance(value, Value)
        return value, value.ended(call.because("the places of the extremes count from the window's corner"))

    def convert(self, call: Call, emit: Emitter) -> tuple[Mapped, ...]:
        values = super().convert(call, emit)
        assert isinstance(values, Mapped)
        return (values,)


def _promoted(call: Call, emit: Emitter, mapped: Mapped) -> Mapped:
    """The input in the result's dtype: sums of booleans and small integers count in larger ones."""
    recorded = call.node.meta["dtype"]
    dtype = recorded[0] if isinstance(recorded, list) else recorded
    if call.inputs[0].meta["dtype"] == dtype:
        return mapped
    return replace(mapped, node=emit.call(torch.ops.aten.to.dtype, mapped.node, dtype))


def _ready(call: Call) -> Value:
    """The input's record; gathered where a vector of flattened features and positions is reduced."""
    value = call.value(call.inputs[0])
    dims = [value.layout[dim] for dim in _dims(call)]
    if all(_only_space(dim) or not space_axes((dim,)) for dim in dims):
        if not is_in_place(value.layout) and 0 < len(space_axes(dims)) < len(value.mapped):
            raise NotShared("a reduction over part of a flattened map")
        return value
    return plain_value(value, "a reduction")


def _only_space(dim: Dim) -> bool:
    return bool(dim) and all(isinstance(atom, Space) for atom in dim)


def _dims(call: Call) -> list[int]:
    rank = len(call.value(call.inputs[0]).layout)
    given = call.arguments.get("dim")
    if given is None or given == []:
        return list(range(rank))
    listed = [given] if isinstance(given, int) else list(given)
    return sorted(normal_dim(dim, rank) for dim in listed)


def reduced_value(value: Value, dims: Sequence[int], keepdim: bool) -> Value:
    """The record behind a reduction over ``dims``.

    Raises:
        MixesBatch: the batch is among them.
    """
    if any(has_batch(value.layout[dim]) for dim in dims):
        raise MixesBatch("a reduction runs over the items of the batch")
    axes = space_axes([value.layout[dim] for dim in dims])
    layout = tuple(
        () if index in dims else dim for index, dim in enumerate(value.layout) if keepdim or index not in dims
    )
    return value.reduced(axes, layout)


def reduced_map(emit: Emitter, mapped: Mapped, dims: Sequence[int], kind: str, keepdim: bool) -> Mapped:
    """The reduction on the map: features as they stand, spatial axes per window and into the batch."""
    layout = mapped.value.layout
    spatial = [dim for dim in dims if _only_space(layout[dim])]
    features = [dim for dim in dims if dim not in spatial]
    final = reduced_value(mapped.value, dims, keepdim)
    at = [physical_dim(layout, dim) for dim in features]
    if spatial:
        mapped = _windows_reduced(emit, mapped, at, spatial, kind)
    elif features:
        mapped = replace(mapped, node=emit.call(fn.REDUCTIONS[kind], mapped.node, at, True))
    in_place = is_in_place(layout)
    left = tuple(
        () if dim in features or dim in spatial else atoms
        for dim, atoms in enumerate(layout)
        if not (in_place and dim in spatial)
    )
    return emit.rearranged(mapped, rearrangement(left, final.layout), final)


def _windows_reduced(emit: Emitter, mapped: Mapped, features: Sequence[int], dims: Sequence[int], kind: str) -> Mapped:
    """Each window's own value along some spatial dimensions, which leave the map for the batch.

    ``features`` are physical dimensions that are reduced with them.
    """
    layout = mapped.value.layout
    axes = space_axes([layout[dim] for dim in dims])
    at = [axis_dim(layout, axis) for axis in axes]
    steps, counts = emit.windows(mapped, axes)
    boxes = [(dim, *step) for dim, step in zip(at, steps, strict=True)]
    node = emit.call(fn.window_reduce, mapped.node, features, boxes, counts, kind)
    node = emit.call(fn.windows_to_batch, node, [(dim, 1) for dim in at], counts)
    return emit.into_batch(mapped, axes, node, mapped.value)


_KINDS = {"max": "amax", "min": "amin", "linalg_vector_norm": "norm"}
