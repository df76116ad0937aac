"""Reshapes, permutations and new or dropped dimensions: only the layout changes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from everywindow.geometry import Batch, Layout, Regrouping, Value, coalesced, regroup
from everywindow.ops import functional as fn
from everywindow.ops.batch import BATCH
from everywindow.ops.emitter import Emitter, Mapped
from everywindow.ops.form import form_of, is_in_place, rearrangement, reordered
from everywindow.ops.patches import Ops, patched, patched_map, patches_shared, taken_apart, whole_patches
from everywindow.ops.places import Environment, Places, Step, Unchanged
from everywindow.ops.rule import Call, NotProved, NotShared, Rule, normal_dim, overloads, shape_of


class Reshape(Rule):
    """Any reshape. The sizes it names are the window's; they are told in atoms, never replayed on a map."""

    targets = overloads(
        "view.default reshape.default _unsafe_view.default flatten.using_ints unflatten.int squeeze.default "
        "squeeze.dim squeeze.dims unsqueeze.default _reshape_alias.default view_as.default reshape_as.default"
    )

    def infer(self, call: Call) -> Value:
        value = call.value(call.inputs[0])
        cuts = _cuts(call)
        if cuts:
            return _behind_positions(patched(call, value, cuts), cuts)
        layout = tuple(coalesced(dim) for dim in _grouping(call, value).after)
        _require_form(layout)
        return replace(value, layout=layout)

    def convert(self, call: Call, emit: Emitter) -> Mapped:
        mapped = emit.mapped(call.inputs[0])
        cuts = _cuts(call)
        if cuts:
            plain = patched_map(emit, mapped, cuts, self.infer(call))
            order = _order_behind(len(mapped.value.layout), cuts)
            return replace(plain, node=emit.call(torch.ops.aten.permute.default, plain.node, order))
        grouping = _grouping(call, mapped.value)
        return emit.rearranged(mapped, rearrangement(grouping.before, grouping.after), self.infer(call))

    def share(self, call: Call, places: Places, after: Value) -> Step:
        source = call.inputs[0]
        cuts = _cuts(call)
        if cuts:
            order = _order_behind(len(shape_of(source)), cuts)
            return patches_shared(call, places, after, cuts, lambda patches: patches.permute(order))
        grouping = _grouping(call, call.value(source))
        if not is_in_place(grouping.before):
            raise NotShared("a flattened map is taken apart")
        change = rearrangement(grouping.before, grouping.after)

        def run(environment: Environment) -> Any:
            return fn.rearrange(environment[source], change.splits, change.order, change.groups)

        return Step(run)


def _cuts(call: Call) -> Ops:
    """The patches that the reshape cuts axes into, where it does."""
    source = call.inputs[0]
    return whole_patches(taken_apart(call.value(source), shape_of(source), call.shape) or {})


def _behind_positions(plain: Value, cuts: Ops) -> Value:
    """The record with the positions inside a patch behind those of patches."""
    order = _order_behind(len(plain.layout) - len(cuts), cuts)
    return replace(plain, layout=tuple(plain.layout[dim] for dim in order))


def _order_behind(rank: int, cuts: Ops) -> list[int]:
    """The dimensions of patches as a reshape has them, where those inside a patch are the last."""
    last = {dim: rank + at for at, dim in enumerate(cuts)}
    return [there for dim in range(rank) for there in ((dim, last[dim]) if dim in last else (dim,))]


def _grouping(call: Call, value: Value) -> Regrouping:
    grouping = regroup(value.layout, call.shape, value.sizes(BATCH))
    if grouping is None:
        # Where whole items stay in the first dimension, the cut is inside each item.
        if value.layout[0] == (Batch(),) and call.shape[0] == BATCH:
            raise NotShared("a reshape cuts through the positions of the window")
        raise NotProved("a reshape cuts through the items of the batch")
    return grouping


def _require_form(layout: Layout) -> None:
    """Raise NotShared for layouts that no map can have."""
    form = form_of(layout)
    if form and form[0].axis is not None:
        raise NotShared("a spatial axis takes the place of the batch")
    if any(slot.dim == 0 for slot in form[1:]):
        raise NotShared("the batch is not the first dimension")


class Permute(Unchanged):
    """Any permutation of dimensions."""

    targets = overloads(
        "permute.default transpose.int swapaxes.default swapdims.default movedim.int movedim.intlist "
        "moveaxis.int moveaxis.intlist t.default numpy_T.default mT.default adjoint.default"
    )

    def infer(self, call: Call) -> Value:
        value = call.value(call.inputs[0])
        return replace(value, layout=tuple(value.layout[dim] for dim in _order(call, len(value.layout))))

    def convert(self, call: Call, emit: Emitter) -> Mapped:
        mapped = emit.mapped(call.inputs[0])
        layout = mapped.value.layout
        order = _order(call, len(layout))
        after = tuple(layout[dim] for dim in order)
        return emit.rearranged(mapped, reordered(layout, after, order), self.infer(call))


def _order(call: Call, rank: int) -> list[int]:
    name = call.target._schema.name.removeprefix("aten::")
    if name == "permute":
        return [normal_dim(dim, rank) for dim in call["dims"]]
    if name in ("transpose", "swapaxes", "swapdims"):
        pair = [value for value in call.arguments.values() if isinstance(value, int)]
        return _swapped(rank, *(normal_dim(dim, rank) for dim in pair))
    if name in ("movedim", "moveaxis"):
        return _moved(rank, call["source"], call["destination"])
    if name == "numpy_T":
        return list(reversed(range(rank)))
    return _swapped(rank, rank - 2, rank - 1) if rank > 1 else [0]


def _swapped(rank: int, a: int, b: int) -> list[int]:
    order = list(range(rank))
    order[a], order[b] = b, a
    return order


def _moved(rank: int, source: int | list[int], destination: int | list[int]) -> list[int]:
    sources = [normal_dim(dim, rank) for dim in ([source] if isinstance(source, int) else source)]
    targets = [normal_dim(dim, rank) for dim in ([destination] if isinstance(destination, int) else destination)]
    placed = dict(zip(targets, sources, strict=True))
    others = iter(dim for dim in range(rank) if dim not in sources)
    return [placed[dim] if dim in placed else next(others) for dim in range(rank)]
