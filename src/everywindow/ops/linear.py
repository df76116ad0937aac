"""Fully connected layers and products with weights."""

from __future__ import annotations

from dataclasses import replace

import torch

from everywindow.geometry import Value, feature_dim, has_batch, space_axes
from everywindow.ops.emitter import Emitter, Mapped, vector_order
from everywindow.ops.heads import window_linear
from everywindow.ops.opaque import check_product
from everywindow.ops.places import Unchanged
from everywindow.ops.rule import Call, MixesBatch, NotShared, overloads, per_item, shape_of
from everywindow.ops.verbatim import emit_verbatim, plain_value


class Linear(Unchanged):
    """A fully connected layer.

    On features alone it is a 1×1 convolution. On a flattened map it is a convolution with a kernel of the map's
    size: each row of the weights is one kernel, in the order of the flatten.
    """

    targets = overloads("linear.default")

    def infer(self, call: Call) -> Value:
        call.require_constant("weight", "bias")
        value = call.value(call["input"])
        last = value.layout[-1]
        if has_batch(last):
            raise MixesBatch("a fully connected layer takes as features")
        if space_axes((last,)):
            value = plain_value(value, "a fully connected layer", tokens=True)
        return replace(value, layout=(*value.layout[:-1], feature_dim(call.shape[-1])))

    def convert(self, call: Call, emit: Emitter) -> Mapped:
        mapped, value = emit.mapped(call["input"]), self.infer(call)
        if not space_axes(mapped.value.layout[-1:]):
            return emit_verbatim(call, emit, mapped, value)
        if len(mapped.value.layout) > 2:
            mapped = emit.plain(mapped, plain_value(mapped.value, "a fully connected layer", tokens=True))
            return emit_verbatim(call, emit, mapped, value)
        return _whole_window(call, emit, mapped, value)

    def macs(self, call: Call) -> int:
        return per_item(call.shape) * shape_of(call["weight"])[1]


def _whole_window(call: Call, emit: Emitter, mapped: Mapped, value: Value) -> Mapped:
    """Flatten, then a fully connected layer: the convolution over the map."""
    axes = sorted(mapped.value.mapped)
    steps, counts = emit.windows(mapped, axes)
    node = emit.call(
        window_linear,
        emit.vector_form(mapped, 1),
        emit.constant(call["weight"]),
        emit.constant(call["bias"]),
        steps,
        counts,
        vector_order(mapped.value.layout, 1, axes),
    )
    return emit.into_batch(mapped, axes, node, value)


class MatrixProduct(Unchanged):
    """A product with a matrix of weights from the right; one of two computed values is shared by no windows."""

    targets = overloads("matmul.default mm.default addmm.default")

    def infer(self, call: Call) -> Value:
        names = ("mat1", "mat2") if "addmm" in str(call.target) else ("self", _second(call))
        left, right = (call[name] for name in names)
        if len(call.inputs) > 1:
            check_product(call)
        if call.is_constant(left) or not call.is_constant(right) or len(shape_of(right)) > 2:
            raise NotShared("a product of two values that depend on the image")
        if not call.is_constant(call["self"]) and left is not call["self"]:
            raise NotShared("a product is added to a value that depends on the image")
        value = call.value(left)
        if has_batch(value.layout[-1]):
            raise MixesBatch("a matrix product takes as features")
        if space_axes((value.layout[-1],)):
            value = plain_value(value, "a matrix product", tokens=True)
        tail = (feature_dim(call.shape[-1]),) if len(shape_of(right)) == 2 else ()
        return replace(value, layout=(*value.layout[:-1], *tail))

    def convert(self, call: Call, emit: Emitter) -> Mapped:
        mapped, value = emit.mapped(call.inputs[0]), self.infer(call)
        if space_axes(mapped.value.layout[-1:]):
            mapped = emit.plain(mapped, plain_value(mapped.value, "a matrix product", tokens=True))
        if "addmm" in str(call.target):
            return self._added(call, emit, mapped, value)
        target = torch.ops.aten.matmul.default
        node = emit.call(target, mapped.node, emit.constant(call[_second(call)]))
        return replace(mapped, node=node, value=value)

    def _added(self, call: Call, emit: Emitter, mapped: Mapped, value: Value) -> Mapped:
        aten = torch.ops.aten
        product = emit.call(aten.matmul.default, mapped.node, emit.constant(call["mat2"]))
        product = emit.call(aten.mul.Scalar, product, call["alpha"])
        bias = emit.call(aten.mul.Scalar, emit.constant(call["self"]), call["beta"])
        return replace(mapped, node=emit.call(aten.add.Tensor, product, bias), value=value)

    def macs(self, call: Call) -> int:
        left = call["mat1"] if "mat1" in call.arguments else call["self"]
        return per_item(call.shape) * shape_of(left)[-1]


def _second(call: Call) -> str:
    return "other" if "other" in call.arguments else "mat2"
