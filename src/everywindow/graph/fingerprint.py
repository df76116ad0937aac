"""What a captured graph depends on beside the values of weights, so that a change of it can be noticed.

Seen are the module's tensors by identity, its attributes and those of its classes, its hooks and the global ones, and
the globals and closures that its code names: of the methods of its classes, and of the functions that these call. Not
seen is what is further away: globals of functions that those call in turn, files, the environment.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

_BOOKKEEPING = frozenset(vars(nn.Module())) - {"_forward_hooks", "_forward_pre_hooks"}
"""What every module has, and what is looked at elsewhere or does not change a result."""

_GLOBAL_HOOKS = ("_global_forward_hooks", "_global_forward_pre_hooks")

DEPTH = 5
"""How deep settings may be nested in lists, dicts and objects."""

LONG = 10_000
"""Lists of more items are compared by identity and length."""

_BY_IDENTITY = (type, ModuleType, FunctionType, BuiltinFunctionType, nn.Module, torch.dtype, torch.device)
"""What is the same as long as it is the same object."""


def fingerprint(module: nn.Module) -> tuple[Any, ...]:
    """Everything that a graph depends on, and that can be compared cheaply."""
    tensors = [(name, id(tensor), _place(tensor)) for name, tensor in _tensors(module)]
    children = list(module.named_modules())
    kinds = dict.fromkeys(type(child) for _, child in children)
    hooks = tuple(_comparable(getattr(nn.modules.module, name, None), 2) for name in _GLOBAL_HOOKS)
    settings = tuple((name, *_settings(child)) for name, child in children)
    return tuple(tensors), settings, tuple(map(_class_settings, kinds)), hooks


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


def _class_settings(kind: type) -> tuple[Any, ...]:
    """The attributes of a module's classes, and what their methods read; those of PyTorch's own do not change."""
    found: list[Any] = []
    for base in kind.__mro__:
        if base in nn.Module.__mro__ or base.__module__.partition(".")[0] == "torch":
            continue
        for name, value in vars(base).items():
            function = getattr(value, "__func__", getattr(value, "fget", value))
            if isinstance(function, FunctionType):
                found.append((name, id(function), *_read_by(function, 1)))
            elif not name.startswith("__"):
                found.append((name, _comparable(value, DEPTH)))
    return tuple(found)


def _read_by(function: FunctionType, further: int) -> list[Any]:
    """The globals and closures that a function names, and what functions among them read."""
    names = [name for name in function.__code__.co_names if name in function.__globals__]
    values = [function.__globals__[name] for name in names] + list(_cells(function))
    found: list[Any] = []
    for value in values:
        found.append(_comparable(value, DEPTH))
        if further and isinstance(value, FunctionType) and value.__module__.partition(".")[0] != "torch":
            found += _read_by(value, further - 1)
    return found


def _cells(function: FunctionType) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not filled yet
            yield None


def _comparable(value: Any, depth: int) -> Any:
    """A value, or an object by its attributes, as something that changes when a result may."""
    if isinstance(value, torch.Tensor):
        return id(value), value._version if not value.is_inference() else 0
    if value is None or isinstance(value, int | float | complex | str | bytes):
        return repr(value)
    if isinstance(value, np.ndarray):
        return value.shape, value.tobytes()
    if depth == 0 or isinstance(value, _BY_IDENTITY):
        return id(value)
    if isinstance(value, MethodType):
        return id(value.__func__), id(value.__self__)
    if isinstance(value, tuple | list | deque | set | frozenset | dict) and len(value) > LONG:
        return id(value), len(value)
    if isinstance(value, tuple | list | deque):
        return tuple(_comparable(item, depth - 1) for item in value)
    if isinstance(value, set | frozenset):
        return tuple(sorted(repr(_comparable(item, depth - 1)) for item in value))
    if isinstance(value, dict):
        return tuple((str(key), _comparable(item, depth - 1)) for key, item in value.items())
    inside = {name: getattr(value, name, None) for name in getattr(type(value), "__slots__", ())}
    inside |= getattr(value, "__dict__", {})
    return id(value), _comparable(inside, depth - 1)
