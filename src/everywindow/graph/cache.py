"""Captured graphs are kept with their module, for as long as the module is the same."""

from __future__ import annotations

import threading
from typing import Any
from weakref import WeakKeyDictionary

from torch import nn

from everywindow.graph.capture import capture
from everywindow.graph.evaluating import using
from everywindow.graph.fingerprint import fingerprint
from everywindow.graph.network import Network
from everywindow.graph.records import refresh

_CAPTURING = threading.RLock()
"""``torch.export`` captures one module at a time."""

_Key = tuple[tuple[int, ...], int]
_KEPT: WeakKeyDictionary[nn.Module, dict[_Key, tuple[Any, Network]]] = WeakKeyDictionary()


def captured(module: nn.Module, window: tuple[int, ...], channels: int) -> Network:
    """Like :func:`capture`, but captured once for a module that has not changed since.

    New values of weights need no new graph, which reads the module's own tensors. Layers, tensors or settings
    that were replaced do, and other values of what the code reads (:mod:`everywindow.graph.fingerprint`). Records
    that no longer hold for the weights' values are made anew.

    Raises:
        CaptureError: as :func:`capture`.
    """
    with using(module), _CAPTURING:
        kept = _KEPT.setdefault(module, {})
        now = fingerprint(module)
        before = kept.get((window, channels))
        if before is None or before[0] != now:
            kept[window, channels] = (now, capture(module, window, channels))
        network = kept[window, channels][1]
        refresh(network)
        return network
