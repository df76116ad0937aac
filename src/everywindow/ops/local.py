"""What convolution, pooling, slices and padding have in common: a local op along each of some dimensions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

from everywindow.geometry import (
    AxisRecord,
    Dim,
    Extent,
    Feature,
    LocalOp,
    Value,
    feature_dim,
    is_space,
    space_axes,
)
from everywindow.ops.emitter import Emitter, Mapped
from everywindow.ops.form import is_in_place
from everywindow.ops.rule import Call, NotShared, refuse_batch

LocalOps = Mapping[int, LocalOp]
"""A local op for each dimension that has one."""


def after_local(call: Call, value: Value, ops: LocalOps, why: Mapping[int, str], shape: Sequence[int]) -> Value:
    """The record behind local ops along some dimensions.

    ``why`` says per dimension what makes its border positions depend on the window's end, ``shape`` is the
    output's shape.
    """
    if value.mapped and not is_in_place(value.layout):
        raise NotShared(f"{call.target} over a flattened map")
    layout = list(value.layout)
    reasons = []
    for dim, op in ops.items():
        refuse_batch(layout[dim], "a local operation runs over")
        if not is_space(layout[dim]):
            layout[dim] = _same_or_features(layout[dim], op, shape[dim])
            continue
        axis = space_axes((layout[dim],))[0]
        before = value.axis(axis)
        after = before.after(op)
        if after.n < 1:
            raise NotShared("no position is left")
        if _adds_border(before, after, op):
            reasons.append(call.because(why[dim]))
        value = value.with_axis(axis, after)
    return replace(value, layout=tuple(layout)).because(*reasons)


def _same_or_features(dim: Dim, op: LocalOp, size: int) -> Dim:
    return dim if op == LocalOp() else feature_dim(size)


def _adds_border(before: AxisRecord, after: AxisRecord, op: LocalOp) -> bool:
    """Whether the op itself, not only what came before, lets a position see past the window's end."""
    clean = AxisRecord(before.n, before.jump).after(op)
    return (clean.head, clean.tail) != (0, 0) and not after.exact


@dataclass(frozen=True)
class Placed:
    """A local op on a map along one dimension.

    Attributes:
        kernel, dilation, stride, low, high: the op on the map, padding included.
        scale: positions of the map between neighbouring positions of a window.
        op: the op in a window.
    """

    kernel: int
    dilation: int
    stride: int
    low: int
    high: int
    scale: int
    op: LocalOp


def place(mapped: Mapped, ops: LocalOps, emit: Emitter) -> dict[int, Placed]:
    """Each local op as it runs on the map (features: as it stands)."""
    return {dim: _place_one(mapped, dim, op, emit) for dim, op in ops.items()}


def _place_one(mapped: Mapped, dim: int, op: LocalOp, emit: Emitter) -> Placed:
    layout = mapped.value.layout
    scale, step = 1, op.stride
    if is_space(layout[dim]):
        axis = space_axes((layout[dim],))[0]
        record = mapped.value.axis(axis)
        scale, step = mapped.extent(axis).placed(record, op, emit.stride[axis])
        high = op.reach(record.n)
    else:
        high = op.reach(prod(atom.size for atom in layout[dim] if isinstance(atom, Feature)))
    return Placed(op.kernel, op.dilation * scale, step, op.pad_low * scale, high * scale, scale, op)


def extents_after(mapped: Mapped, ops: LocalOps, emit: Emitter) -> tuple[Extent | None, ...]:
    """The extents behind the local ops."""
    extents = list(mapped.extents)
    for dim, op in ops.items():
        if is_space(mapped.value.layout[dim]):
            axis = space_axes((mapped.value.layout[dim],))[0]
            extents[axis] = mapped.extent(axis).after(mapped.value.axis(axis), op, emit.stride[axis])
    return tuple(extents)
