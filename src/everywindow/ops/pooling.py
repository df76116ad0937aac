"""Pooling: maximum and average over a box, and over bins that follow the window."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod

import torch
from torch import Tensor, fx

from everywindow.geometry import Dim, LocalOp, Positions, Value, space_axes
from everywindow.ops import functional as fn
from everywindow.ops.emitter import Emitter, Mapped
from everywindow.ops.local import LocalOps, Placed, after_local, extents_after, place
from everywindow.ops.places import Environment, Places, Step
from everywindow.ops.reduce import reduced_map, reduced_value, sum_divisor
from everywindow.ops.rule import Call, NotShared, Rule, numbers, overloads, per_item, shape_of


class Pooling(Rule):
    """What the two poolings share."""

    def infer(self, call: Call) -> Value:
        value = call.value(call.inputs[0])
        ops = local_ops(call, len(value.layout))
        return after_local(call, value, ops, {dim: _why(op) for dim, op in ops.items()}, call.shape)


class MaxPooling(Pooling):
    """Max pooling; the map is padded with the smallest value of its dtype."""

    targets = overloads("max_pool1d.default max_pool2d.default max_pool3d.default")

    def convert(self, call: Call, emit: Emitter) -> Mapped:
        mapped = emit.mapped(call.inputs[0])
        ops = local_ops(call, len(mapped.value.layout))
        placed = place(mapped, ops, emit)
        node = self._native(call, emit, mapped.node, placed) or _boxes(call, emit, mapped.node, placed)
        return replace(mapped, node=node, value=self.infer(call), extents=extents_after(mapped, ops, emit))

    def share(self, call: Call, places: Places, after: Value) -> Step:
        ops = local_ops(call, len(after.layout))
        kernel, strides, dilation = zip(*((op.kernel, op.stride, op.dilation) for op in ops.values()), strict=True)

        def apply(slab: Tensor) -> Tensor:
            pooled: Tensor = call.target(slab, kernel, strides, [0] * len(ops), dilation, False)
            return pooled

        return _pooled(call, places, after, ops, apply)

    def comparisons(self, call: Call) -> int:
        return _boxed(call)

    def _native(self, call: Call, emit: Emitter, x: fx.Node, placed: dict[int, Placed]) -> fx.Node | None:
        """The original pooling, where it can express the padding."""
        ops = placed.values()
        if any(op.low != op.high or op.low * 2 > op.kernel for op in ops):
            return None
        return emit.call(
            call.target,
            x,
            [op.kernel for op in ops],
            [op.stride for op in ops],
            [op.low for op in ops],
            [op.dilation for op in ops],
            False,
        )


def _boxes(call: Call, emit: Emitter, x: fx.Node, placed: dict[int, Placed]) -> fx.Node:
    amounts = [(dim, op.low, op.high) for dim, op in placed.items()]
    x = emit.call(fn.pad, x, amounts, _smallest(call))
    for dim, op in placed.items():
        x = emit.call(fn.box_max, x, dim, op.kernel, op.dilation, op.stride)
    return x


def _pooled(call: Call, places: Places, after: Value, ops: LocalOps, apply: Callable[[Tensor], Tensor]) -> Step:
    """The largest value of each box, on shared values."""
    source = call.inputs[0]
    moves, fill = places.moves(call.value(source), after, ops), _smallest(call)

    def run(environment: Environment) -> Tensor:
        return moves.run(environment[source], fill, apply)

    return Step(run, moves)


def _smallest(call: Call) -> float:
    """What a maximum passes over: minus infinity, or the smallest integer."""
    dtype: torch.dtype = call.inputs[0].meta["dtype"]
    return float("-inf") if dtype.is_floating_point else float(torch.iinfo(dtype).min)


def _refuse_integers(call: Call) -> None:
    """Raise NotShared where torch's mean drops the fraction."""
    if not call.inputs[0].meta["dtype"].is_floating_point:
        raise NotShared("a mean of integers is rounded")


def _sums(
    call: Call,
    places: Places,
    after: Value,
    ops: LocalOps,
    counts: Callable[[LocalOp, int], list[int]],
    divisor: int | None,
) -> Step:
    """The mean of each box on shared values: its sum over the count that holds at that place of a window."""
    source = call.inputs[0]
    before = call.value(source)
    moves = places.moves(before, after, ops)
    rows = places.rows(after)
    lengths = shape_of(source)
    shares = [
        (dim, _per_position(rows[space_axes((after.layout[dim],))[0]], counts(op, lengths[dim])))
        for dim, op in ops.items()
        if divisor is None
    ]

    def apply(slab: Tensor) -> Tensor:
        for dim, op in ops.items():
            slab = fn.box_sum(slab, dim, op.kernel, op.dilation, op.stride)
        return slab

    def run(environment: Environment) -> Tensor:
        total = moves.run(environment[source], 0.0, apply)
        if divisor is not None:
            total = total / divisor
        for dim, share in shares:
            total = total / share.to(total).reshape([-1] + [1] * (total.ndim - 1 - dim))
        return total.to(environment[source].dtype)

    return Step(run, moves)


