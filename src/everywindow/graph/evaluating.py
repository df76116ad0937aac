"""A module as it stands: its precision, and running it in evaluation mode, in one thread at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

import torch
from torch import nn

_GUARD = threading.Lock()
_LOCKS: WeakKeyDictionary[nn.Module, threading.RLock] = WeakKeyDictionary()


@contextmanager
def using(module: nn.Module) -> Iterator[None]:
    """The module for this thread alone, among all that ask for it here.

    Capturing a module, running it with other kernels and switching its mode change it for a while: another thread
    would run with, or copy, or put back what is not the module's own.
    """
    with _GUARD:
        lock = _LOCKS.setdefault(module, threading.RLock())
    with lock:
        yield


@contextmanager
def evaluating(module: nn.Module) -> Iterator[nn.Module]:
    """The module in ``eval()`` mode, for this thread; every submodule gets its own mode back afterwards."""
    with using(module):
        modes = [(child, child.training) for child in module.modules()]
        module.eval()
        try:
            yield module
        finally:
            for child, mode in modes:
                child.training = mode


def precision(module: nn.Module) -> tuple[torch.dtype, torch.device]:
    """Dtype and device of the module's weights; the defaults where it has none."""
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point():
            return tensor.dtype, tensor.device
    return torch.get_default_dtype(), torch.device("cpu")
