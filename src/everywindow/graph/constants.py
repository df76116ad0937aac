"""Values that do not depend on the image: weights, and what is computed from them alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, fx

from everywindow.graph.network import Network
from everywindow.ops import CHANGES, Pointwise, changes, is_random, rule_for


def evaluated(network: Network, nodes: Iterable[fx.Node]) -> dict[fx.Node, Any]:
    """The present values of constants; ``nodes`` hold, in order, all that each is computed from."""
    found: dict[fx.Node, Any] = {}
    for node in nodes:
        if node.op == "get_attr":
            found[node] = network.state[str(node.target)].detach()
        else:
            args, kwargs = fx.node.map_arg((node.args, node.kwargs), found.__getitem__)
            found[node] = node.target(*args, **kwargs)  # type: ignore[operator]
    return found


def note_changes(network: Network) -> bool:
    """Note at the constants of elementwise calls where their slices change; whether that is new.

    It follows from their values, which may change at any time.
    """
    constant = _constants(network.graph)
    read = [node for node in constant if any(_is_elementwise(user) and user not in constant for user in node.users)]
    with torch.no_grad():
        values = evaluated(network, _with_sources(constant, read))
    found = {node: _changes(values[node]) for node in read if isinstance(values[node], Tensor)}
    new = any(node.meta.get(CHANGES) != now for node, now in found.items())
    for node, now in found.items():
        node.meta[CHANGES] = now
    return new


def _constants(graph: fx.Graph) -> dict[fx.Node, None]:
    """The nodes that neither the image nor the size of the batch goes into, in order."""
    found: dict[fx.Node, None] = {}
    for node in graph.nodes:
        computed = node.op == "call_function" and "shape" in node.meta and not is_random(node)
        if node.op == "get_attr" or (computed and all(source in found for source in node.all_input_nodes)):
            found[node] = None
    return found


def _with_sources(constant: Iterable[fx.Node], nodes: Iterable[fx.Node]) -> list[fx.Node]:
    """Some constants and what they are computed from, in order."""
    wanted = set(nodes)
    for node in reversed(list(constant)):
        if node in wanted:
            wanted.update(node.all_input_nodes)
    return [node for node in constant if node in wanted]


def _is_elementwise(node: fx.Node) -> bool:
    return node.op == "call_function" and isinstance(rule_for(node.target), Pointwise)


def _changes(value: Tensor) -> tuple[tuple[int, ...], ...] | None:
    return None if value.is_meta or value.is_complex() else changes(value)
