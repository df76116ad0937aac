"""Which operations give memory of their own, and which a view of their input."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

aten = torch.ops.aten

_FRESH = frozenset(
    f"aten::{name}"
    for name in [
        "adaptive_avg_pool1d",
        "adaptive_avg_pool2d",
        "adaptive_avg_pool3d",
        "adaptive_max_pool1d",
        "adaptive_max_pool2d",
        "adaptive_max_pool3d",
        "avg_pool1d",
        "avg_pool2d",
        "avg_pool3d",
        "batch_norm",
        "conv1d",
        "conv2d",
        "conv3d",
        "conv_transpose1d",
        "conv_transpose2d",
        "conv_transpose3d",
        "group_norm",
        "hardswish",
        "instance_norm",
        "layer_norm",
        "linear",
        "log_softmax",
        "matmul",
        "max_pool1d",
        "max_pool2d",
        "max_pool3d",
        "prelu",
        "scaled_dot_product_attention",
        "softmax",
        "upsample_bilinear2d",
        "upsample_linear1d",
        "upsample_nearest1d",
        "upsample_nearest2d",
        "upsample_nearest3d",
        "upsample_trilinear3d",
        "_upsample_nearest_exact1d",
        "_upsample_nearest_exact2d",
        "_upsample_nearest_exact3d",
    ]
)
"""Composite operations whose result never shares memory with their input."""


IN_PLACE: dict[Any, Any] = {
    aten.relu.default: aten.relu_.default,
    aten.hardtanh.default: aten.hardtanh_.default,
    aten.hardswish.default: aten.hardswish_.default,
    aten.hardsigmoid.default: aten.hardsigmoid_.default,
    aten.silu.default: aten.silu_.default,
    aten.gelu.default: aten.gelu_.default,
    aten.sigmoid.default: aten.sigmoid_.default,
    aten.tanh.default: aten.tanh_.default,
    aten.leaky_relu.default: aten.leaky_relu_.default,
    aten.elu.default: aten.elu_.default,
    aten.add.Tensor: aten.add_.Tensor,
}
"""Elementwise operations and those that overwrite their first input."""


OWN_FRESH = frozenset(["positive_weights", "window_linear"])
"""Our own functions (:mod:`everywindow.ops.functional`) whose result is always new memory."""


def is_fresh(target: Any) -> bool:
    """Whether an operation's result never shares memory with its inputs; False where that is not known."""
    if not isinstance(target, torch._ops.OpOverload):
        return getattr(target, "__name__", "") in OWN_FRESH
    schema = target._schema
    if schema.name in _FRESH:
        return True
    returns_alias = any(value.alias_info is not None for value in schema.returns)
    composite = target.has_kernel_for_dispatch_key(torch._C.DispatchKey.CompositeImplicitAutograd)
    return not (returns_alias or composite or torch.Tag.maybe_aliasing_or_mutating in target.tags)


def fills_first(node: fx.Node) -> bool:
    """Whether a call could write its result over its first input: an elementwise one, of the same shape and type."""
    if node.target not in IN_PLACE or not isinstance(node.args[0], fx.Node):
        return False
    first = node.args[0]
    alike = all(source.meta.get("dtype") == node.meta["dtype"] for source in node.all_input_nodes)
    return alike and first.meta.get("shape") == node.meta["shape"] and first not in node.args[1:]
