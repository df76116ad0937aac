"""Which operations give memory of their own, and which a view of their input."""

from __future__ import annotations

from typing import Any

import torch

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
    ]
)
"""Composite operations whose result never shares memory with their input."""


def is_fresh(target: Any) -> bool:
    """Whether an operation's result never shares memory with its inputs; False where that is not known."""
    if not isinstance(target, torch._ops.OpOverload):
        return False
    schema = target._schema
    if schema.name in _FRESH:
        return True
    returns_alias = any(value.alias_info is not None for value in schema.returns)
    composite = target.has_kernel_for_dispatch_key(torch._C.DispatchKey.CompositeImplicitAutograd)
    return not (returns_alias or composite or torch.Tag.maybe_aliasing_or_mutating in target.tags)
