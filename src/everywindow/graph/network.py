"""The captured graph of a network: ATen operations, the weights they read, the names of the layers."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx

from everywindow.ops import BATCH


@dataclass(frozen=True, eq=False)
class Network:
    """A network as a graph of ATen operations.

    ``graph`` has one placeholder (the image batch ``[N, C, *window]``), ``get_attr`` nodes whose
    target is a key of ``state``, ``call_function`` nodes (``aten`` overloads without side effects,
    ``operator.getitem``, and integer arithmetic on the batch size) and one output, whose argument
    may be nested in tuples, lists and dicts.

    Node metadata: ``layer`` is the name that the user gave the layer (``features.24``);
    ``shape`` is the tensor's shape at batch size :data:`BATCH` (a list of shapes for a node with
    several outputs, absent for integers); ``dtype`` likewise; ``at_rest`` is the module that an ``alias``
    stands for, where one passes its input on in evaluation mode and not in training.

    Attributes:
        graph: the graph, not to be changed.
        state: parameters, buffers and constants by name; tied weights appear once.
        window: input size per spatial axis, in pixels.
        channels: channels of the input.
        tied: other names of weights that stand in ``state`` under one.
        most: windows that a batch may have for the module's code to do what the graph does.
        whole: the network with all its outputs, where this is one of several alone; see :meth:`as_run`.
        unsaved: names of constants in ``state`` that the module's own ``state_dict`` leaves out.
        kept: what follows from the graph alone and is not to be made twice, by whoever made it.
    """

    graph: fx.Graph
    state: Mapping[str, torch.Tensor]
    window: tuple[int, ...]
    channels: int
    tied: Mapping[str, str] = field(default_factory=dict)
    most: int = sys.maxsize
    unsaved: frozenset[str] = frozenset()
    kept: dict[Any, Any] = field(default_factory=dict, repr=False)
    whole: Network | None = field(default=None, repr=False)

    @property
    def as_run(self) -> Network:
        """What runs where the module itself is called: all of its outputs, also where one alone is wanted."""
        return self if self.whole is None else self.whole

    @property
    def image(self) -> fx.Node:
        """The placeholder of the image batch."""
        image: fx.Node = next(node for node in self.graph.nodes if node.op == "placeholder")
        return image

    @property
    def outputs(self) -> fx.node.Argument:
        """The output structure: a node, or tuples, lists and dicts of nodes."""
        end: fx.Node = next(node for node in self.graph.nodes if node.op == "output")
        return end.args[0]


__all__ = ["BATCH", "Network"]


def output_nodes(network: Network) -> list[fx.Node]:
    """The leaves of the network's output structure."""
    leaves: list[fx.Node] = []
    fx.node.map_arg(network.outputs, leaves.append)
    return leaves


def needed_for(nodes: Iterable[fx.Node]) -> set[fx.Node]:
    """Some nodes, and all that they depend on."""
    wanted: set[fx.Node] = set()
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if node not in wanted:
            wanted.add(node)
            waiting.extend(node.all_input_nodes)
    return wanted


def needed_nodes(network: Network) -> list[fx.Node]:
    """The nodes that the outputs depend on, in order."""
    wanted = needed_for(output_nodes(network))
    return [node for node in network.graph.nodes if node in wanted]
