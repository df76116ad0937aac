"""Patches of a map: its positions taken together, so many at a time, as features (space to depth)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any

from torch import Tensor

from everywindow.geometry import Layout, LocalOp, Value, feature_dim, has_batch, is_space, space_axes
from everywindow.kernels import every
from everywindow.ops.emitter import Emitter, Mapped
from everywindow.ops.form import reordered
from everywindow.ops.local import after_local, extents_after, place
from everywindow.ops.opaque import OfMaps
from everywindow.ops.places import Environment, Places, Step
from everywindow.ops.rule import Call, MixesBatch, NotShared, Rule, normal_dim, overloads, shape_of

Ops = Mapping[int, LocalOp]
"""For each dimension that is taken apart the size of patches and the distance between them, as a local op."""


def whole_patches(sizes: Mapping[int, int]) -> Ops:
    """Patches side by side, of a size for each dimension."""
    return {dim: LocalOp(kernel=size, stride=size) for dim, size in sizes.items()}


def patched(call: Call, value: Value, ops: Ops) -> Value:
    """The record of a value with the positions inside patches as last dimensions, in order."""
    shape = [ops[dim].output_length(size) if dim in ops else size for dim, size in enumerate(shape_of(call.inputs[0]))]
    after = after_local(call, value, ops, dict.fromkeys(ops, ""), shape)
    return replace(after, layout=after.layout + tuple(feature_dim(op.kernel) for op in ops.values()))


def patched_map(emit: Emitter, mapped: Mapped, ops: Ops, value: Value) -> Mapped:
    """Patches of an image-wide map; ``value`` is their record."""
    placed = place(mapped, ops, emit)
    amounts = [(dim, op.kernel, op.dilation, op.stride) for dim, op in placed.items()]
    node = emit.call(positions_together, mapped.node, amounts)
    return replace(mapped, node=node, value=value, extents=extents_after(mapped, ops, emit))


def patches_shared(
    call: Call, places: Places, after: Value, ops: Ops, arrange: Callable[[Tensor], Tensor] = lambda patches: patches
) -> Step:
    """Patches of shared values, arranged so that the axes have the dimensions that ``after`` says."""
    source = call.inputs[0]
    plain = patched(call, call.value(source), ops)
    moves = places.moves(call.value(source), plain, ops)
    amounts = [(dim, op.kernel, 1, op.stride) for dim, op in ops.items()]

    def run(environment: Environment) -> Any:
        return arrange(moves.run(environment[source], 0.0, lambda slab: positions_together(slab, amounts)))

    return Step(run, moves)


class Patches(Rule):
    """``Tensor.unfold``. Where one patch takes in a whole dimension, that goes last as it is, and one of size 1 takes
    its place: so do converted networks at their window's size."""

    targets = overloads("unfold.default")

    def infer(self, call: Call) -> Value:
        value, dim = call.value(call.inputs[0]), _dim(call)
        if has_batch(value.layout[dim]):
            raise MixesBatch("unfold takes patches of the items of the batch")
        if _is_single(call):
            return replace(value, layout=_moved_last(value.layout, dim))
        if not is_space(value.layout[dim]):
            raise NotShared("it takes patches of features")
        return patched(call, value, self._ops(call))

    def convert(self, call: Call, emit: Emitter) -> Mapped:
        mapped, dim = emit.mapped(call.inputs[0]), _dim(call)
        if not _is_single(call):
            return patched_map(emit, mapped, self._ops(call), self.infer(call))
        layout = mapped.value.layout
        order = [*(other for other in range(len(layout)) if other != dim), dim]
        return emit.rearranged(mapped, reordered(layout, _moved_last(layout, dim), order), self.infer(call))

    def share(self, call: Call, places: Places, after: Value) -> Step:
        if _is_single(call):
            raise NotShared("a patch takes in whole windows")
        return patches_shared(call, places, after, self._ops(call))

    def _ops(self, call: Call) -> Ops:
        return {_dim(call): LocalOp(kernel=call["size"], stride=call["step"])}


def _dim(call: Call) -> int:
    return normal_dim(call["dimension"], len(shape_of(call.inputs[0])))


def _is_single(call: Call) -> bool:
    return bool(call["size"] == shape_of(call.inputs[0])[_dim(call)])


def _moved_last(layout: Layout, dim: int) -> Layout:
    return (*layout[:dim], (), *layout[dim + 1 :], layout[dim])


class SpaceToDepth(OfMaps):
    """``pixel_unshuffle``: the positions of a patch go to the features, behind the channels."""

    targets = overloads("pixel_unshuffle.default")
    own_dims = 3

    def _after(self, call: Call, value: Value) -> Value:
        plain = patched(call, value, _ops(call))
        return replace(plain, layout=(plain.layout[0], feature_dim(call.shape[1]), *plain.layout[2:-2]))

    def _on_map(self, call: Call, emit: Emitter, mapped: Mapped) -> Mapped:
        plain = patched_map(emit, mapped, _ops(call), mapped.value)
        return replace(plain, node=emit.call(_to_depth, plain.node))

    def share(self, call: Call, places: Places, after: Value) -> Step:
        return patches_shared(call, places, after, _ops(call), _to_depth)


def _ops(call: Call) -> Ops:
    return whole_patches(dict.fromkeys((2, 3), call["downscale_factor"]))


def _to_depth(patches: Tensor) -> Tensor:
    """``[N, C, h, w, r, r]`` to ``[N, C·r·r, h, w]``."""
    return patches.permute(0, 1, 4, 5, 2, 3).flatten(1, 3)


MOST_INSIDE = 4
"""Positions along an axis of a patch inside a network; larger ones are the windows of some attention, and to share them
would ask for strides that are multiples of theirs."""


def taken_apart(value: Value, before: Sequence[int], after: Sequence[int]) -> dict[int, int] | None:
    """For a reshape that cuts axes into patches and nothing else: the sizes of patches, per dimension of the input.

    ``before`` and ``after`` are the shapes. A dimension of 1 behind an axis is a patch where others are cut.
    """
    layout = value.layout
    jumps = {dim: value.axis(space_axes((layout[dim],))[0]).jump for dim in range(len(layout)) if is_space(layout[dim])}
    sizes: dict[int, int] = {}
    at = 0
    for dim, size in enumerate(before):
        if tuple(after[at : at + 1]) == (size,):
            at += 1
            if is_space(layout[dim]) and tuple(after[at : at + 1]) == (1,) != tuple(before[dim + 1 : dim + 2]):
                sizes[dim] = 1
                at += 1
        elif _cuts_axis(size, after[at : at + 2], jumps.get(dim)):
            sizes[dim] = after[at + 1]
            at += 2
        else:
            return None
    return sizes if at == len(after) and any(size > 1 for size in sizes.values()) else None


def _cuts_axis(size: int, parts: Sequence[int], jump: int | None) -> bool:
    """Whether two sizes are patches along an axis whose positions lie ``jump`` pixels apart, and positions inside."""
    return jump is not None and len(parts) == 2 and prod(parts) == size and (jump == 1 or parts[1] <= MOST_INSIDE)


def positions_together(x: Tensor, amounts: Sequence[Sequence[int]]) -> Tensor:
    """Patches along some dimensions; their positions come last, in order.

    ``amounts`` holds ``(dim, size, dilation, step)``: positions in a patch, between them, and between patches.
    """
    for dim, size, dilation, step in amounts:
        x = every(x.unfold(dim, dilation * (size - 1) + 1, step), x.ndim, dilation)
    return x
