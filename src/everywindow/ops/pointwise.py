"""Operations on each element by itself, of one map or of several that lie alike."""

from __future__ import annotations

import operator
from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch
from torch import fx, nn

from everywindow.geometry import (
    AxisRecord,
    Dim,
    Reason,
    Value,
    feature_dim,
    has_batch,
    is_space,
    joined_spent,
    space_axes,
)
from everywindow.ops.context import WHY, meeting
from everywindow.ops.emitter import Emitter, Mapped
from everywindow.ops.form import is_in_place
from everywindow.ops.places import NOTHING, Environment, Places, Step, Unchanged, passed_on, verbatim
from everywindow.ops.rule import (
    Call,
    MixesBatch,
    NotProved,
    NotReproducible,
    NotShared,
    Rule,
    overloads,
    refuse_batch,
    shape_of,
)
from everywindow.ops.varying import VARIES, laid_out, padded, with_varying
from everywindow.ops.verbatim import emit_overload, emit_verbatim, plain_value

EXTRA = overloads(
    "hardswish.default prelu.default log_sigmoid.default floor_divide.default floor_divide.Scalar type_as.default "
    "softplus.default square.default clip.default hardsigmoid.default where.ScalarSelf where.ScalarOther where.Scalar"
)

WHOLE = "a value of the whole window meets single positions"


class Pointwise(Unchanged):
    """Elementwise operations; constants that vary over the window's positions have no counterpart in the one pass."""

    targets = EXTRA
    lays_out = True
    """Whether constants are broadcast as they stand."""

    def infer(self, call: Call) -> Value | tuple[Value, ...]:
        value = self._value(call)
        return (value,) * len(call.shapes) if _is_several(call) else value

    def _value(self, call: Call) -> Value:
        values = self._values(call)
        rank = len(call.shape)
        context = call.because(WHY) if call.one_pass else None
        joined = _widened(join_records([_aligned(value, rank) for value in values], context), call)
        return with_varying(call, joined) if self.lays_out and is_in_place(joined.layout) else joined

    def share(self, call: Call, places: Places, after: Value) -> Step:
        return verbatim(call, places, after, laid_out(call, places, after) if self.lays_out else NOTHING)

    def convert(self, call: Call, emit: Emitter) -> Mapped | tuple[Mapped, ...]:
        plain = self._plain_values(call)
        inputs = [emit.plain(emit.mapped(node), value) for node, value in zip(call.inputs, plain, strict=True)]
        inputs = meeting(emit, inputs)
        converted = {node: mapped.node for node, mapped in zip(call.inputs, inputs, strict=True)}
        arguments = [emit.argument(argument, converted) for argument in call.arguments.values()]
        node = emit_overload(call, emit, arguments)
        first = call.node.all_input_nodes[0]
        alike = all(source.meta.get("dtype") == call.node.meta["dtype"] for source in call.node.all_input_nodes)
        node.meta["fills_first"] = alike and first in call.inputs and shape_of(first) == call.shape
        made = replace(inputs[0], node=node, value=self._value(call))
        if not _is_several(call):
            return made
        return tuple(replace(made, node=emit.call(operator.getitem, node, index)) for index in range(len(call.shapes)))

    def _values(self, call: Call) -> list[Value]:
        """The inputs' records as windows share them; as :meth:`_plain_values` inside a flattened map."""
        values = [call.value(node) for node in call.inputs]
        kept = self.lays_out and all(is_in_place(value.layout) and len(value.layout) > 2 for value in values)
        return values if kept else self._plain_values(call)

    def _plain_values(self, call: Call) -> list[Value]:
        """The inputs' records; gathered, all of them, where a constant varies inside a flattened map."""
        values = [call.value(node) for node in call.inputs]
        if not _varies(call, values):
            return values
        if any(value.mapped and is_in_place(value.layout) and len(value.layout) > 2 for value in values):
            raise NotShared(VARIES)
        return [plain_value(value, VARIES) for value in values]


def _is_several(call: Call) -> bool:
    return isinstance(call.node.meta["shape"], list)


def _aligned(value: Value, rank: int) -> Value:
    """The record with dimensions of size 1 in front, as broadcasting adds them."""
    missing = rank - len(value.layout)
    if missing and value.mapped and not is_in_place(value.layout):
        raise NotShared("a flattened map is broadcast to more dimensions")
    return replace(value, layout=((),) * missing + value.layout) if missing else value


