"""What a rule may do while it emits the image-wide counterpart of a call."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, Self

from torch import fx, nn

from everywindow.geometry import Batch, Extent, Layout, Space, Value
from everywindow.ops import functional as fn
from everywindow.ops.form import Rearrangement, axis_dim, is_in_place
from everywindow.ops.rule import NotShared


@dataclass(frozen=True)
class Box:
    """Of a value for the window around each position of a map: how those windows lie along one axis.

    Attributes:
        n: positions in a window.
        jump: pixels between them.
        spacing: pixels between neighbouring windows, as between the positions of the map.
        extent: number of windows.
        count: that number, as a value of the converted graph.
    """

    n: int
    jump: int
    spacing: int
    extent: Extent
    count: fx.Node

    @property
    def dilation(self) -> int:
        """Positions of the map between those of one window."""
        return self.jump // self.spacing


@dataclass(frozen=True)
class Mapped:
    """A value of the converted network.

    Attributes:
        node: the value in the converted graph; its dimensions follow from the layout (:mod:`everywindow.ops.form`).
        value: the record of the same value in the captured graph.
        extents: per spatial axis the map's extent, None once the axis has gone into the batch.
        batched: the axes that have gone into the batch, in order.
        boxes: of these, where the batch holds the windows around each position of a map, how they lie; in order.
    """

    node: fx.Node
    value: Value
    extents: tuple[Extent | None, ...]
    batched: tuple[int, ...] = ()
    boxes: tuple[Box, ...] = ()

    def extent(self, axis: int) -> Extent:
        """The extent of an axis that is still there."""
        extent = self.extents[axis]
        if extent is None:
            raise LookupError(f"axis {axis} has gone into the batch")
        return extent


class Emitter:
    """Builds the converted graph; rules call it, the convert room owns it."""

    def __init__(
        self, window: tuple[int, ...], stride: tuple[int, ...], constant: Callable[[fx.Node], fx.Node]
    ) -> None:
        self.graph = fx.Graph()
        self.window = window
        self.stride = stride
        self.modules: dict[str, nn.Module] = {}
        self.values: MutableMapping[fx.Node, Mapped | tuple[Mapped, ...]] = {}
        self.layer = ""
        self._constant = constant
        self.image = self.graph.placeholder("image")
        counts = self.call(fn.window_counts, self.image, window, stride)
        self._counts = [self.graph.call_function(_item, (counts, axis)) for axis in range(len(window))]

    def call(self, target: Callable[..., Any], *args: Any, **kwargs: Any) -> fx.Node:
        """Emit one call, named after the layer that is being converted."""
        node = self.graph.call_function(target, args, kwargs)
        node.meta["layer"] = self.layer
        return node

    def module(self, path: str, module: nn.Module, x: fx.Node) -> fx.Node:
        """Emit a call of a module that behaves differently in training."""
        self.modules[path] = module
        node = self.graph.call_module(path, (x,))
        node.meta["layer"] = self.layer
        return node

    def constant(self, argument: Any) -> Any:
        """An argument that does not depend on the image, in the converted graph."""
        return fx.node.map_arg(argument, self._constant)

    def mapped(self, node: fx.Node) -> Mapped:
        """The converted counterpart of an input."""
        mapped = self.values[node]
        assert isinstance(mapped, Mapped)
        return mapped

    def seeing(self, values: Mapping[fx.Node, Mapped]) -> Self:
        """The same emitter, with other counterparts for some inputs."""
        other = copy(self)
        other.values = ChainMap(dict(values), self.values)
        return other

    def counts(self, axes: Sequence[int]) -> list[fx.Node]:
        """Windows per axis, as values of the converted graph."""
        return [self._counts[axis] for axis in axes]

    def argument(self, argument: Any, converted: Mapping[fx.Node, fx.Node]) -> Any:
        """An argument with each input replaced by its converted counterpart and constants brought along."""
        return fx.node.map_arg(argument, lambda node: converted[node] if node in converted else self._constant(node))

    def rearranged(self, mapped: Mapped, change: Rearrangement, value: Value) -> Mapped:
        """The value with its dimensions regrouped."""
        node = mapped.node
        if not change.trivial:
            node = self.call(fn.rearrange, node, change.splits, change.order, change.groups)
        return replace(mapped, node=node, value=value)

    def aligned(self, inputs: Sequence[Mapped]) -> list[Mapped]:
        """Maps cut to the positions that all have. They start at the same pixel and lie on the same grid."""
        if len({mapped.batched for mapped in inputs}) > 1:
            raise NotShared("its inputs' axes were reduced over the window in different orders")
        for axis in inputs[0].value.mapped:
            inputs = self._aligned_on(axis, inputs)
        return list(inputs)

    def _aligned_on(self, axis: int, inputs: Sequence[Mapped]) -> list[Mapped]:
        common = reduce(Extent.common, (mapped.extent(axis) for mapped in inputs))
        shortest = [mapped for mapped in inputs if mapped.extent(axis) == common][:1] or inputs
        return [
            mapped if mapped.extent(axis) == common else self._cut(mapped, axis, shortest, common) for mapped in inputs
        ]

    def _cut(self, mapped: Mapped, axis: int, others: Sequence[Mapped], common: Extent) -> Mapped:
        """The map cut to the shortest of others."""
        lengths = [(other.node, axis_dim(other.value.layout, axis)) for other in others]
        node = self.call(fn.cut_to, mapped.node, axis_dim(mapped.value.layout, axis), lengths)
        extents = list(mapped.extents)
        extents[axis] = common
        return replace(mapped, node=node, extents=tuple(extents))

    def windows(self, mapped: Mapped, axes: Sequence[int]) -> tuple[list[tuple[int, int, int]], list[fx.Node]]:
        """Per axis the :meth:`window_steps`, and the number of windows."""
        return [self.window_steps(mapped, axis) for axis in axes], self.counts(axes)

    def window_steps(self, mapped: Mapped, axis: int) -> tuple[int, int, int]:
        """Positions in a window, positions of the map between them, and between neighbouring windows."""
        record, extent = mapped.value.axis(axis), mapped.extent(axis)
        return record.n, record.jump // extent.spacing, extent.windows_step(self.stride[axis])

    def into_batch(self, mapped: Mapped, axes: Sequence[int], node: fx.Node, value: Value) -> Mapped:
        """The record of a value whose ``axes`` have just gone into the batch."""
        extents = tuple(None if axis in axes else extent for axis, extent in enumerate(mapped.extents))
        return replace(mapped, node=node, value=value, extents=extents, batched=mapped.batched + tuple(axes))

    def plain(self, mapped: Mapped, value: Value) -> Mapped:
        """Every window's own tensor, as the original network has it, in a batch of windows.

        ``value`` is the record of the result; where it keeps the axes, nothing happens.
        """
        axes = sorted(mapped.value.mapped)
        if value.mapped == mapped.value.mapped:
            return mapped
        at = mapped.value.flat_dim()
        assert at is not None
        steps, counts = self.windows(mapped, axes)
        node = self.call(
            fn.gather_windows,
            self.vector_form(mapped, at),
            steps,
            counts,
            vector_order(mapped.value.layout, at, axes),
            _tail_dims(value.layout, at, mapped.value),
        )
        return self.into_batch(mapped, axes, node, value)

    def gathered(self, mapped: Mapped) -> Mapped:
        """Every window's own part of a map, in a batch of windows.

        Raises:
            NotShared: its positions are spread over several dimensions among features, or the batch is not the first.
        """
        value = mapped.value.gathered()
        if mapped.value.layout[:1] != ((Batch(),),):
            raise NotShared("the batch is not the first dimension where whole windows are taken")
        if mapped.value.flat_dim() is not None and not is_in_place(mapped.value.layout):
            return self.plain(mapped, value)
        if not is_in_place(mapped.value.layout):
            raise NotShared("the positions of a flattened map are spread over several dimensions")
        axes = sorted(mapped.value.mapped)
        steps, counts = self.windows(mapped, axes)
        dims = [axis_dim(mapped.value.layout, axis) for axis in axes]
        node = self.call(
            fn.gather_maps, mapped.node, [(dim, *step) for dim, step in zip(dims, steps, strict=True)], counts
        )
        return self.into_batch(mapped, axes, node, value)

    def vector_form(self, mapped: Mapped, at: int) -> fx.Node:
        """The map with its axes behind the batch; a dimension that is an axis and nothing else leaves size 1."""
        layout = mapped.value.layout
        if not is_in_place(layout):
            return mapped.node
        return self.call(fn.axis_first, mapped.node, axis_dim(layout, mapped.value.mapped[0]), at)


def vector_order(layout: Layout, at: int, axes: Sequence[int]) -> tuple[int, ...]:
    """What a flattened dimension is made of, as :func:`everywindow.ops.functional.gather_windows` takes it."""
    return tuple(axes.index(atom.axis) if isinstance(atom, Space) else -_size(atom) for atom in layout[at])


def _size(atom: Any) -> int:
    return int(atom.size)


def _tail_dims(layout: Layout, at: int, before: Value) -> tuple[int, ...]:
    """Sizes of the dimensions behind the batch, the gathered one as 0."""
    sizes = []
    for index, dim in enumerate(layout[1:], start=1):
        size = 1
        for atom in dim:
            size *= _size(atom)
        sizes.append(0 if index == at else size)
    return tuple(sizes)


def _item(counts: list[int], axis: int) -> int:
    return counts[axis]
