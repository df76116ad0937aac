"""Normalisation with statistics from training (per channel) or over features."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import fx, nn

from everywindow.geometry import Value, has_batch, is_space, space_axes
from everywindow.ops import functional as fn
from everywindow.ops.context import WHY, in_context
from everywindow.ops.emitter import Emitter, Mapped
from everywindow.ops.form import axis_dim, is_in_place
from everywindow.ops.places import Unchanged
from everywindow.ops.rule import Call, MixesBatch, NotProved, NotShared, overloads
from everywindow.ops.verbatim import emit_verbatim, plain_value


class BatchNorm(Unchanged):
    """Batch normalisation with running statistics; the converted network gets a module that trains."""

    targets = overloads("batch_norm.default _native_batch_norm_legit_no_training.default")

    def infer(self, call: Call) -> Value | tuple[Value, ...]:
        if call.arguments.get("training") or call["running_mean"] is None:
            raise MixesBatch("batch normalisation without running statistics runs over")
        call.require_constant("weight", "bias", "running_mean", "running_var")
        value = _with_plain_channels(call.value(call["input"]))
        return (value,) if self._native(call) else value

    def convert(self, call: Call, emit: Emitter) -> Mapped | tuple[Mapped, ...]:
        mapped = emit.mapped(call["input"])
        value = _with_plain_channels(mapped.value)
        mapped = emit.plain(mapped, value)
        if self._native(call):
            node = emit_verbatim(call, emit, mapped, value).node
            first = emit.call(_first, node)
            return (replace(mapped, node=first, value=value),)
        path = _module_path(call)
        if path is None or _settings(call) != _settings(_layer_proper(call, path)):
            return emit_verbatim(call, emit, mapped, value)
        node = emit.module(path, emit.modules.get(path) or _module(call), mapped.node)
        node.meta["fresh"] = True
        return replace(mapped, node=node)

    def _native(self, call: Call) -> bool:
        return call.target is torch.ops.aten._native_batch_norm_legit_no_training.default


def _first(several: Any) -> Any:
    return several[0]


def _with_plain_channels(value: Value) -> Value:
    """The record with channels in dimension 1; a flattened map is gathered, for its channels are positions too."""
    channels = value.layout[1]
    if value.mapped and not is_in_place(value.layout) and len(value.layout) > 2:
        raise NotShared("batch normalisation over a flattened map")
    if is_space(channels) and len(value.layout) > 2:
        raise NotShared("batch normalisation takes the window's positions as channels")
    if has_batch(channels):
        raise MixesBatch("batch normalisation takes as channels")
    return plain_value(value, "batch normalisation") if space_axes((channels,)) else value


def _module_path(call: Call) -> str | None:
    """The name of the module whose statistics these are; None where they are not one module's own."""
    names = {"weight": call["weight"], "bias": call["bias"]}
    names |= {"running_mean": call["running_mean"], "running_var": call["running_var"]}
    paths = set()
    for leaf, node in names.items():
        if node is None:
            continue
        target = str(node.target) if isinstance(node, fx.Node) and node.op == "get_attr" else ""
        path, _, last = target.rpartition(".")
        paths.add(path if last == leaf else "")
    path = paths.pop() if len(paths) == 1 else ""
    return path or None


def _layer_proper(call: Call, path: str) -> Call:
    """Of the calls with the same statistics the module's own; where there is none, the first one."""
    users = [Call(node, call.values) for node in call["running_mean"].users if node.target is call.target]
    return next((user for user in users if user.layer == path), users[0])


def _settings(call: Call) -> tuple[type[nn.Module], float, float | None]:
    """What is to be said of a batch norm module: its kind by the number of dimensions, epsilon, momentum."""
    kind = {4: nn.BatchNorm2d, 5: nn.BatchNorm3d}.get(len(call.shape), nn.BatchNorm1d)
    return kind, call["eps"], None if call.node.meta.get("cumulative") else call["momentum"]


def _module(call: Call) -> nn.Module:
    """A batch norm module for the map's number of dimensions; its tensors are put in by the convert room."""
    kind, eps, momentum = _settings(call)
    return kind(1, eps=eps, momentum=momentum, affine=call["weight"] is not None)


class FeatureNorm(Unchanged):
    """Layer normalisation and its like over trailing dimensions that hold features only."""

    targets = overloads("layer_norm.default native_layer_norm.default rms_norm.default")

    def infer(self, call: Call) -> Value | tuple[Value, ...]:
        call.require_constant("weight", *(["bias"] if "bias" in call.arguments else []))
        value = self._plain(call)
        return (value,) if isinstance(call.node.meta["shape"], list) else value

    def convert(self, call: Call, emit: Emitter) -> Mapped | tuple[Mapped, ...]:
        mapped, value = emit.mapped(call["input"]), self._plain(call)
        mapped = emit.plain(mapped, value)
        result = emit_verbatim(call, emit, mapped, value)
        if not isinstance(call.node.meta["shape"], list):
            return result
        return (replace(result, node=emit.call(_first, result.node)),)

    def _plain(self, call: Call) -> Value:
        value = call.value(call["input"])
        normed = value.layout[len(value.layout) - len(call["normalized_shape"]) :]
        if any(has_batch(dim) for dim in normed):
            raise MixesBatch("a normalisation runs over")
        if not space_axes(normed):
            return value
        if len(normed) == 1:
            return plain_value(value, "a normalisation")
        raise NotShared("a normalisation takes its statistics over the window's positions")


class WindowNorm(Unchanged):
    """Group and instance normalisation: statistics over each window's own positions."""

    targets = overloads("group_norm.default instance_norm.default native_group_norm.default")

    def infer(self, call: Call) -> Value:
        value = call.value(call["input"])
        if any(has_batch(dim) for dim in value.layout[1:]) or not has_batch(value.layout[0]):
            raise NotProved("a normalisation may run over the items of the batch")
        if value.mapped and not is_in_place(value.layout):
            raise NotShared("a normalisation over a flattened map")
        if call.arguments.get("use_input_stats") is False:
            return value
        if not value.mapped:
            return value
        alone = all(is_space(dim) for dim in value.layout[2:]) and len(value.mapped) == len(value.layout) - 2
        if call.one_pass and alone and "native" not in str(call.target):
            return in_context(value, call.because(WHY))
        raise NotShared("a normalisation takes its statistics over the window's positions")

    def convert(self, call: Call, emit: Emitter) -> Mapped:
        mapped, value = emit.mapped(call["input"]), self.infer(call)
        if not value.mapped or call.arguments.get("use_input_stats") is False:
            return emit_verbatim(call, emit, mapped, value)
        weight, bias = emit.constant(call["weight"]), emit.constant(call["bias"])
        groups = call.arguments.get("num_groups", call.shape[1])
        axes = [(axis_dim(value.layout, axis), *emit.window_steps(mapped, axis)[:2]) for axis in value.mapped]
        node = emit.call(fn.norm_around, mapped.node, groups, weight, bias, call["eps"], axes)
        return replace(mapped, node=node, value=value)