def _widened(value: Value, call: Call) -> Value:
    """The record with features where a constant makes a dimension of size 1 longer."""
    sizes = zip(value.layout, call.shape, strict=True)
    return replace(value, layout=tuple(dim or feature_dim(size) for dim, size in sizes))


def join_records(values: list[Value], context: Reason | None = None) -> Value:
    """The record of a value made of several, each broadcast to the others.

    With ``context`` a value of the whole window may meet single positions, which then are inexact for that reason.
    """
    joined = values[0]
    for other in values[1:]:
        joined = _joined(joined, other, context)
    return joined


def _joined(a: Value, b: Value, context: Reason | None) -> Value:
    layout = tuple(_broadcast(x, y, a, b, context) for x, y in zip(a.layout, b.layout, strict=True))
    if sum(map(has_batch, layout)) > 1:
        raise MixesBatch("each item is paired with all the items of the batch")
    merged = replace(
        a,
        layout=layout,
        inexact=a.inexact or b.inexact,
        reasons=(),
        unshared=a.unshared or b.unshared,
        unproved=a.unproved or b.unproved,
        spent=joined_spent(a, b),
    )
    return _join_axes(merged, a, b, context).because(*a.reasons, *b.reasons)


def _join_axes(merged: Value, a: Value, b: Value, context: Reason | None) -> Value:
    for axis, (one, other) in enumerate(zip(a.axes, b.axes, strict=True)):
        if one is None and other is None:
            continue
        if one is None or other is None:
            whole, position = (a, other) if one is None else (b, one)
            assert position is not None
            merged = _in_context(merged, axis, whole, position, context)
            continue
        record = one.joined(other)
        if record is None:
            raise NotShared(
                f"its inputs lie on different grids ({one.n} positions every {one.jump} pixels, "
                f"{other.n} every {other.jump})"
            )
        merged = merged.with_axis(axis, record)
    return merged


def _in_context(merged: Value, axis: int, whole: Value, position: AxisRecord, context: Reason | None) -> Value:
    """The record of positions that meet a value of the whole window along an axis."""
    seen = whole.history()[axis]
    if context is None or seen is None:
        raise NotShared(WHOLE)
    merged = merged.with_axis(axis, position.with_context(seen.low, seen.high, seen.halo))
    return replace(merged, inexact=True).because(context)


def _broadcast(x: Dim, y: Dim, a: Value, b: Value, context: Reason | None) -> Dim:
    if x == y or not y:
        expands = (bool(space_axes((x,))) and not (context and is_space(x))) or has_batch(x)
        if x and not y and expands and (a.mapped or b.mapped):
            raise NotShared(WHOLE)
        return x
    if not x:
        return _broadcast(y, x, b, a, context)
    if space_axes((x,)) != space_axes((y,)) or has_batch(x) != has_batch(y):
        if has_batch(x) != has_batch(y):
            refuse_batch(x if has_batch(x) else y, "pairs with features")
        raise NotShared("its inputs are laid out differently")
    if space_axes((x,)):
        raise NotShared("its inputs are flattened in different orders")
    if has_batch(x):
        raise NotProved("its inputs hold the items of the batch in different orders")
    return x


def _varies(call: Call, values: list[Value]) -> bool:
    """Whether a constant operand does not treat all positions of the window alike."""
    rank = len(call.shape)
    return any(
        size > 1 and space_axes((dim,))
        for shape in _constant_shapes(call)
        for value in values
        if value.mapped
        for dim, size in zip(((),) * (rank - len(value.layout)) + value.layout, padded(shape, rank), strict=True)
    )


def _constant_shapes(call: Call) -> list[tuple[int, ...]]:
    shapes = [shape_of(node) for node in call.node.all_input_nodes if call.is_constant(node) and "shape" in node.meta]
    if _is_prelu(call):
        weight = shapes[0][0] if shapes and shapes[0] else 1
        return [(weight, *[1] * (len(call.shape) - 2))]
    return shapes


def _is_prelu(call: Call) -> bool:
    return call.target is torch.ops.aten.prelu.default


