"""Means over a window's positions, weighted by a softmax, in the form that one pass can take.

``x @ softmax(a)`` over the positions is ``sum(x · w) / sum(w)`` with ``w = exp(a)``, whatever is taken off ``a``
beforehand: so every position has one weight in all windows, and the sums run over each window's positions.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import fx

from everywindow.graph.network import Network
from everywindow.graph.shapes import record_shapes
from everywindow.ops import positive_weights

aten = torch.ops.aten

SOFTMAXES = (aten.softmax.int, aten._softmax.default)
PRODUCTS = (aten.matmul.default, aten.bmm.default)
VIEWS = (aten.view.default, aten.reshape.default, aten.unsqueeze.default)


def with_weighted_means(network: Network) -> Network:
    """The network with such means in that form, made once and kept with it; itself where it has none."""
    if "weighted" not in network.kept:
        network.kept["weighted"] = _rewritten(network)
    found: Network = network.kept["weighted"]
    return found


def _rewritten(network: Network) -> Network:
    if not any(_softmax_behind(node) is not None for node in network.graph.nodes):
        return network
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    graph.output(graph.graph_copy(network.graph, copies))
    for node in list(graph.nodes):
        softmax = _softmax_behind(node)
        if softmax is not None:
            _rewrite(graph, node, softmax)
    for node in reversed(list(graph.nodes)):
        if not node.users and node.op == "call_function":
            graph.erase_node(node)
    record_shapes(graph, network.state, network.window, network.channels)
    return replace(network, graph=graph, kept={})


def _softmax_behind(product: fx.Node) -> fx.Node | None:
    """The softmax of a matrix product with a single column of weights that add up to one; None for any other call."""
    if product.target not in PRODUCTS or product.meta["shape"][-1] != 1:
        return None
    node = product.args[1]
    while isinstance(node, fx.Node) and node.target in VIEWS and len(node.users) == 1:
        node = node.args[0]
    if not isinstance(node, fx.Node) or node.target not in SOFTMAXES or len(node.users) != 1:
        return None
    shape, dim, values = node.meta["shape"], node.args[1], product.args[0]
    assert isinstance(dim, int)
    assert isinstance(values, fx.Node)
    alone = dim in (-1, len(shape) - 1) and shape[-1] == values.meta["shape"][-1]
    return node if alone and all(size == 1 for size in shape[1:-1]) else None


def _rewrite(graph: fx.Graph, product: fx.Node, softmax: fx.Node) -> None:
    layer = product.meta["layer"]
    with graph.inserting_before(softmax):
        weights = graph.call_function(positive_weights, (softmax.args[0],))
    weights.meta = dict(softmax.meta)
    softmax.replace_all_uses_with(weights)
    values, column = product.args

    def call(target: Any, *args: Any) -> fx.Node:
        node = graph.call_function(target, args)
        node.meta = {"layer": layer}
        return node

    with graph.inserting_before(product):
        row = call(aten.transpose.int, column, -2, -1)
        weighted = call(aten.mul.Tensor, values, row)
        total = call(aten.sum.dim_IntList, weighted, [-1], True)
        mean = call(aten.div.Tensor, total, call(aten.sum.dim_IntList, row, [-1], True))
    product.replace_all_uses_with(mean)
