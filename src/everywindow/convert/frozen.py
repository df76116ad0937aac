"""A converted graph as plain data, so that a converted network can be pickled and copied."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import fx

KEPT_META = ("layer", "fresh", "fills_first", "at_rest")


class NodeName(NamedTuple):
    """Stands for a node."""

    name: str


class Overload(NamedTuple):
    """Stands for an ATen overload."""

    packet: str
    overload: str


class FrozenNode(NamedTuple):
    """One node; functions are pickled by their name."""

    op: str
    name: str
    target: str | Overload | Callable[..., Any]
    args: Any
    kwargs: Any
    meta: dict[str, Any]


def frozen(graph: fx.Graph) -> tuple[FrozenNode, ...]:
    """The graph as data."""
    return tuple(_frozen(node) for node in graph.nodes)


def thawed(nodes: tuple[FrozenNode, ...]) -> fx.Graph:
    """The graph again."""
    graph = fx.Graph()
    known: dict[str, fx.Node] = {}
    for node in nodes:
        args, kwargs = _with_nodes(node.args, known), _with_nodes(node.kwargs, known)
        made = graph.create_node(node.op, _thawed_target(node.target), args, kwargs, name=node.name)
        made.meta = dict(node.meta)
        known[node.name] = made
    return graph


def _frozen(node: fx.Node) -> FrozenNode:
    target: Any = node.target
    if isinstance(target, torch._ops.OpOverload):
        target = Overload(target._schema.name.removeprefix("aten::"), target._overloadname)
    args, kwargs = _with_names(node.args), _with_names(node.kwargs)
    return FrozenNode(node.op, node.name, target, args, kwargs, {k: node.meta[k] for k in KEPT_META if k in node.meta})


def _thawed_target(target: Any) -> Any:
    if isinstance(target, Overload):
        return getattr(getattr(torch.ops.aten, target.packet), target.overload)
    return target


def _with_names(argument: Any) -> Any:
    if isinstance(argument, fx.Node):
        return NodeName(argument.name)
    return _mapped(argument, _with_names)


def _with_nodes(argument: Any, known: dict[str, fx.Node]) -> Any:
    if isinstance(argument, NodeName):
        return known[argument.name]
    return _mapped(argument, lambda item: _with_nodes(item, known))


def _mapped(argument: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(argument, tuple | list):
        items = [change(item) for item in argument]
        return tuple(items) if isinstance(argument, tuple) else items
    if isinstance(argument, dict):
        return {key: change(item) for key, item in argument.items()}
    return argument
