"""Upsampling by whole factors, of nearest positions or linear between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, reduce
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from everywindow.geometry import (
    AxisRecord,
    Border,
    Extent,
    LocalOp,
    Upsampling,
    Value,
    feature_dim,
    space_axes,
)
from everywindow.ops.emitter import Emitter, Mapped
from everywindow.ops.opaque import OfMaps, op_name
from everywindow.ops.places import Environment, Places, Step, picked
from everywindow.ops.rule import Call, NotShared, Shape, overloads, shape_of

SCALES = ("scales", "scales_d", "scales_h", "scales_w")
"""Arguments of the overloads that take a factor for each axis by itself."""


class DepthToSpace(OfMaps):
    """``pixel_shuffle``: groups of features become positions between positions."""

    targets = overloads("pixel_shuffle.default")
    own_dims = 3

    def _after(self, call: Call, value: Value) -> Value:
        factor = call["upscale_factor"]
        finer = _with_axes(value, {2: factor, 3: factor}, lambda record, times: record.upsampled(Upsampling(times)))
        return replace(finer, layout=(finer.layout[0], feature_dim(call.shape[1]), *finer.layout[2:]))

    def _on_map(self, call: Call, emit: Emitter, mapped: Mapped) -> Mapped:
        factor = call["upscale_factor"]
        extents = finer_extents(call, mapped, {2: factor, 3: factor})
        return replace(mapped, node=emit.call(call.target, mapped.node, factor), extents=extents)

    def share(self, call: Call, places: Places, after: Value) -> Step:
        """The call as it stands, where the positions made of one lie in its place."""
        source, factor = call.inputs[0], call["upscale_factor"]
        for coarse, finer in zip(places.rows(call.value(source)), places.rows(after), strict=True):
            made = coarse.table[:, :, None] * factor + np.arange(factor)
            if not np.array_equal(made.reshape(finer.table.shape), finer.table):
                raise NotShared("what windows share lies in other places than before")

        def run(environment: Environment) -> Any:
            return call.target(environment[source], factor)

        return Step(run)


FINER_THAN_PIXELS = "it puts positions closer together than pixels"


class NearestUpsampling(OfMaps):
    """Every position several times."""

    targets = overloads(
        "upsample_nearest1d.vec upsample_nearest2d.vec upsample_nearest3d.vec upsample_nearest1d.default "
        "upsample_nearest2d.default upsample_nearest3d.default _upsample_nearest_exact1d.vec "
        "_upsample_nearest_exact2d.vec _upsample_nearest_exact3d.vec _upsample_nearest_exact1d.default "
        "_upsample_nearest_exact2d.default _upsample_nearest_exact3d.default"
    )

    def _after(self, call: Call, value: Value) -> Value:
        return _with_axes(value, self._factors(call), self._record)

    def _on_map(self, call: Call, emit: Emitter, mapped: Mapped) -> Mapped:
        factors = self._factors(call)
        node = emit.call(self.on_map, mapped.node, list(factors.values()))
        return replace(mapped, node=node, extents=finer_extents(call, mapped, factors))

    def share(self, call: Call, places: Places, after: Value) -> Step:
        factors = self._factors(call)
        return picked(call, places, after, {dim: Upsampling(factor) for dim, factor in factors.items()})

    @staticmethod
    def on_map(x: Tensor, factors: Sequence[int]) -> Tensor:
        """The upsampling of an image-wide map, by a factor for each dimension behind the features."""
        for dim, factor in enumerate(factors, start=2):
            x = repeated(x, dim, factor)
        return x

    def _record(self, record: AxisRecord, factor: int) -> AxisRecord | None:
        """The record of an axis behind the upsampling."""
        return record.upsampled(Upsampling(factor))

    def _factors(self, call: Call) -> dict[int, int]:
        """The factor of each dimension behind the features."""
        source, shape = shape_of(call.inputs[0])[2:], call.shape[2:]
        factors = whole_factors(call.target, source, shape, _settings(call))
        if factors is None or not self._is_even(call, source, shape):
            raise NotShared(f"{op_name(call)} from {list(source)} to {list(shape)} positions treats them unevenly")
        return dict(enumerate(factors, start=2))

    def _is_even(self, call: Call, source: Shape, shape: Shape) -> bool:
        """Whether an upsampling by whole factors treats all positions alike."""
        return copies(call.target, source, shape, _settings(call))


class LinearUpsampling(NearestUpsampling):
    """Linear between positions, the outermost repeated beyond the ends.

    Such is nearest upsampling, smoothed by a box as long as the factor, which repeats the ends.
    """

    targets = overloads(
        "upsample_linear1d.vec upsample_bilinear2d.vec upsample_trilinear3d.vec upsample_linear1d.default "
        "upsample_bilinear2d.default upsample_trilinear3d.default"
    )

    def share(self, call: Call, places: Places, after: Value) -> Step:
        source = call.inputs[0]
        before = call.value(source)
        factors = self._factors(call)
        finer = _with_axes(before, factors, super()._record)
        wider = _with_axes(finer, factors, _repeated_ends)
        copied = places.picks(before, finer, {dim: Upsampling(factor) for dim, factor in factors.items()})
        ended = places.picks(finer, wider, {dim: _ends(factor) for dim, factor in factors.items()})
        moves = places.moves(wider, after, {dim: _box(factor) for dim, factor in factors.items()})

        def run(environment: Environment) -> Any:
            return moves.run(ended(copied(environment[source])), 0.0, lambda slab: smoothed(slab, factors))

        return Step(run, moves, copies=(source,))

    def _after(self, call: Call, value: Value) -> Value:
        after = super()._after(call, value)
        smooths = any(factor > 1 for factor in self._factors(call).values())
        why = call.because("it repeats the window's outermost positions beyond its ends")
        return after.because(why) if smooths else after

    @staticmethod
    def on_map(x: Tensor, factors: Sequence[int]) -> Tensor:
        """The upsampling of an image-wide map; its own ends are repeated."""
        mode = ("linear", "bilinear", "trilinear")[len(factors) - 1]
        return functional.interpolate(x, scale_factor=list(map(float, factors)), mode=mode, align_corners=False)

    def _record(self, record: AxisRecord, factor: int) -> AxisRecord | None:
        finer = super()._record(record, factor)
        return None if finer is None else _repeated_ends(finer, factor).after(_box(factor))

    def _is_even(self, call: Call, source: Shape, shape: Shape) -> bool:
        return not call["align_corners"]


def _ends(factor: int) -> Border:
    return Border("replicate", factor // 2, factor // 2)


def _repeated_ends(record: AxisRecord, factor: int) -> AxisRecord:
    return record.after(_ends(factor).local)


def _box(factor: int) -> LocalOp:
    """A box centred on the position that it is for: where its length is even, the two ends count half."""
    return LocalOp(kernel=factor + 1 - factor % 2)


def _with_axes(
    value: Value, factors: Mapping[int, int], change: Callable[[AxisRecord, int], AxisRecord | None]
) -> Value:
    """The value with a changed record of every axis."""
    for dim, factor in factors.items():
        axis = space_axes((value.layout[dim],))[0]
        record = change(value.axis(axis), factor)
        if record is None:
            raise NotShared(FINER_THAN_PIXELS)
        value = value.with_axis(axis, record)
    return value


def finer_extents(call: Call, mapped: Mapped, factors: Mapping[int, int]) -> tuple[Extent | None, ...]:
    """The extents of a map that gets so many positions in the place of each, per dimension.

    Raises:
        NotShared: at one place of the map windows would have different values.
    """
    extents = list(mapped.extents)
    for dim, factor in factors.items():
        axis = require_undilated(call, mapped, dim)
        extents[axis] = mapped.extent(axis).finer(factor)
    return tuple(extents)


def require_undilated(call: Call, mapped: Mapped, dim: int) -> int:
    """The axis of a dimension of a map, if neighbours on the map are neighbours in every window.

    Raises:
        NotShared: they are not: at one place of a finer map windows would have different values.
    """
    axis = space_axes((mapped.value.layout[dim],))[0]
    record = mapped.value.axis(axis)
    if mapped.extent(axis).spacing != record.jump:
        raise NotShared(
            f"{op_name(call)} makes a map finer, where windows have different values at one place unless the stride is "
            f"a multiple of {record.period}"
        )
    return axis


def _settings(call: Call) -> tuple[Any, ...]:
    """The call's arguments behind the tensor."""
    return tuple(tuple(one) if isinstance(one, Sequence) else one for one in list(call.arguments.values())[1:])


