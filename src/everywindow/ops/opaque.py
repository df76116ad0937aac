"""Operations that no windows share, of which it is known that they treat the items of a batch apart.

On a value that is still a map they end sharing; behind a reduction over the window they run as they stand.
"""

from __future__ import annotations

from dataclasses import replace

from torch import fx

from everywindow.geometry import Batch, Dim, Feature, Layout, Value, has_batch
from everywindow.ops.batch import BATCH
from everywindow.ops.emitter import Emitter, Mapped
from everywindow.ops.rule import Call, MixesBatch, NotShared, Rule, Shape, overloads, shape_of
from everywindow.ops.verbatim import emit_overload


def layout_by_shape(shape: Shape, like: Layout, like_shape: Shape) -> Layout:
    """The layout of a value per window, from its shape: the batch is where its prime divides the size."""
    kept = dict(enumerate(like)) if len(shape) == len(like) else {}
    return tuple(
        kept[index] if index in kept and like_shape[index] == size else _dim(size) for index, size in enumerate(shape)
    )


def _dim(size: int) -> Dim:
    if size % BATCH or size == 0:
        return (Feature(size),) if size != 1 else ()
    return (Batch(), Feature(size // BATCH)) if size > BATCH else (Batch(),)


class Opaque(Rule):
    """Works on trailing dimensions; the batch leads."""

    targets = overloads(
        "scaled_dot_product_attention.default conv_transpose1d.default conv_transpose2d.input conv_transpose3d.input "
        "upsample_nearest1d.vec upsample_nearest2d.vec upsample_nearest3d.vec upsample_bilinear2d.vec "
        "upsample_bicubic2d.vec upsample_trilinear3d.vec upsample_linear1d.vec pixel_shuffle.default "
        "pixel_unshuffle.default im2col.default index.Tensor index_select.default expand.default repeat.default "
        "tile.default unfold.default max_pool2d_with_indices.default max_pool3d_with_indices.default "
        "expand_as.default broadcast_to.default gather.default linalg_norm.default cosine_similarity.default "
        "argmin.default any.dim all.dim repeat_interleave.self_int slice_scatter.default "
        "select_scatter.default"
    )

    def infer(self, call: Call) -> Value:
        first = call.value(call.inputs[0])
        for node in call.inputs:
            self._check(call, node)
        if any(call.value(node).mapped for node in call.inputs):
            raise NotShared(f"{_name(call)} looks at the whole window or is not converted yet")
        layout = layout_by_shape(call.shape, first.layout, shape_of(call.inputs[0]))
        if any(map(has_batch, first.layout)) and not any(map(has_batch, layout)):
            raise MixesBatch(f"{_name(call)} runs over")
        return replace(first, layout=layout)

    def convert(self, call: Call, emit: Emitter) -> Mapped:
        inputs = {node: emit.mapped(node) for node in call.inputs}
        converted = {node: mapped.node for node, mapped in inputs.items()}
        arguments = [emit.argument(argument, converted) for argument in call.arguments.values()]
        return replace(inputs[call.inputs[0]], node=emit_overload(call, emit, arguments), value=self.infer(call))

    def _check(self, call: Call, node: fx.Node) -> None:
        if has_batch(call.value(node).layout[-1]):
            raise MixesBatch(f"{_name(call)} runs over")


class Creation(Rule):
    """Tensors made with the dtype and device of another one, whose values they do not take."""

    targets = overloads("new_zeros.default new_ones.default new_full.default new_empty.default new_tensor.default")

    def infer(self, call: Call) -> Value:
        like = call.value(call.inputs[0])
        return Value(layout_by_shape(call.shape, (), ()), (None,) * len(like.axes))

    def convert(self, call: Call, emit: Emitter) -> Mapped:
        raise NotShared(f"{_name(call)} makes a tensor of the window's size")


class Attention(Opaque):
    """Products of two computed values: attention and its like."""

    targets = overloads("bmm.default baddbmm.default einsum.default")

    def _check(self, call: Call, node: fx.Node) -> None:
        if "einsum" in str(call.target):
            _check_einsum(call, node)
        elif not has_batch(call.value(node).layout[0]):
            raise MixesBatch("a matrix product runs over")


def check_product(call: Call) -> None:
    """Raise MixesBatch where a product of two computed values runs over the batch."""
    for node in call.inputs:
        layout = call.value(node).layout
        if (any(has_batch(dim) for dim in layout[-2:]) and len(layout) > 2) or has_batch(layout[-1]):
            raise MixesBatch("a matrix product runs over")


def _check_einsum(call: Call, node: fx.Node) -> None:
    inputs, _, output = str(call["equation"]).replace(" ", "").partition("->")
    terms = inputs.split(",")
    labels = set()
    for term, operand in zip(terms, call["tensors"], strict=True):
        if call.is_constant(operand) or len(term) != len(call.value(operand).layout):
            continue
        labels |= {label for label, dim in zip(term, call.value(operand).layout, strict=True) if has_batch(dim)}
    if len(labels) != 1 or not labels <= set(output):
        raise MixesBatch("a product runs over")


def _name(call: Call) -> str:
    return str(call.target._schema.name).removeprefix("aten::")
