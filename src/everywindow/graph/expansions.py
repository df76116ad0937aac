"""Expansions that change nothing: elementwise calls broadcast by themselves."""

from __future__ import annotations

import torch
from torch import fx

from everywindow.ops import Pointwise, rule_for

EXPANSIONS = frozenset(
    [torch.ops.aten.expand.default, torch.ops.aten.expand_as.default, torch.ops.aten.broadcast_to.default]
)


def drop_expansions(graph: fx.Graph) -> None:
    """Let elementwise calls read what was expanded for them, where their result stays the same.

    So ``x * gate.expand_as(x)`` keeps its gate one value for each window.
    """
    for node in reversed(graph.nodes):
        if node.target not in EXPANSIONS:
            continue
        source = node.args[0]
        for user in list(node.users):
            if isinstance(source, fx.Node) and _broadcasts(user, node, source):
                user.replace_input_with(node, source)
        if not node.users:
            graph.erase_node(node)


def _broadcasts(user: fx.Node, expanded: fx.Node, source: fx.Node) -> bool:
    """Whether a call gives the same for the source as for its expansion."""
    if not isinstance(rule_for(user.target), Pointwise) or isinstance(user.meta.get("shape"), list):
        return False
    read = [source if node is expanded else node for node in user.all_input_nodes]
    if any("shape" not in node.meta for node in read):
        return False
    try:
        return tuple(torch.broadcast_shapes(*(node.meta["shape"] for node in read))) == tuple(user.meta["shape"])
    except RuntimeError:
        return False
