"""Nearest upsampling by whole factors: every position several times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import torch

from everywindow.geometry import Upsampling, Value, is_space, space_axes
from everywindow.ops import functional as fn
from everywindow.ops.emitter import Emitter, Mapped
from everywindow.ops.opaque import Opaque, op_name
from everywindow.ops.places import Environment, Places, Step
from everywindow.ops.rule import Call, NotShared, Shape, overloads, shape_of

SCALES = ("scales", "scales_d", "scales_h", "scales_w")
"""Arguments of the overloads that take a factor for each axis by itself."""


class NearestUpsampling(Opaque):
    """Copies of positions."""

    targets = overloads(
        "upsample_nearest1d.vec upsample_nearest2d.vec upsample_nearest3d.vec upsample_nearest1d.default "
        "upsample_nearest2d.default upsample_nearest3d.default _upsample_nearest_exact1d.vec "
        "_upsample_nearest_exact2d.vec _upsample_nearest_exact3d.vec _upsample_nearest_exact1d.default "
        "_upsample_nearest_exact2d.default _upsample_nearest_exact3d.default"
    )

    def infer(self, call: Call) -> Value | tuple[Value, ...]:
        value = call.value(call.inputs[0])
        if not value.mapped:
            return super().infer(call)
        self._check(call, value)
        for dim, op in self._ops(call, value).items():
            axis = space_axes((value.layout[dim],))[0]
            after = value.axis(axis).upsampled(op)
            if after is None:
                raise NotShared(f"{op_name(call)} puts positions closer together than pixels")
            value = value.with_axis(axis, after)
        return value

    def convert(self, call: Call, emit: Emitter) -> Mapped | tuple[Mapped, ...]:
        mapped = emit.mapped(call.inputs[0])
        if not mapped.value.mapped:
            return super().convert(call, emit)
        node, extents = mapped.node, list(mapped.extents)
        for dim, op in self._ops(call, mapped.value).items():
            axis = require_undilated(call, mapped, dim)
            node = emit.call(fn.repeated, node, dim, op.factor)
            extents[axis] = mapped.extent(axis).finer(op.factor)
        value = self.infer(call)
        assert isinstance(value, Value)
        return replace(mapped, node=node, value=value, extents=tuple(extents))

    def share(self, call: Call, places: Places, after: Value) -> Step:
        source = call.inputs[0]
        before = call.value(source)
        pick = places.picks(before, after, self._ops(call, before))

        def run(environment: Environment) -> Any:
            return pick(environment[source])

        return Step(run, copies=() if pick.trivial else (source,))

    def _ops(self, call: Call, value: Value) -> dict[int, Upsampling]:
        """The upsampling of each dimension behind the features."""
        source, shape = shape_of(call.inputs[0])[2:], call.shape[2:]
        if not all(map(is_space, value.layout[2:])):
            raise NotShared(f"{op_name(call)} over a flattened or reduced map")
        if not copies(call.target, source, shape, _settings(call)):
            raise NotShared(f"{op_name(call)} from {list(source)} to {list(shape)} positions copies them unevenly")
        return {dim: Upsampling(b // a) for dim, (a, b) in enumerate(zip(source, shape, strict=True), start=2)}


def require_undilated(call: Call, mapped: Mapped, dim: int) -> int:
    """The axis of a dimension of a map, if neighbours on the map are neighbours in every window.

    Raises:
        NotShared: they are not: at one place of a finer map windows would have different values.
    """
    axis = space_axes((mapped.value.layout[dim],))[0]
    jump = mapped.value.axis(axis).jump
    if mapped.extent(axis).spacing != jump:
        raise NotShared(
            f"{op_name(call)} makes a map finer whose positions lie {jump} pixels apart; with a stride that is no "
            f"multiple of it windows have different values there"
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
    factors = [b // a for a, b in zip(source, shape, strict=True)]
    if any(a * factor != b for a, b, factor in zip(source, shape, factors, strict=True)):
        return False
    if not all(given in (None, factor) for given, factor in zip(_factors(target, settings), factors, strict=True)):
        return False
    return all(
        _copies_along(target, axis, source, factors[axis], settings, dtype)
        for axis in range(len(source))
        for dtype in (torch.float32, torch.float64)
    )


def _factors(target: Any, settings: tuple[Any, ...]) -> list[float | None]:
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
