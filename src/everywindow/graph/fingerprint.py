"""What a captured graph depends on beside the values of weights, so that a change of it can be noticed.

Seen are the module's tensors by identity, its attributes and those of its classes, its hooks and the global ones, and
the globals, closures and defaults that its code names: of the methods of its classes, of functions among its
attributes, and of the functions that these call, some levels deep. Not seen is what is further away (files, the
environment), for which a kept graph is tried once more (:mod:`everywindow.graph.cache`).
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable, Iterator
from functools import partial
from logging import Logger
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

_BOOKKEEPING = frozenset(vars(nn.Module())) - {"_forward_hooks", "_forward_pre_hooks"}
"""What every module has, and what is looked at elsewhere or does not change a result."""

_GLOBAL_HOOKS = ("_global_forward_hooks", "_global_forward_pre_hooks")

DEPTH = 5
"""How deep settings may be nested in lists, dicts, objects and calls of functions."""

LONG = 10_000
"""Lists of more items are compared by identity and length."""

_BY_IDENTITY = (type, ModuleType, BuiltinFunctionType, nn.Module, Logger, torch.dtype, torch.device)
"""What is the same as long as it is the same object."""

_SETTLED = frozenset({*sys.stdlib_module_names, "torch", "numpy"})
"""Packages whose functions, classes and modules do not change."""


def fingerprint(module: nn.Module) -> tuple[Any, ...]:
    """Everything that a graph depends on, and that can be compared cheaply."""
    reader = _Reader()
    tensors = [(name, id(tensor), _place(tensor)) for name, tensor in _tensors(module)]
    children = list(module.named_modules())
    kinds = dict.fromkeys(type(child) for _, child in children)
    hooks = tuple(reader.value(getattr(nn.modules.module, name, None), DEPTH) for name in _GLOBAL_HOOKS)
    settings = tuple((name, *reader.settings(child)) for name, child in children)
    return tuple(tensors), settings, tuple(map(reader.class_settings, kinds)), hooks


def _tensors(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    yield from module.named_parameters(remove_duplicate=False)
    yield from module.named_buffers(remove_duplicate=False)


def _place(tensor: torch.Tensor) -> tuple[Any, ...]:
    if nn.parameter.is_lazy(tensor):
        return (tensor.dtype,)
    return tuple(tensor.shape), tensor.dtype, str(tensor.device)


class _Reader:
    """Makes of values something that changes when a result may; reads each function once."""

    def __init__(self) -> None:
        self._read: set[int] = set()

    def settings(self, module: nn.Module) -> tuple[Any, ...]:
        """A submodule's class and its plain attributes, tensors by identity and version."""
        plain = [(name, self.value(value, DEPTH)) for name, value in vars(module).items() if name not in _BOOKKEEPING]
        return id(type(module)), id(type(module).forward), id(module), tuple(plain)

    def class_settings(self, kind: type) -> tuple[Any, ...]:
        """The attributes of a module's classes, and what their methods read; those of PyTorch's own do not change."""
        found: list[Any] = []
        for base in kind.__mro__:
            if base in nn.Module.__mro__ or _is_settled(base):
                continue
            for name, value in vars(base).items():
                function = getattr(value, "__func__", getattr(value, "fget", value))
                if isinstance(function, FunctionType) or not name.startswith("__"):
                    found.append((name, self.value(function, DEPTH)))
        return tuple(found)

    def value(self, value: Any, depth: int) -> Any:
        """A value, or an object by its attributes."""
        if isinstance(value, torch.Tensor):
            return id(value), value._version if not value.is_inference() else 0
        if value is None or isinstance(value, int | float | complex | str | bytes):
            return repr(value)
        if isinstance(value, np.ndarray):
            return value.shape, value.tobytes()
        if depth == 0 or isinstance(value, _BY_IDENTITY):
            return id(value)
        if isinstance(value, FunctionType | MethodType | partial):
            return self._callable(value, depth)
        if isinstance(value, tuple | list | deque | set | frozenset | dict):
            return (id(value), len(value)) if len(value) > LONG else self._several(value, depth - 1)
        if depth == 1:  # the dict made here would be told by an identity that it has by chance
            return id(value)
        inside = {name: getattr(value, name, None) for name in getattr(type(value), "__slots__", ())}
        inside |= getattr(value, "__dict__", {})
        return id(value), self.value(inside, depth - 1)

    def _several(self, values: Any, depth: int) -> Any:
        if isinstance(values, dict):
            return tuple((str(key), self.value(item, depth)) for key, item in values.items())
        items = [self.value(item, depth) for item in values]
        return tuple(sorted(map(repr, items))) if isinstance(values, set | frozenset) else tuple(items)

    def _callable(self, value: Any, depth: int) -> Any:
        if isinstance(value, MethodType):
            return self.value(value.__func__, depth - 1), self.value(value.__self__, depth - 1)
        if isinstance(value, partial):
            return tuple(self.value(item, depth - 1) for item in (value.func, value.args, value.keywords))
        if id(value) in self._read or _is_settled(value):
            return id(value)
        self._read.add(id(value))
        return id(value), *self._read_by(value, depth - 1)

    def _read_by(self, function: FunctionType, depth: int) -> Iterator[Any]:
        """The globals, closures and defaults that a function reads, and what functions among them read."""
        names = dict.fromkeys(_names(function.__code__))
        for name in names:
            if name in function.__globals__:
                yield self._named(function.__globals__[name], names, depth)
        for value in _cells(function):
            yield self._named(value, names, depth)
        yield self.value(function.__defaults__, depth)
        yield self.value(function.__kwdefaults__, depth)

    def _named(self, value: Any, names: Iterable[str], depth: int) -> Any:
        """A value that code names; of a module or a class those attributes that it names too (``config.gain``)."""
        if depth == 0 or not isinstance(value, ModuleType | type) or _is_settled(value):
            return self.value(value, depth)
        inside = [vars(value)[name] for name in names if name in vars(value)]
        return id(value), *(self._named(item, names, depth - 1) for item in inside)


def _names(code: CodeType) -> Iterator[str]:
    """The names that code reads, and that functions written inside it read."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _cells(function: FunctionType) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not filled yet
            yield None


def _is_settled(value: Any) -> bool:
    """Whether something is of a package whose code does not change."""
    home = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
    return str(home).partition(".")[0] in _SETTLED
