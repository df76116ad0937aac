"""A converted network for inference: values that nobody reads again are overwritten, chains of calls run in bands."""

from __future__ import annotations

from torch import fx, nn

from everywindow.convert.fused import fuse
from everywindow.convert.network import FullyConvolutional
from everywindow.convert.shown import layer_at
from everywindow.ops import IN_PLACE, FeatureDropout, is_fresh

DROPOUTS = (nn.modules.dropout._DropoutNd, FeatureDropout)


def reusing_memory(fcn: FullyConvolutional) -> FullyConvolutional:
    """The same network, sharing its weights, with elementwise operations in place where that changes nothing.

    For use without gradients and in evaluation mode: dropout, and what else does nothing then, is left out.
    """
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    graph.output(graph.graph_copy(fcn.graph, copies))
    _drop_dropout(graph, fcn)
    for node in graph.nodes:
        if node.target in IN_PLACE and _may_overwrite(node):
            node.target = IN_PLACE[node.target]
    chains = fuse(graph)
    shared = {
        **dict(fcn.named_parameters(remove_duplicate=False)),
        **dict(fcn.named_buffers(remove_duplicate=False)),
    }
    called = {str(node.target) for node in graph.nodes if node.op == "call_module"}
    modules = {path: layer_at(fcn, path) for path in called - chains.keys()}
    state = {name: tensor for name, tensor in shared.items() if name.rpartition(".")[0] not in modules}
    modules |= chains
    return FullyConvolutional(graph, state, modules, fcn.geometry, fcn.verdict, fcn.channels, fcn.maps)


def _drop_dropout(graph: fx.Graph, fcn: FullyConvolutional) -> None:
    for node in list(graph.nodes):
        if node.op == "call_module" and _does_nothing(node, fcn):
            (source,) = node.args
            assert isinstance(source, fx.Node)
            node.replace_all_uses_with(source)
            graph.erase_node(node)


def _does_nothing(node: fx.Node, fcn: FullyConvolutional) -> bool:
    """Whether a layer passes its input on in evaluation mode."""
    return bool(node.meta.get("at_rest")) or isinstance(layer_at(fcn, str(node.target)), DROPOUTS)


def _may_overwrite(node: fx.Node) -> bool:
    """Whether the first input is a value of its own that only this node reads, and that the result fits into."""
    source = node.args[0]
    if not isinstance(source, fx.Node) or len(source.users) != 1:
        return False
    if not node.meta.get("fills_first") or (len(node.args) > 1 and node.args[0] is node.args[1]):
        return False
    return (source.op == "call_module" and _is_norm(source)) or (
        source.op == "call_function" and is_fresh(source.target)
    )


def _is_norm(node: fx.Node) -> bool:
    return bool(node.meta.get("fresh"))
