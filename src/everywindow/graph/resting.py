"""Layers that pass their input on in evaluation mode and do something to it in training: they leave marks.

Stochastic depth, drop path, drop block and noise of one's own do nothing at rest, so a captured graph would not know
of them. The converted network trains, and needs them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import fx, nn

AT_REST = "at_rest"
"""Key of a node's metadata: the module that rests there."""

Resting = dict[str, nn.Module]


@contextmanager
def marking(module: nn.Module) -> Iterator[Resting]:
    """While this lasts, resting layers put an ``alias`` in their output's place; gives them by name."""
    found = {name: child for name, child in module.named_modules(remove_duplicate=False) if _may_rest(child)}
    handles = [child.register_forward_hook(_marked) for child in dict.fromkeys(found.values())]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def rests_at(node: fx.Node, resting: Resting) -> str | None:
    """The name of the layer whose mark an exported node is."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    if node.target is not torch.ops.aten.alias.default or not stack:
        return None
    name = str(stack[-1][0]).removeprefix("L['self'].")
    return name if name in resting else None


def _may_rest(layer: nn.Module) -> bool:
    """Whether it holds nothing, and its code asks for its mode. Dropouts of torch are in the graph as such."""
    code = getattr(type(layer).forward, "__code__", None)
    if isinstance(layer, nn.modules.dropout._DropoutNd) or any(True for _ in layer.children()):
        return False
    holds = any(True for tensors in (layer.parameters(), layer.buffers()) for _ in tensors)
    return not holds and code is not None and "training" in code.co_names


def _marked(layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
    passed = len(inputs) > 0 and output is inputs[0] and isinstance(output, torch.Tensor)
    return torch.ops.aten.alias.default(output) if passed else None
