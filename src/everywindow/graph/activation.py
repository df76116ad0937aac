"""What turns a network's output into probabilities, seen from the graph's end."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, fx

from everywindow.graph.network import Network
from everywindow.graph.outputs import Output, chosen

Activation = Literal["softmax", "sigmoid", "none"]

_PROBABILITIES = frozenset(["softmax", "_softmax", "sigmoid", "hardsigmoid"])
_LOG_PROBABILITIES = frozenset(["log_softmax", "_log_softmax", "log_sigmoid", "log_sigmoid_forward"])
_OF_ALL_CLASSES = frozenset(["log_softmax", "_log_softmax"])
"""Of these the softmax makes probabilities again, as long as all classes are there."""

_PASSING = frozenset(["view", "reshape", "flatten", "squeeze", "unsqueeze", "_unsafe_view"])
_PASSING |= frozenset(["contiguous", "clone", "alias", "getitem", "to", "_to_copy", "detach"])
"""What changes no value and leaves none out."""

_CHANGING = frozenset(["select", "slice", "index_select", "narrow", "split", "split_with_sizes", "chunk", "unbind"])
_CHANGING |= frozenset(["clamp", "clamp_min", "clamp_max", "rsub", "exp"])
"""What leaves probabilities out, or makes others of them (``1 - p``, ``log p`` to ``p``)."""


SUM_TOLERANCE = 1e-3
"""How far the sum of probabilities may be from 1."""


def final_activation(network: Network | None, output: Output, scores: Tensor) -> Activation:
    """The activation that scores ``[K, *counts]`` still need.

    A network that ends in softmax or sigmoid puts out probabilities, also where it picks some of them or one minus
    them, and so does one whose scores lie between 0 and 1 and add up to 1 at every window: none. None, too, for
    logarithms of single probabilities, of which no activation makes probabilities again. Log-probabilities of all
    classes and other scores take softmax, a single score sigmoid.
    """
    end = None if network is None else _end(network, output)
    if end is not None:
        # Of a single log-probability over all classes nothing can be made.
        return "none" if len(scores) == 1 else end
    if len(scores) == 1:
        return "sigmoid"
    sums = scores.double().sum(0)
    are_probabilities = bool((scores >= 0).all()) and bool(((sums - 1).abs() < SUM_TOLERANCE).all())
    return "none" if are_probabilities else "softmax"


def _end(network: Network, output: Output) -> Activation | None:
    """The activation that the graph's end shows for one of its outputs."""
    node, changed = chosen(network.outputs, output), False
    while isinstance(node, fx.Node) and node.op == "call_function":
        name = _name(node)
        if name in _PROBABILITIES:
            return "none"
        if name in _LOG_PROBABILITIES:
            return "softmax" if name in _OF_ALL_CLASSES and not changed else "none"
        if name not in _PASSING and name not in _CHANGING:
            return None
        changed |= name in _CHANGING
        node = node.all_input_nodes[0]
    return None


def _name(node: fx.Node) -> str:
    return getattr(node.target, "__name__", str(node.target)).partition(".")[0]
