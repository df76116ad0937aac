"""One of a network's several outputs, without what only the others need."""

from __future__ import annotations

from typing import Any

from torch import fx

from everywindow.errors import InputError
from everywindow.graph.network import Network
from everywindow.graph.outputs import Output, chosen
from everywindow.graph.records import records


def only(network: Network, output: Output = None) -> Network:
    """The network with a single output; made once and kept with the network.

    Raises:
        InputError: no such output, or one that no image changes.
    """
    leaf = chosen(network.outputs, output)
    if records(network).values[leaf] is None:
        raise InputError("output", "these scores do not depend on the image", "give another output=")
    if leaf is network.outputs:
        return network
    kept: dict[fx.Node, Network] = network.kept.setdefault("outputs", {})
    if leaf not in kept:
        kept[leaf] = _only(network, leaf)
    return kept[leaf]


def _only(network: Network, leaf: fx.Node) -> Network:
    graph = fx.Graph()
    copies: dict[Any, Any] = {}
    graph.graph_copy(network.graph, copies)
    graph.output(copies[leaf])
    for node in reversed(list(graph.nodes)):
        if not node.users and node.op in ("call_function", "get_attr"):
            graph.erase_node(node)
    used = {str(node.target) for node in graph.nodes if node.op == "get_attr"}
    state = {name: tensor for name, tensor in network.state.items() if name in used}
    return Network(graph, state, network.window, network.channels, most=network.most, whole=network)
