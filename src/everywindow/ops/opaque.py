"""Operations that no windows share, of which it is known that they treat the items of a batch apart.

On a value that is still a map they end sharing; behind a reduction over the window they run as they stand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import replace
from math import prod

from everywindow.geometry import Batch, Dim, Feature, Layout, Value, has_batch, is_space
from everywindow.ops.batch import BATCH
from everywindow.ops.emitter import Emitter, Mapped
from everywindow.ops.rule import (
    Call,
    NotProved,
    NotReproducible,
    NotShared,
    Rule,
    Shape,
    normal_dim,
    overloads,
    per_item,
    shape_of,
)
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
    """Works on trailing dimensions of each item; the batch leads, before and after."""

    targets = overloads(
        "_upsample_bilinear2d_aa.vec _upsample_bicubic2d_aa.vec upsample_bicubic2d.vec grid_sampler.default "
        "im2col.default "
        "max_pool2d_with_indices.default max_pool3d_with_indices.default"
    )
    own_dims = 2
    """Trailing dimensions in which the call lets elements meet, at least."""

    def infer(self, call: Call) -> Value | tuple[Value, ...]:
        values = [call.value(node) for node in call.inputs]
        for value in values:
            self._check(call, value)
        if any(value.mapped for value in values):
            raise NotShared(f"{op_name(call)} looks at the whole window or is not converted yet")
        first, shape = values[0], shape_of(call.inputs[0])
        if any(size[0] != shape[0] for size in call.shapes):
            raise NotProved(f"{op_name(call)} moves the items of the batch")
        found = tuple(replace(first, layout=layout_by_shape(size, first.layout, shape)) for size in call.shapes)
        return found if isinstance(call.node.meta["shape"], list) else found[0]

    def _check(self, call: Call, value: Value) -> None:
        """Raise NotProved where the batch is not safely ahead of what the call works on."""
        if (
            len(value.layout) <= self.own_dims
            or not has_batch(value.layout[0])
            or any(map(has_batch, value.layout[1:]))
        ):
            raise NotProved(f"{op_name(call)} may run over the items of the batch")

    def convert(self, call: Call, emit: Emitter) -> Mapped | tuple[Mapped, ...]:
        if len(call.inputs) > 1 or isinstance(call.node.meta["shape"], list):
            raise NotShared(f"{op_name(call)} is not converted yet")
        mapped = emit.mapped(call.inputs[0])
        arguments = [emit.argument(argument, {call.inputs[0]: mapped.node}) for argument in call.arguments.values()]
        value = self.infer(call)
        assert isinstance(value, Value)
        return replace(mapped, node=emit_overload(call, emit, arguments), value=value)


class OfMaps(Opaque):
    """Works on a map ``[N, C, *axes]``, and on no map in another form; behind a reduction over the window it runs as it
    stands."""

    def infer(self, call: Call) -> Value | tuple[Value, ...]:
        value = call.value(call.inputs[0])
        if not value.mapped:
            return super().infer(call)
        self._check(call, value)
        if not all(map(is_space, value.layout[2:])) or is_space(value.layout[1]):
            raise NotShared(f"{op_name(call)} over a flattened or reduced map")
        return self._after(call, value)

    def convert(self, call: Call, emit: Emitter) -> Mapped | tuple[Mapped, ...]:
        mapped = emit.mapped(call.inputs[0])
        if not mapped.value.mapped:
            return super().convert(call, emit)
        return replace(self._on_map(call, emit, mapped), value=self._after(call, mapped.value))

    def _after(self, call: Call, value: Value) -> Value:
        """The record behind the call on a map."""
        raise NotImplementedError

    def _on_map(self, call: Call, emit: Emitter, mapped: Mapped) -> Mapped:
        """The image-wide counterpart; its record is set elsewhere."""
        raise NotImplementedError


class Expansion(Opaque):
    """Dimensions of size 1 made longer; the batch stays as long as it is."""

    targets = overloads("expand.default expand_as.default broadcast_to.default")
    own_dims = 0


class Repetition(Opaque):
    """Copies side by side; the batch stays as long as it is."""

    targets = overloads("repeat.default tile.default")
    own_dims = 0

    def _check(self, call: Call, value: Value) -> None:
        super()._check(call, value)
        times = call["repeats" if "repeats" in call.arguments else "dims"]
        if len(times) != len(value.layout) or times[0] != 1:
            raise NotProved(f"{op_name(call)} may repeat the items of the batch")


class Gathering(Opaque):
    """Positions picked by indices that are computed for each item."""

    targets = overloads("gather.default")
    own_dims = 1

    def _check(self, call: Call, value: Value) -> None:
        super()._check(call, value)
        if call["dim"] in (0, -len(value.layout)) or len(call.inputs) < 2:
            raise NotProved("gather may pick among the items of the batch")


class Spectrum(Opaque):
    """Fourier transforms along dimensions behind the batch."""

    targets = overloads(
        "fft_fft.default fft_ifft.default fft_rfft.default fft_irfft.default fft_fft2.default fft_ifft2.default "
        "fft_rfft2.default fft_irfft2.default fft_fftn.default fft_ifftn.default fft_rfftn.default fft_irfftn.default"
    )
    own_dims = 1

    def _check(self, call: Call, value: Value) -> None:
        super()._check(call, value)
        dims = call["dim"]
        listed = [dims] if isinstance(dims, int) else dims
        if not listed or any(normal_dim(dim, len(value.layout)) == 0 for dim in listed):
            raise NotProved(f"{op_name(call)} may run over the items of the batch")


class Indexing(Opaque):
    """Constant indices into dimensions behind the batch."""

    targets = overloads("index.Tensor slice_scatter.default select_scatter.default index_select.default")
    own_dims = 1

    def _check(self, call: Call, value: Value) -> None:
        super()._check(call, value)
        indices = call.arguments.get("indices")
        picks_items = indices[0] is not None if indices is not None else call["dim"] in (0, -len(value.layout))
        if picks_items:
            raise NotProved(f"{op_name(call)} may pick among the items of the batch")


class Creation(Rule):
    """Tensors made with the dtype and device of another one, whose values they do not take."""

    targets = overloads("new_zeros.default new_ones.default new_full.default new_empty.default new_tensor.default")

    def infer(self, call: Call) -> Value:
        like = call.value(call.inputs[0])
        return Value(layout_by_shape(call.shape, (), ()), (None,) * len(like.axes))

    def convert(self, call: Call, emit: Emitter) -> Mapped:
        raise NotShared(f"{op_name(call)} makes a tensor of the window's size")


class Attention(Opaque):
    """Products of computed values, one for each item."""

    targets = overloads("scaled_dot_product_attention.default bmm.default baddbmm.default")

    def infer(self, call: Call) -> Value | tuple[Value, ...]:
        if call.arguments.get("dropout_p"):
            raise NotReproducible("draws random numbers: the dropout of attention is active in evaluation mode")
        if len({call.value(node).layout[0] for node in call.inputs}) > 1:
            raise NotProved(f"{op_name(call)} pairs the items of the batch in different orders")
        return super().infer(call)

    def macs(self, call: Call) -> int:
        if "query" in call.arguments:  # every query meets every key, and then every value
            query, keys = shape_of(call["query"]), shape_of(call["key"])[-2]
            return keys * (per_item(query) + per_item(call.shape))
        left = call["batch1"] if "batch1" in call.arguments else call["self"]
        return per_item(call.shape) * shape_of(left)[-1]


class Einsum(Opaque):
    """A product told in letters: the batch must have one of its own, which the result keeps."""

    targets = overloads("einsum.default")

    def infer(self, call: Call) -> Value | tuple[Value, ...]:
        self._check_letters(call)
        values = [call.value(node) for node in call.inputs]
        if any(value.mapped for value in values):
            raise NotShared("einsum looks at the whole window or is not converted yet")
        first = values[0]
        return replace(first, layout=layout_by_shape(call.shape, first.layout, shape_of(call.inputs[0])))

    def macs(self, call: Call) -> int:
        terms, arrow, output = str(call["equation"]).replace(" ", "").partition("->")
        shapes = [shape_of(operand) for operand in call["tensors"]]
        operands = [_by_letter(term, shape) for term, shape in zip(terms.split(","), shapes, strict=True)]
        written = Counter(terms.replace(",", "").replace(".", ""))
        kept = set(output) if arrow else {letter for letter, times in written.items() if times == 1}
        if not arrow or "." in output:
            kept |= {letter for operand in operands for letter in operand if letter.startswith(".")}
        return _pairwise_macs(operands, kept)

    def _check_letters(self, call: Call) -> None:
        inputs, _, output = str(call["equation"]).replace(" ", "").partition("->")
        letters = set()
        for term, operand in zip(inputs.split(","), call["tensors"], strict=True):
            if call.is_constant(operand):
                continue
            layout = call.value(operand).layout
            if "." in term or len(term) != len(layout) or len(set(term)) != len(term):
                raise NotProved("einsum: its letters do not tell the dimensions apart")
            letters |= {(letter, dim) for letter, dim in zip(term, layout, strict=True) if has_batch(dim)}
        if len(letters) != 1 or next(iter(letters))[1] != (Batch(),) or next(iter(letters))[0] not in output:
            raise NotProved("einsum may run over the items of the batch")


def _by_letter(term: str, shape: Shape) -> dict[str, int]:
    """The sizes of an operand by its letters; dimensions under an ellipsis by their place from the last one on."""
    before, dots, after = term.partition("...")
    hidden = [f".{place}" for place in reversed(range(len(shape) - len(before) - len(after)))] if dots else []
    return dict(zip([*before, *hidden, *after], shape, strict=True))


def _pairwise_macs(operands: Sequence[dict[str, int]], kept: Set[str]) -> int:
    """Mult-adds of products from left to right; a letter that nothing else has is summed before."""
    total = 0
    made = dict(operands[0])
    for place, operand in enumerate(operands[1:], 2):
        later = {*kept, *(letter for one in operands[place:] for letter in one)}
        made = {letter: size for letter, size in made.items() if letter in operand or letter in later}
        other = {letter: size for letter, size in operand.items() if letter in made or letter in later}
        both = {letter: max(made.get(letter, 1), other.get(letter, 1)) for letter in {**made, **other}}
        size = prod(both.values())
        total += size // BATCH if size % BATCH == 0 else 0  # what weights alone make is made once
        made = {letter: length for letter, length in both.items() if letter in later}
    return total


def check_product(call: Call) -> None:
    """Raise NotProved where a product of two computed values may run over the batch."""
    layouts = [call.value(node).layout for node in call.inputs]
    ahead = all(len(layout) > 2 and has_batch(layout[0]) and not any(map(has_batch, layout[1:])) for layout in layouts)
    if not ahead or len({layout[0] for layout in layouts}) > 1 or len({len(layout) for layout in layouts}) > 1:
        raise NotProved("a matrix product may run over the items of the batch")


def op_name(call: Call) -> str:
    """ATen's name of the operation."""
    return str(call.target._schema.name).removeprefix("aten::")