class Prelu(Pointwise):
    """PReLU: its weights lie along dimension 1."""

    targets = overloads("prelu.default")
    lays_out = False

    def convert(self, call: Call, emit: Emitter) -> Mapped:
        mapped = emit.mapped(call.inputs[0])
        several = shape_of(call["weight"])[0] > 1 if isinstance(call["weight"], fx.Node) else False
        if several and not (is_in_place(mapped.value.layout) and not is_space(mapped.value.layout[1])):
            mapped = emit.plain(mapped, self._plain_values(call)[0])
        return emit_verbatim(call, emit, mapped, self.infer(call))

    def infer(self, call: Call) -> Value:
        call.require_constant("weight")
        before = call.value(call.inputs[0])
        if before.mapped and not is_in_place(before.layout) and len(before.layout) > 2:
            raise NotShared("PReLU over a flattened map")
        value = self._value(call)
        if value.mapped and not is_in_place(value.layout) and shape_of(call["weight"])[0] > 1:
            raise NotShared("PReLU over a flattened map")
        return value


class Identity(Rule):
    """Calls that change nothing but memory, and the marks of layers that do nothing but in training."""

    targets = overloads(
        "contiguous.default clone.default alias.default detach.default lift_fresh_copy.default lift_fresh.default "
        "_to_copy.default to.dtype to.device to.dtype_layout to.other to.prim_Device"
    )
    passes_on = True

    def infer(self, call: Call) -> Value:
        return call.value(call.inputs[0])

    def convert(self, call: Call, emit: Emitter) -> Mapped:
        mapped = emit.mapped(call.inputs[0])
        source, resting = call.inputs[0].meta["dtype"], call.node.meta.get("at_rest")
        if resting is not None:
            node = emit.module(_free_path(call, emit), deepcopy(resting), mapped.node)
            node.meta["at_rest"] = True
            return replace(mapped, node=node)
        if source == call.node.meta["dtype"]:
            return mapped
        node = emit.call(torch.ops.aten.to.dtype, mapped.node, call.node.meta["dtype"])
        return replace(mapped, node=node)

    def share(self, call: Call, places: Places, after: Value) -> Step:
        source, dtype = call.inputs[0], call.node.meta["dtype"]

        def run(environment: Environment) -> Any:
            return environment[source].to(dtype)

        return Step(run)


class Dropout(Rule):
    """Dropout at rest; the converted network gets a module that drops in training."""

    targets = overloads("dropout.default feature_dropout.default alpha_dropout.default feature_alpha_dropout.default")
    passes_on = True

    def infer(self, call: Call) -> Value:
        if call["train"] and call["p"] > 0:
            raise NotReproducible(
                "draws random numbers: dropout is active in evaluation mode (F.dropout without training=self.training)"
            )
        return call.value(call.inputs[0])

    def convert(self, call: Call, emit: Emitter) -> Mapped:
        mapped = emit.mapped(call.inputs[0])
        if mapped.value.mapped and "feature" in str(call.target) and not is_in_place(mapped.value.layout):
            raise NotShared("dropout of channels over a flattened map")
        kind = _dropout_module(call.target, mapped.node, call["p"])
        path = _free_path(call, emit)
        return replace(mapped, node=emit.module(path, kind, mapped.node))

    def share(self, call: Call, places: Places, after: Value) -> Step:
        return passed_on(call.inputs[0])


def _dropout_module(target: Any, node: fx.Node, p: float) -> nn.Module:
    aten = torch.ops.aten
    if target is aten.alpha_dropout.default:
        return nn.AlphaDropout(p)
    if target is aten.feature_alpha_dropout.default:
        return nn.FeatureAlphaDropout(p)
    return nn.Dropout(p) if target is aten.dropout.default else FeatureDropout(p)


class FeatureDropout(nn.Module):
    """Drops whole channels in training, for any number of spatial axes."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The same shape; unchanged in evaluation mode."""
        dropped: torch.Tensor = torch.ops.aten.feature_dropout.default(x, self.p, self.training)
        return dropped

    def extra_repr(self) -> str:
        """The rate."""
        return f"p={self.p}"


def _free_path(call: Call, emit: Emitter) -> str:
    """The layer's own path, or a new name for a dropout in the code of a larger module."""
    layer = call.layer
    usable = all(part.isidentifier() or part.isdigit() for part in layer.split("."))
    path = layer if usable else f"dropout_{call.node.name}"
    while path in emit.modules:
        path += "_again"
    return path
