"""Captured graphs are kept with their module, for as long as the module is the same."""

from __future__ import annotations

import threading
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from torch import nn

from everywindow.graph.capture import capture
from everywindow.graph.evaluating import using
from everywindow.graph.faithful import Scores, bound, distance, graph_scores, module_scores
from everywindow.graph.fingerprint import fingerprint
from everywindow.graph.module import GraphNetwork
from everywindow.graph.network import Network
from everywindow.graph.records import refresh

_CAPTURING = threading.RLock()
"""``torch.export`` captures one module at a time."""

_Key = tuple[tuple[int, ...], int]


class _Kept(NamedTuple):
    """A captured graph.

    Attributes:
        seen: what it was captured from.
        network: the graph.
        scores: what the module gave for a window of noise.
        apart: how far the graph's scores were from those.
    """

    seen: tuple[Any, ...]
    network: Network
    scores: Scores
    apart: float


_KEPT: WeakKeyDictionary[nn.Module, dict[_Key, _Kept]] = WeakKeyDictionary()


def captured(module: nn.Module, window: tuple[int, ...], channels: int) -> Network:
    """Like :func:`capture`, but captured once for a module that has not changed since.

    New values of weights need no new graph, which reads the module's own tensors. Layers, tensors or settings
    that were replaced do, and other values of what the code reads. Much of that is seen
    (:mod:`everywindow.graph.fingerprint`), but code may read what nobody can list. So the module is also tried each
    time on one window of noise, and where its scores are others than before, the kept graph too. Always, for the
    numbers of a wrong graph look like any others, in a scan of a few windows as in a long one.
    Records that no longer hold for the weights' values are made anew.

    Raises:
        CaptureError: as :func:`capture`.
    """
    with using(module), _CAPTURING:
        kept = _KEPT.setdefault(module, {})
        now = fingerprint(module)
        before = kept.get((window, channels))
        found = _still(before, module) if before is not None and before.seen == now else None
        found = kept[window, channels] = found or _fresh(now, module, window, channels)
        refresh(found.network)
        return found.network


def captured_apart(module: nn.Module, window: tuple[int, ...], channels: int) -> Network:
    """Like :func:`capture`, for a look at another window; neither kept nor tried.

    Raises:
        CaptureError: as :func:`capture`.
    """
    with using(module), _CAPTURING:
        return capture(module, window, channels)


def _fresh(now: tuple[Any, ...], module: nn.Module, window: tuple[int, ...], channels: int) -> _Kept:
    network = capture(module, window, channels)
    scores = module_scores(network, module)
    return _Kept(now, network, scores, distance(graph_scores(network, module), scores))


def _still(kept: _Kept, module: nn.Module) -> _Kept | None:
    """The graph, if it computes what the module does; one that is the module itself always does."""
    if isinstance(module, GraphNetwork):
        return kept
    scores, most = module_scores(kept.network, module), bound(kept.network, module, kept.apart)
    if distance(scores, kept.scores) <= most:
        return kept
    return kept._replace(scores=scores) if distance(graph_scores(kept.network, module), scores) <= most else None
