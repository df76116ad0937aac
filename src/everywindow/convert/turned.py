"""What each layer of a network has become in its conversion."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from everywindow.convert.network import FullyConvolutional
from everywindow.convert.shown import Shown, shown_calls
from everywindow.graph import Network


class Turned(NamedTuple):
    """A layer, by the user's name for it, as it was and as it is in one pass.

    ``after`` is empty where nothing is left to compute, and where the network has no conversion.
    """

    layer: str
    before: str
    after: str

    @property
    def changed(self) -> bool:
        """Whether it is another layer now."""
        return self.before != self.after


def turned(network: Network, fcn: FullyConvolutional | None) -> tuple[Turned, ...]:
    """The layers of a network in the order of computing, and what each is in its conversion (None: it has none)."""
    before = _by_layer(shown_calls(network.state, network.graph, None))
    if fcn is None:
        return tuple(Turned(layer, words, "") for layer, words in before.items())
    after = _by_layer(shown_calls(fcn, fcn.graph, len(network.window)))
    kept = {str(node.meta.get("layer")) for node in fcn.graph.nodes if node.op == "call_module"}
    before |= {layer: after[layer] for layer in kept & before.keys() & after.keys()}  # the very same module
    return tuple(Turned(layer, words, after.get(layer, "")) for layer, words in before.items())


def _by_layer(calls: Iterable[Shown]) -> dict[str, str]:
    """The words for each layer; those of several calls, each once, behind one another."""
    found: dict[str, dict[str, None]] = {}
    for layer, words in calls:
        found.setdefault(layer, {})[words] = None
    return {layer: ", ".join(words) for layer, words in found.items()}
