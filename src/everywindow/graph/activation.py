"""What turns a network's output into probabilities, seen from the graph's end."""

from __future__ import annotations

from typing import Literal

from torch import fx

from everywindow.graph.network import Network
from everywindow.graph.records import output_nodes

Activation = Literal["softmax", "sigmoid", "none"]

_ENDS = {
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


def final_activation(network: Network, output: int = 0) -> Activation:
    """The activation that the scores still need.

    A network that ends in softmax or sigmoid puts out probabilities: none. Log-probabilities and several scores
    take softmax, a single score takes sigmoid.
    """
    node = output_nodes(network)[output]
    classes = node.meta["shape"][1] if len(node.meta["shape"]) > 1 else 1
    while isinstance(node, fx.Node) and node.op == "call_function":
        name = _name(node)
        if name in _ENDS:
            return _ENDS[name]  # type: ignore[return-value]
        if name not in _PASSING:
            break
        node = node.all_input_nodes[0]
    return "sigmoid" if classes == 1 else "softmax"


def _name(node: fx.Node) -> str:
    return getattr(node.target, "__name__", str(node.target)).partition(".")[0]
