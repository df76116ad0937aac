"""Whole-window context inside the one pass: each position of a map takes that of the window around it.

Where a value of the whole window (a mean, a gate made of it) meets a map, every window has another value for one and
the same position. The one pass takes, for each position, the value of the window around it, moved so as to lie inside
the map: an approximation, and for an image of the window's size the original.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import fx

from everywindow.geometry import Extent, Reason, Value, is_space
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
        value = value.with_axis(axis, record.with_context(*record.seen_by_window()))
    return replace(value, inexact=True).because(reason)


class ContextEmitter(Emitter):
    """Emits values for the window around every position of a map, into the same graph as another emitter."""

    def __init__(self, main: Emitter) -> None:
        self.__dict__.update(main.__dict__)
        self._main = main
        self.own: dict[fx.Node, Mapped | tuple[Mapped, ...]] = {}
        self.values = ChainMap(self.own, main.values)
        self._boxes: dict[tuple[fx.Node, int], Box] = {}

    def windows(self, mapped: Mapped, axes: Sequence[int]) -> tuple[list[tuple[int, int, int]], list[fx.Node]]:
        """Per axis positions in a window, positions between them, and 1; and the number of windows in the map."""
        self.layer = self._main.layer
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
                record.n, record.jump, extent.spacing, Extent(extent.add - reach, extent.spacing), count
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
    axes = sorted({axis for mapped in inputs for axis in mapped.value.mapped})
    maps = {axis: _shortest(inputs, axis) for axis in axes}
    return [_laid_out(emit, mapped, maps) for mapped in inputs]


def _shortest(inputs: Sequence[Mapped], axis: int) -> Mapped:
    """Of the maps the one with the fewest positions along an axis."""
    maps = [mapped for mapped in inputs if axis in mapped.value.mapped]
    return min(maps, key=lambda mapped: mapped.extent(axis).add)


def _laid_out(emit: Emitter, mapped: Mapped, maps: dict[int, Mapped]) -> Mapped:
    missing = [axis for axis in maps if axis not in mapped.value.mapped]
    dims = {axis: axis_dim(other.value.layout, axis) for axis, other in maps.items()}
    if missing:
        mapped = _taken_back(emit, mapped, missing, maps, dims)
    for axis, other in maps.items():
        if axis in mapped.value.mapped and mapped.extent(axis).add != other.extent(axis).add:
            node = emit.call(fn.cut_to, mapped.node, dims[axis], other.node, dims[axis])
            mapped = replace(mapped, node=node)
    extents = tuple(maps[axis].extents[axis] if axis in maps else extent for axis, extent in enumerate(mapped.extents))
    return replace(mapped, extents=extents)


def _taken_back(
    emit: Emitter, mapped: Mapped, axes: Sequence[int], maps: dict[int, Mapped], dims: dict[int, int]
) -> Mapped:
    """The axes out of the batch, back to where the maps have them."""
    layout = mapped.value.layout
    if any(axis not in mapped.batched for axis in axes) or len(mapped.boxes) != len(mapped.batched):
        raise NotShared("a value that is the same for all windows meets single positions")
    back = []
    for axis in axes:
        box, other = mapped.boxes[mapped.batched.index(axis)], maps[axis]
        record, extent = other.value.axis(axis), other.extent(axis)
        alike = (box.n, box.jump, box.spacing) == (record.n, record.jump, extent.spacing)
        if not alike or len(layout) != len(other.value.layout) or layout[dims[axis]] or is_space(layout[dims[axis]]):
            raise NotShared("context of the whole window meets a map that it was not made of")
        back.append((mapped.batched.index(axis), dims[axis], box.n, box.dilation, other.node))
    node = emit.call(fn.around_positions, mapped.node, emit.image, [box.count for box in mapped.boxes], back)
    left = [(axis, box) for axis, box in zip(mapped.batched, mapped.boxes, strict=True) if axis not in axes]
    return replace(mapped, node=node, batched=tuple(axis for axis, _ in left), boxes=tuple(box for _, box in left))


def sizes(mapped: Mapped) -> tuple[tuple[int | None, ...], tuple[Extent | None, ...]]:
    """Per axis the positions in a window and the map's extent; None where the batch holds the windows themselves."""
    lengths: list[Any] = [
        None if extent is None else mapped.value.axis(axis).n for axis, extent in enumerate(mapped.extents)
    ]
    extents = list(mapped.extents)
    for axis, box in zip(mapped.batched, mapped.boxes, strict=False):
        lengths[axis], extents[axis] = 1, box.extent
    return tuple(lengths), tuple(extents)
