"""Captured graphs are kept with their module, for as long as the module is the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from everywindow.graph.capture import capture
from everywindow.graph.network import Network

_BOOKKEEPING = frozenset(vars(nn.Module())) - {"_forward_hooks", "_forward_pre_hooks"}
"""What every module has, and what is looked at elsewhere or does not change a result."""

_Key = tuple[tuple[int, ...], int]
_KEPT: WeakKeyDictionary[nn.Module, dict[_Key, tuple[Any, Network]]] = WeakKeyDictionary()


def captured(module: nn.Module, window: tuple[int, ...], channels: int) -> Network:
    """Like :func:`capture`, but captured once for a module that has not changed since.

    New values of weights need no new graph, which reads the module's own tensors. Layers, tensors or settings
    that were replaced do.

    Raises:
        CaptureError: as :func:`capture`.
    """
    kept = _KEPT.setdefault(module, {})
    now = _fingerprint(module)
    before = kept.get((window, channels))
    if before is None or before[0] != now:
        kept[window, channels] = (now, capture(module, window, channels))
    return kept[window, channels][1]


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
        plain.append((name, _comparable(value)))
    return id(type(module)), id(module), tuple(plain)


def _comparable(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return id(value), value._version
    if value is None or isinstance(value, int | float | str):
        return value
    if isinstance(value, tuple | list):
        return tuple(_comparable(item) for item in value)
    if isinstance(value, dict):
        return tuple((str(key), _comparable(item)) for key, item in value.items())
    return id(value)
