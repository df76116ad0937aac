"""In-place operations of an exported graph as their plain counterparts.

``run_decompositions({})`` would do it for every graph, but takes several times as long as the export itself and
drops what training needs (the rates of dropouts). Nearly all in-place operations in classifiers are of one kind:
a whole tensor is overwritten that nobody reads again under its old name. Those are replaced one by one; for
anything else :func:`functionalise` leaves the graph alone and says so.
"""

from __future__ import annotations

import torch
from torch import fx

from everywindow.ops import is_fresh

aten = torch.ops.aten


def functionalise(graph: fx.Graph) -> bool:
    """Replace every in-place operation; False, and the graph unchanged, where one of them is not of the plain kind."""
    order = {node: index for index, node in enumerate(graph.nodes)}
    mutations = [node for node in graph.nodes if _is_mutation(node)]
    families = _alias_families(graph)
    plain = {node: _counterpart(node) for node in mutations}
    for node in mutations:
        if plain[node] is None or not _keeps_dtype(node) or not _overwrites_unread(node, families[node], order):
            return False
    for node, target in plain.items():
        node.target = target
    return True


def with_batch_norms(graph: fx.Graph) -> None:
    """Batch norms as one call each again, which ``run_decompositions({})`` takes apart: training needs them."""
    for node in list(graph.nodes):
        if node.target is not aten._native_batch_norm_legit_no_training.default:
            continue
        with graph.inserting_before(node):
            *given, momentum, eps = node.args
            whole = graph.call_function(aten.batch_norm.default, (*given, False, momentum, eps, False))
        whole.meta = {**node.meta, "val": node.meta["val"][0]}
        for first in list(node.users):
            first.replace_all_uses_with(whole)
            graph.erase_node(first)
        graph.erase_node(node)


def _is_mutation(node: fx.Node) -> bool:
    return isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable


def _counterpart(node: fx.Node) -> torch._ops.OpOverload | None:
    """``aten.relu_.default`` → ``aten.relu.default``."""
    schema = node.target._schema  # type: ignore[union-attr]
    name = schema.name.removeprefix("aten::").removesuffix("_")
    packet = getattr(torch.ops.aten, name, None)
    plain = getattr(packet, schema.overload_name or "default", None)
    if plain is None or plain._schema.is_mutable or not schema.name.endswith("_"):
        return None
    # Dropout calls its tensor ``input`` and, in place, ``self``: the first argument is given by its place.
    names = [[argument.name for argument in one.arguments[1:]] for one in (plain._schema, schema)]
    return plain if names[0] == names[1] else None


def _alias_families(graph: fx.Graph) -> dict[fx.Node, set[fx.Node]]:
    """Nodes that may share memory, by node."""
    families: dict[fx.Node, set[fx.Node]] = {node: {node} for node in graph.nodes}
    for node in graph.nodes:
        if node.op != "call_function" or is_fresh(node.target):
            continue
        for source in node.all_input_nodes:
            merged = families[node] | families[source]
            for member in merged:
                families[member] = merged
    return families


def _keeps_dtype(node: fx.Node) -> bool:
    """Whether the plain counterpart gives the dtype that the overwritten tensor keeps."""
    values = [source.meta.get("val") for source in node.all_input_nodes]
    return len({value.dtype for value in values if isinstance(value, torch.Tensor)}) == 1


def _overwrites_unread(node: fx.Node, family: set[fx.Node], order: dict[fx.Node, int]) -> bool:
    """Whether nothing that may share the overwritten memory is a weight or is read afterwards under an older name."""
    older = [member for member in family if order[member] < order[node]]
    if any(member.op != "call_function" and not _is_image(member) for member in older):
        return False
    return all(order[user] <= order[node] for member in older for user in member.users)


def _is_image(node: fx.Node) -> bool:
    return node.op == "placeholder" and not node.name.startswith(("p_", "b_", "c_"))