def _per_position(row: Positions, counts: list[int]) -> Tensor:
    """The count of a window's position, for each position of the row (1 where no window has it)."""
    _, inside = row.owners()
    return torch.tensor([counts[at] if at >= 0 else 1 for at in inside.tolist()])


def _counts(op: LocalOp, n: int, padded: bool) -> list[int]:
    """How many positions each box of average pooling counts."""
    low, high = (-op.pad_low, n + op.pad_high) if padded else (0, n)
    starts = [at * op.stride - op.pad_low for at in range(op.output_length(n))]
    return [min(start + op.kernel, high) - max(start, low) for start in starts]


class AveragePooling(Pooling):
    """Average pooling; the divisor counts what the original counts."""

    targets = overloads("avg_pool1d.default avg_pool2d.default avg_pool3d.default")

    def infer(self, call: Call) -> Value:
        _refuse_integers(call)
        return super().infer(call)

    def convert(self, call: Call, emit: Emitter) -> Mapped:
        mapped = emit.mapped(call.inputs[0])
        ops = local_ops(call, len(mapped.value.layout))
        placed = place(mapped, ops, emit)
        node = self._native(call, emit, mapped.node, placed) or _averages(call, emit, mapped.node, placed)
        return replace(mapped, node=node, value=self.infer(call), extents=extents_after(mapped, ops, emit))

    def share(self, call: Call, places: Places, after: Value) -> Step:
        ops = local_ops(call, len(after.layout))
        divisor = call.arguments.get("divisor_override")
        padded = bool(call["count_include_pad"])
        return _sums(call, places, after, ops, lambda op, n: _counts(op, n, padded), divisor)

    def additions(self, call: Call) -> int:
        return _boxed(call)

    def _native(self, call: Call, emit: Emitter, x: fx.Node, placed: dict[int, Placed]) -> fx.Node | None:
        """The original pooling, where it can express padding and dilation."""
        ops = placed.values()
        if any(op.low != op.high or op.low * 2 > op.kernel or op.scale != 1 for op in ops):
            return None
        extra = [call["divisor_override"]] if "divisor_override" in call.arguments else []
        window = [[op.kernel for op in ops], [op.stride for op in ops], [op.low for op in ops]]
        return emit.call(call.target, x, *window, False, call["count_include_pad"], *extra)


def _averages(call: Call, emit: Emitter, x: fx.Node, placed: dict[int, Placed]) -> fx.Node:
    axes = [(dim, op.kernel, op.dilation, op.stride, op.low, op.high) for dim, op in placed.items()]
    counted = [
        (op.op.pad_low * op.scale, op.op.pad_high * op.scale) if call["count_include_pad"] else (0, 0)
        for op in placed.values()
    ]
    return emit.call(fn.average_pool, x, axes, counted, call.arguments.get("divisor_override"))


def local_ops(call: Call, rank: int) -> LocalOps:
    """The pooling's local op for each of its dimensions, the last ones."""
    axes = _axes(call)
    kernel = numbers(call["kernel_size"], axes)
    stride = numbers(call["stride"] or kernel, axes)
    padding = numbers(call["padding"], axes)
    dilation = numbers(call.arguments.get("dilation", 1), axes)
    return {
        rank - axes + i: LocalOp(kernel[i], dilation[i], stride[i], padding[i], padding[i], call["ceil_mode"])
        for i in range(axes)
    }


def _why(op: LocalOp) -> str:
    if op.pad_low or op.pad_high:
        return f"pooling with padding {(op.pad_low, op.pad_high)}"
    return "ceil mode: the last pooling window hangs over the end"


