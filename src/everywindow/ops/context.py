"""Whole-window context inside the one pass: each position of a map takes that of the window around it.

Where a value of the whole window (a mean, a gate made of it) meets a map, every window has another value for one and
the same position. The one pass takes, for each position, the value of the window around it, moved so as to lie inside
the map: an approximation, and for an image of the window's size the original.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import fx

from everywindow.geometry import Extent, Reason, Space, Value
from everywindow.ops import functional as fn
from everywindow.ops.emitter import Box, Emitter, Mapped
from everywindow.ops.form import axis_dim, is_in_place
from everywindow.ops.rule import NotShared

WHY = "each position takes the context of the window around it"
"""Why the one pass then differs from the crops."""


def in_context(value: Value, reason: Reason) -> Value:
    """The record of positions that take something of the window around them, made of the same map."""
    for axis in value.mapped:
        record = value.axis(axis)
        value = value.with_axis(axis, record.with_context(*record.seen_by_window(), record.halo))
    return replace(value, inexact=True).because(reason)


class ContextEmitter(Emitter):
    """Emits values for the window around every position of a map, into the same graph as another emitter."""

    def __init__(self, main: Emitter) -> None:
        self.__dict__.update(main.__dict__)
        self.own: dict[fx.Node, Mapped | tuple[Mapped, ...]] = {}
        self.values = ChainMap(self.own, main.values)
        self._boxes: dict[tuple[fx.Node, int], Box] = {}

    def windows(self, mapped: Mapped, axes: Sequence[int]) -> tuple[list[tuple[int, int, int]], list[fx.Node]]:
        """Per axis positions in a window, positions between them, and 1; and the number of windows in the map."""
        boxes = [self._box(mapped, axis) for axis in axes]
        return [(box.n, box.dilation, 1) for box in boxes], [box.count for box in boxes]

    def into_batch(self, mapped: Mapped, axes: Sequence[int], node: fx.Node, value: Value) -> Mapped:
        """The record of a value whose ``axes`` have just gone into the batch."""
        boxes = mapped.boxes + tuple(self._box(mapped, axis) for axis in axes)
        return replace(super().into_batch(mapped, axes, node, value), boxes=boxes)

    def gathered(self, mapped: Mapped) -> Mapped:
        """No windows are taken from the map around each of its positions: they would be as many times the map."""
        raise NotShared("takes the whole window around every position")

    def _box(self, mapped: Mapped, axis: int) -> Box:
        key = (mapped.node, axis)
        if key not in self._boxes:
            record, extent = mapped.value.axis(axis), mapped.extent(axis)
            reach = (record.n - 1) * record.jump
            count = self.call(
                fn.positions_left, mapped.node, axis_dim(mapped.value.layout, axis), reach // extent.spacing
            )
            self._boxes[key] = Box(
                record.n, record.jump, extent.spacing, extent.shorter(reach // extent.spacing), count
            )
        return self._boxes[key]


def meeting(emit: Emitter, inputs: Sequence[Mapped]) -> list[Mapped]:
    """Maps cut to the positions that all have, and values of whole windows laid out over them.

    Raises:
        NotShared: the windows are not those around the positions of these maps.
    """
    if len({mapped.value.mapped for mapped in inputs}) == 1:
        return emit.aligned(inputs)
    if not all(is_in_place(mapped.value.layout) for mapped in inputs):
        raise NotShared("context of the whole window meets a flattened map")
    maps = {axis: mapped for mapped in reversed(inputs) for axis in mapped.value.mapped}
    return emit.aligned([_taken_back(emit, mapped, maps) for mapped in inputs])


def _taken_back(emit: Emitter, mapped: Mapped, maps: Mapping[int, Mapped]) -> Mapped:
    """A value with every axis where the maps have it: those that are in the batch come out of it."""
    axes = [axis for axis in sorted(maps) if axis not in mapped.value.mapped]
    if not axes:
        return mapped
    if any(axis not in mapped.batched for axis in axes) or len(mapped.boxes) != len(mapped.batched):
        raise NotShared("a value that is the same for all windows meets single positions")
    value, extents, back = mapped.value, list(mapped.extents), []
    for axis in axes:
        box, other = mapped.boxes[mapped.batched.index(axis)], maps[axis]
        record, dim = other.value.axis(axis), axis_dim(other.value.layout, axis)
        alike = (box.n, box.jump, box.spacing) == (record.n, record.jump, other.extent(axis).spacing)
        if not alike or len(value.layout) != len(other.value.layout) or value.layout[dim]:
            raise NotShared("context of the whole window meets a map that it was not made of")
        back.append((mapped.batched.index(axis), dim, box.n, box.dilation, other.node))
        layout = (*value.layout[:dim], (Space(axis),), *value.layout[dim + 1 :])
        value, extents[axis] = replace(value, layout=layout).with_axis(axis, record), other.extent(axis)
    node = emit.call(fn.around_positions, mapped.node, emit.image, [box.count for box in mapped.boxes], back)
    left = [(axis, box) for axis, box in zip(mapped.batched, mapped.boxes, strict=True) if axis not in axes]
    batched, boxes = tuple(axis for axis, _ in left), tuple(box for _, box in left)
    return Mapped(node, value, tuple(extents), batched, boxes)


def sizes(mapped: Mapped) -> tuple[tuple[int | None, ...], tuple[Extent | None, ...]]:
    """Per axis the positions in a window and the map's extent; None where the batch holds the windows themselves."""
    lengths: list[Any] = [
        None if extent is None else mapped.value.axis(axis).n for axis, extent in enumerate(mapped.extents)
    ]
    extents = list(mapped.extents)
    for axis, box in zip(mapped.batched, mapped.boxes, strict=False):
        lengths[axis], extents[axis] = 1, box.extent
    return tuple(lengths), tuple(extents)
