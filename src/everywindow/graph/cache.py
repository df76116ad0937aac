"""Captured graphs are kept with their module, for as long as the module is the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import nn

from everywindow.graph.capture import capture
from everywindow.graph.network import Network
from everywindow.graph.records import refresh

_BOOKKEEPING = frozenset(vars(nn.Module())) - {"_forward_hooks", "_forward_pre_hooks"}
"""What every module has, and what is looked at elsewhere or does not change a result."""

DEPTH = 5
"""How deep settings may be nested in lists, dicts and objects."""

_Key = tuple[tuple[int, ...], int]
_KEPT: WeakKeyDictionary[nn.Module, dict[_Key, tuple[Any, Network]]] = WeakKeyDictionary()


def captured(module: nn.Module, window: tuple[int, ...], channels: int) -> Network:
    """Like :func:`capture`, but captured once for a module that has not changed since.

    New values of weights need no new graph, which reads the module's own tensors. Layers, tensors or settings
    that were replaced do. Records that no longer hold for the weights' values are made anew.

    Raises:
        CaptureError: as :func:`capture`.
    """
    kept = _KEPT.setdefault(module, {})
    now = _fingerprint(module)
    before = kept.get((window, channels))
    if before is None or before[0] != now:
        kept[window, channels] = (now, capture(module, window, channels))
    network = kept[window, channels][1]
    refresh(network)
    return network


def _fingerprint(module: nn.Module) -> tuple[Any, ...]:
    """Everything that a graph depends on, and that can be compared cheaply."""
    tensors = [(name, id(tensor), _place(tensor)) for name, tensor in _tensors(module)]
    return tuple(tensors), tuple((name, *_settings(child)) for name, child in module.named_modules())


def _tensors(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    yield from module.named_parameters(remove_duplicate=False)
    yield from module.named_buffers(remove_duplicate=False)


def _place(tensor: torch.Tensor) -> tuple[Any, ...]:
    return tuple(tensor.shape), tensor.dtype, str(tensor.device)


def _settings(module: nn.Module) -> tuple[Any, ...]:
    """A submodule's class and its plain attributes, tensors by identity and version."""
    plain = []
    for name, value in vars(module).items():
        if name in _BOOKKEEPING:
            continue
        plain.append((name, _comparable(value, DEPTH)))
    return id(type(module)), id(type(module).forward), id(module), tuple(plain)


def _comparable(value: Any, depth: int) -> Any:
    """A value, or an object by its attributes, as something that changes when a result may."""
    if isinstance(value, torch.Tensor):
        return id(value), value._version if not value.is_inference() else 0
    if value is None or isinstance(value, int | float | str):
        return value
    if isinstance(value, np.ndarray):
        return value.shape, value.tobytes()
    if depth == 0 or isinstance(value, nn.Module):
        return id(value)
    if isinstance(value, tuple | list):
        return tuple(_comparable(item, depth - 1) for item in value)
    if isinstance(value, dict):
        return tuple((str(key), _comparable(item, depth - 1)) for key, item in value.items())
    inside = {name: getattr(value, name, None) for name in getattr(type(value), "__slots__", ())}
    inside |= getattr(value, "__dict__", {})
    return id(value), _comparable(inside, depth - 1) if not isinstance(value, type) else None
