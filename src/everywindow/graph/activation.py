"""What turns a network's output into probabilities, seen from the graph's end."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, fx

from everywindow.graph.network import Network
from everywindow.graph.outputs import Output, chosen

Activation = Literal["softmax", "sigmoid", "none"]

_ENDS: dict[str, Activation] = {
    "softmax": "none",
    "_softmax": "none",
    "log_softmax": "softmax",
    "_log_softmax": "softmax",
    "sigmoid": "none",
}
_PASSING = (
    "view",
    "reshape",
    "flatten",
    "squeeze",
    "contiguous",
    "clone",
    "alias",
    "_unsafe_view",
    "getitem",
)


SUM_TOLERANCE = 1e-3
"""How far the sum of probabilities may be from 1."""


def final_activation(network: Network | None, output: Output, scores: Tensor) -> Activation:
    """The activation that scores ``[K, *counts]`` still need.

    A network that ends in softmax or sigmoid puts out probabilities, and so does one whose scores lie between 0 and 1
    and add up to 1 at every window: none. Log-probabilities and other scores take softmax, a single score sigmoid.
    """
    end = None if network is None else _end(network, output)
    if end is not None:
        return end
    if len(scores) == 1:
        return "sigmoid"
    sums = scores.double().sum(0)
    are_probabilities = bool((scores >= 0).all()) and bool(((sums - 1).abs() < SUM_TOLERANCE).all())
    return "none" if are_probabilities else "softmax"


def _end(network: Network, output: Output) -> Activation | None:
    """The activation that the graph's end shows for one of its outputs."""
    node = chosen(network.outputs, output)
    while isinstance(node, fx.Node) and node.op == "call_function":
        name = _name(node)
        if name in _ENDS:
            return _ENDS[name]
        if name not in _PASSING:
            return None
        node = node.all_input_nodes[0]
    return None


def _name(node: fx.Node) -> str:
    return getattr(node.target, "__name__", str(node.target)).partition(".")[0]
