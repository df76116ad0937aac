"""Constants that were given the size of the batch: computed once, and put beside vectors by additions.

``cat([features, constant.expand(N, 3)], 1)`` mixes nothing of the image with the constant, and is the same as padding
both with zeros and adding them up, which all modes share and convert.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Any

import torch
from torch import fx

from everywindow.ops import BATCH, Pointwise, rule_for

aten = torch.ops.aten


def settle_constants(graph: fx.Graph) -> bool:
    """Compute with constants before they are expanded, and let concatenations of vectors do without it.

    Says whether anything changed; shapes must be recorded anew then.
    """
    changed = False
    constants: set[fx.Node] = set()
    for node in list(graph.nodes):
        if node.op == "get_attr" or (node.op == "call_function" and set(node.all_input_nodes) <= constants):
            constants.add(node)
        rows = {source: found for source in node.all_input_nodes if (found := _row(source, constants)) is not None}
        if node.op != "call_function" or not rows:
            continue
        if all(source in rows or source in constants for source in node.all_input_nodes):
            if _is_by_rows(node, rows):
                constants.add(_computed_once(graph, node, rows))
                changed = True
        elif node.target is aten.cat.default and _is_of_vectors(node):
            _added(graph, node, rows)
            changed = True
    return changed


def _row(node: fx.Node, constants: set[fx.Node]) -> fx.Node | None:
    """The constant of one row that a node repeats for every window."""
    source = node.args[0] if node.target is aten.expand.default else None
    if not isinstance(source, fx.Node) or source not in constants or "shape" not in source.meta:
        return None
    shape = tuple(source.meta["shape"])
    return source if shape[:1] == (1,) and node.meta["shape"] == (BATCH, *shape[1:]) else None


def _computed_once(graph: fx.Graph, node: fx.Node, rows: Mapping[fx.Node, fx.Node]) -> fx.Node:
    """The call's result for one row; what read the call reads its expansion."""
    batch = next(iter(rows)).args[1][0]  # type: ignore[index]
    shape = node.meta["shape"]
    with graph.inserting_before(node):
        once = graph.node_copy(node, lambda source: rows.get(source, source))
        again = graph.call_function(aten.expand.default, (once, [batch, *shape[1:]]))
    once.meta = {**node.meta, "shape": (1, *shape[1:])}
    again.meta = dict(node.meta)
    node.replace_all_uses_with(again)
    graph.erase_node(node)
    return once


def _is_by_rows(node: fx.Node, rows: Mapping[fx.Node, fx.Node]) -> bool:
    """Whether a call treats every row of its inputs alike."""
    shape = node.meta.get("shape")
    if not isinstance(shape, tuple) or shape[:1] != (BATCH,):
        return False
    if isinstance(rule_for(node.target), Pointwise):
        return all(len(row.meta["shape"]) == len(shape) for row in rows)
    places: dict[Any, int] = {aten.linear.default: 0, aten.embedding.default: 1}
    place = places.get(node.target)
    return place is not None and list(rows) == [node.args[place]]


def _is_of_vectors(node: fx.Node) -> bool:
    """Whether a concatenation puts the features of vectors ``[N, F]`` in a row, all of one dtype."""
    tensors, *dim = node.args
    shapes = [source.meta.get("shape") for source in tensors]  # type: ignore[union-attr]
    dtypes = {source.meta.get("dtype") for source in tensors}  # type: ignore[union-attr]
    vectors = all(isinstance(shape, tuple) and len(shape) == 2 for shape in shapes)
    return vectors and len(dtypes) == 1 and dim in ([1], [-1]) and not node.kwargs


def _added(graph: fx.Graph, node: fx.Node, rows: Mapping[fx.Node, fx.Node]) -> None:
    """The sum of the parts, each padded to its place."""
    total, before, parts = node.meta["shape"][1], 0, []
    meta = {"layer": node.meta["layer"]}
    with graph.inserting_before(node):
        for _, several in groupby(node.args[0], key=lambda source: source in rows):  # type: ignore[arg-type]
            members = [rows.get(source, source) for source in several]
            width = sum(source.meta["shape"][1] for source in members)
            part = members[0] if len(members) == 1 else graph.call_function(aten.cat.default, (members, 1))
            place = [before, total - before - width]
            parts.append(graph.call_function(aten.constant_pad_nd.default, (part, place)))
            before += width
            part.meta.setdefault("layer", node.meta["layer"])
            parts[-1].meta = dict(meta)
        made = parts[0]
        for part in parts[1:]:
            made = graph.call_function(aten.add.Tensor, (made, part))
            made.meta = dict(meta)
    node.replace_all_uses_with(made)
    graph.erase_node(node)