class AdaptivePooling(Rule):
    """Pooling into as many equal bins as asked for; one bin is a reduction over the window."""

    targets = overloads(
        "adaptive_avg_pool1d.default adaptive_avg_pool2d.default adaptive_avg_pool3d.default "
        "_adaptive_avg_pool2d.default _adaptive_avg_pool3d.default"
    )
    kind = "mean"

    def infer(self, call: Call) -> Value | tuple[Value, ...]:
        _refuse_integers(call)
        return self._value(call)

    def convert(self, call: Call, emit: Emitter) -> Mapped | tuple[Mapped, ...]:
        mapped = emit.mapped(call.inputs[0])
        bins, whole = self._split(call)
        value = after_local(call, mapped.value, bins, dict.fromkeys(bins, ""), call.shape)
        node = self._binned(call, emit, mapped.node, place(mapped, bins, emit)) if bins else mapped.node
        mapped = replace(mapped, node=node, value=value, extents=extents_after(mapped, bins, emit))
        return replace(reduced_map(emit, mapped, whole, self.kind, keepdim=True), value=self._value(call))

    def share(self, call: Call, places: Places, after: Value) -> Step:
        bins, whole = self._split(call)
        if whole:
            raise NotShared("it takes whole windows")
        return self._shared_bins(call, places, after, bins)

    def sums(self, call: Call) -> int | None:
        axes = _axes(call)
        if self.kind != "mean" or any(size != 1 for size in call.shape[-axes:]):
            return None
        return sum_divisor(call, self._split(call)[1], self.kind)

    def additions(self, call: Call) -> int:
        return _binned_values(call)

    def _shared_bins(self, call: Call, places: Places, after: Value, bins: LocalOps) -> Step:
        return _sums(call, places, after, bins, lambda op, n: [op.kernel] * op.output_length(n), None)

    def _value(self, call: Call) -> Value:
        bins, whole = self._split(call)
        value = after_local(call, call.value(call.inputs[0]), bins, dict.fromkeys(bins, ""), call.shape)
        return reduced_value(value, whole, keepdim=True)

    def _split(self, call: Call) -> tuple[LocalOps, list[int]]:
        """Local ops for the dimensions with several bins, and the dimensions that become one."""
        source, shape = shape_of(call.inputs[0]), call.shape
        layout = call.value(call.inputs[0]).layout
        bins, whole = {}, []
        for dim in range(len(shape) - _axes(call), len(shape)):
            if shape[dim] == 1 and source[dim] > 1:
                whole.append(dim)
            elif shape[dim] != source[dim]:
                bins[dim] = _bin(source[dim], shape[dim], layout[dim])
        return bins, whole

    def _binned(self, call: Call, emit: Emitter, x: fx.Node, placed: dict[int, Placed]) -> fx.Node:
        axes = [(dim, op.kernel, op.dilation, op.stride, 0, 0) for dim, op in placed.items()]
        return emit.call(fn.average_pool, x, axes, [(0, 0)] * len(axes), None)


def _bin(size: int, count: int, dim: Dim) -> LocalOp:
    if size % count:
        raise NotShared(f"adaptive pooling of {size} positions into {count} unequal bins")
    return LocalOp(kernel=size // count, stride=size // count, coarsens=False)


class AdaptiveMaxPooling(AdaptivePooling):
    """Adaptive max pooling. Its second output, the places of the maxima, belongs to the window alone."""

    targets = overloads("adaptive_max_pool1d.default adaptive_max_pool2d.default adaptive_max_pool3d.default")
    kind = "amax"

    def infer(self, call: Call) -> tuple[Value, ...]:
        value = self._value(call)
        return value, value.ended(call.because("the places of the maxima count from the window's corner"))

    def convert(self, call: Call, emit: Emitter) -> tuple[Mapped, ...]:
        maximum = super().convert(call, emit)
        assert isinstance(maximum, Mapped)
        return (maximum,)

    def comparisons(self, call: Call) -> int:
        return _binned_values(call)

    def additions(self, call: Call) -> int:
        return 0

    def _shared_bins(self, call: Call, places: Places, after: Value, bins: LocalOps) -> Step:
        def apply(slab: Tensor) -> Tensor:
            for dim, op in bins.items():
                slab = fn.box_max(slab, dim, op.kernel, op.dilation, op.stride)
            return slab

        pooled = _pooled(call, places, after, bins, apply)
        return Step(lambda environment: (pooled.run(environment),), pooled.moves)

    def _binned(self, call: Call, emit: Emitter, x: fx.Node, placed: dict[int, Placed]) -> fx.Node:
        return _boxes(call, emit, x, placed)


def _boxed(call: Call) -> int:
    """Values that go into the boxes of a pooling, for one window; padding counts as the original computes it."""
    return per_item(call.shape) * prod(numbers(call["kernel_size"], _axes(call)))


def _binned_values(call: Call) -> int:
    """Values that go into the bins of an adaptive pooling, for one window."""
    source, shape, axes = shape_of(call.inputs[0]), call.shape, _axes(call)
    return per_item(shape[:-axes]) * prod(map(_bins_length, source[-axes:], shape[-axes:]))


def _bins_length(size: int, count: int) -> int:
    """Positions in all bins along an axis; unequal ones overlap."""
    return sum(-(-(at + 1) * size // count) - at * size // count for at in range(count))


def _axes(call: Call) -> int:
    """Number of axes that a pooling runs over."""
    return next(count for count in (1, 2, 3) if f"pool{count}d" in str(call.target))
