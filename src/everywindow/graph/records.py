"""Where the records are propagated: from the image through the captured graph to the scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from math import lcm
from weakref import WeakKeyDictionary

from torch import fx

from everywindow.geometry import (
    Halo,
    Reason,
    Spent,
    Value,
    Verdict,
)
from everywindow.graph.constants import note_changes
from everywindow.graph.network import Network, needed_nodes, output_nodes
from everywindow.graph.propagate import propagated
from everywindow.graph.weighted import with_weighted_means
from everywindow.ops import (
    Call,
    rule_for,
)

LITTLE = 0.25
"""Share of a window's mult-adds up to which the one pass runs the rest window by window."""


@dataclass(frozen=True)
class Records:
    """The record of every value of a network; None for values that do not depend on the image.

    Attributes:
        values: by node of the network's graph.
        outputs: the records of the outputs, in the order of their leaves.
    """

    values: Mapping[fx.Node, Value | tuple[Value, ...] | None]
    outputs: tuple[Value, ...]

    @property
    def verdict(self) -> Verdict:
        """Whether the plain conversion equals the crops, proved; and if not, which layers are the reason."""
        if self.exact:
            return Verdict(exact=True)
        ends = [self.unshared] if self.unshared else []
        return Verdict(False, tuple(dict.fromkeys([*ends, *(why for value in self.outputs for why in value.reasons)])))

    @property
    def exact(self) -> bool:
        """Whether every output equals the crops'; never where one has no conversion."""
        return self.unshared is None and all(value.exact for value in self.outputs)

    @property
    def unshared(self) -> Reason | None:
        """The first layer that has no conversion; None where all have."""
        return next((value.unshared for value in self.outputs if value.unshared), None)

    @property
    def unproved(self) -> Reason | None:
        """A layer for which nothing is known about how it treats the items of the batch."""
        return next((value.unproved for value in self.outputs if value.unproved), None)

    @property
    def network_stride(self) -> tuple[int, ...]:
        """Per axis, the product of the strides of the network's layers, in pixels."""
        return tuple(lcm(*(spent.network_stride for spent in seen)) for seen in self._seen())

    @property
    def receptive_field(self) -> tuple[tuple[int, int], ...]:
        """Per axis, the first pixel that a score sees, relative to its window, and the one after the last."""
        return tuple((min(s.low for s in seen), max(s.high for s in seen)) for seen in self._seen())

    @property
    def tile_spans(self) -> tuple[tuple[int, int] | None, ...]:
        """Per axis, the first pixel that a tile must hold, relative to each of its windows, and the one after the last.

        None where a tile must hold the whole axis.
        """
        halos = [reduce(Halo.joined, (spent.halo for spent in seen)) for seen in self._seen()]
        return tuple(None if halo.wraps else (halo.low, halo.high) for halo in halos)

    def _seen(self) -> list[list[Spent]]:
        """Per axis, what each output saw of it."""
        histories = [value.history() for value in self.outputs]
        nothing = [Spent(0, 1, 1, Halo())]
        return [[spent for spent in column if spent] or nothing for column in zip(*histories, strict=True)]


_KNOWN: WeakKeyDictionary[Network, Records] = WeakKeyDictionary()
_ONE_PASS: WeakKeyDictionary[Network, Records] = WeakKeyDictionary()


def records(network: Network) -> Records:
    """The records of a network; propagated once, and again behind :func:`refresh`.

    Raises:
        IndependenceError: the network mixes the items of a batch, or gives another result each time.
    """
    if network not in _KNOWN:
        note_changes(network)
        _KNOWN[network] = _propagated(network)
    return _KNOWN[network]


def one_pass_records(network: Network) -> Records:
    """The records of the one pass, which goes on where windows stop sharing.

    Where a value of the whole window meets single positions, each takes that of the window around it. Where little is
    left to compute (:data:`LITTLE`), windows are taken from the map and the rest runs as it stands.
    Where nothing of the kind is in the network, these are the :func:`records`.
    """
    return _in_one_pass(one_pass_network(network))


def one_pass_network(network: Network) -> Network:
    """The network that the :func:`one_pass_records` are of: with means weighted by a softmax in another form, where it
    has no one pass as it stands."""
    return with_weighted_means(network) if _in_one_pass(network).unshared else network


def _in_one_pass(network: Network) -> Records:
    """The records of the one pass of a network as it stands."""
    if not records(network).unshared:
        return records(network)
    if network not in _ONE_PASS:
        found = _propagated(network, one_pass=True)
        if found.unshared and _left(network, found) <= LITTLE:
            gathering = _propagated(network, one_pass=True, gather=True)
            found = found if gathering.unshared else gathering
        _ONE_PASS[network] = found
    return _ONE_PASS[network]


def _propagated(network: Network, one_pass: bool = False, gather: bool = False) -> Records:
    values = propagated(network, one_pass, gather)
    leaves = [values[node] for node in output_nodes(network)]
    return Records(values, tuple(value for value in leaves if isinstance(value, Value)))


def _left(network: Network, known: Records) -> float:
    """The share of a window's mult-adds behind the calls that take whole windows."""
    total = behind = 0
    for node in needed_nodes(network):
        value = known.values[node]
        rule = rule_for(node.target) if node.op == "call_function" and value is not None else None
        if rule is not None:
            macs = rule.macs(Call(node, known.values, one_pass=True))
            first = value[0] if isinstance(value, tuple) else value
            total, behind = total + macs, behind + (macs if first is not None and first.unshared else 0)
    return behind / max(1, total)


def refresh(network: Network) -> None:
    """Forget the records, and what was made by them, where constants changed in what the records say of them."""
    if note_changes(network):
        _KNOWN.pop(network, None)
        _ONE_PASS.pop(network, None)
        network.kept.clear()