@cache
def copies(target: Any, source: Shape, shape: Shape, settings: tuple[Any, ...]) -> bool:
    """Whether an upsampling makes position ``u`` from position ``u // factor`` on every axis.

    Not always: ATen multiplies ``u`` by a rounded ``1 / factor``. With a factor of 41 position 41 is a copy of 0 in
    float32, and with channels last in memory in float64 too. So it is tried, in both precisions.
    """
    factors = whole_factors(target, source, shape, settings)
    return factors is not None and all(
        _copies_along(target, axis, source, factors[axis], settings, dtype)
        for axis in range(len(source))
        for dtype in (torch.float32, torch.float64)
    )


def whole_factors(target: Any, source: Shape, shape: Shape, settings: tuple[Any, ...]) -> list[int] | None:
    """The factor of each axis; None where one is not whole, or another one was given."""
    factors = [b // a for a, b in zip(source, shape, strict=True)]
    given = _given_factors(target, settings)
    whole = (
        a * factor == b and one in (None, factor)
        for a, b, factor, one in zip(source, shape, factors, given, strict=True)
    )
    return factors if all(whole) else None


def _given_factors(target: Any, settings: tuple[Any, ...]) -> list[float | None]:
    """The factors as they were given, per axis; None where sizes were."""
    named = dict(zip([argument.name for argument in target._schema.arguments][1:], settings, strict=True))
    axes = next(count for count in (1, 2, 3) if f"{count}d" in str(target))
    single = [named[name] for name in SCALES if name in named]
    return list(named.get("scale_factors") or single or [None] * axes)


def _copies_along(
    target: Any, axis: int, source: Shape, factor: int, settings: tuple[Any, ...], dtype: torch.dtype
) -> bool:
    shape = [1] * (2 + len(source))
    shape[2 + axis] = source[axis]
    numbered = torch.arange(source[axis], dtype=dtype).reshape(shape).expand(1, 1, *source)
    made = target(numbered, *settings)
    wanted = torch.arange(source[axis] * factor) // factor
    shape[2 + axis] *= factor
    return bool((made == wanted.reshape(shape)).all())


def repeated(x: Tensor, dim: int, times: int) -> Tensor:
    """Every position along a dimension so many times."""
    shape = list(x.shape)
    return x.unsqueeze(dim + 1).expand(*shape[: dim + 1], times, *shape[dim + 1 :]).flatten(dim, dim + 1)


def smoothed(x: Tensor, factors: Mapping[int, int]) -> Tensor:
    """The mean over a box around each position, per dimension of so many; where it is even, its two ends count half."""
    for dim, factor in factors.items():
        length = x.shape[dim] - factor + factor % 2
        parts = [x.narrow(dim, start, length) for start in range(factor + 1 - factor % 2)]
        if factor % 2 == 0:
            parts[0] = (parts[0] + parts.pop()) / 2
        x = reduce(torch.add, parts) / factor
    return x
