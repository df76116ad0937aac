"""Weights, and what is computed from them alone, as the exact engine takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx

from everywindow.graph import Network, evaluated, needed_nodes, records

aten = torch.ops.aten

KERNEL_USERS = (aten.conv2d.default, aten.conv2d.padding)


def is_constant(node: fx.Node, values: Mapping[fx.Node, Any]) -> bool:
    """Whether a node is a weight, or computed from weights and numbers alone."""
    if node.op == "get_attr":
        return True
    return (
        node.op == "call_function"
        and values[node] is None
        and "shape" in node.meta
        and all(is_constant(source, values) for source in node.all_input_nodes)
    )


def constants(network: Network) -> dict[fx.Node, Any]:
    """Weights, and what is computed from them alone, on the weights' device; kernels lie as they run fastest."""
    values = records(network).values
    found = evaluated(network, [node for node in needed_nodes(network) if is_constant(node, values)])
    return {node: _laid_out(node, value) for node, value in found.items()}


def _laid_out(node: fx.Node, value: Any) -> Any:
    """A kernel of a convolution with its channels last."""
    kernel = isinstance(value, Tensor) and any(
        user.target in KERNEL_USERS and user.args[1] is node for user in node.users if user.op == "call_function"
    )
    return value.contiguous(memory_format=torch.channels_last) if kernel and value.ndim == 4 else value
