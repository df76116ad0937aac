"""A module as it stands: its precision, and running it in evaluation mode, in one thread at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

_FREED = threading.Condition()
_HELD: dict[int, tuple[int, int]] = {}
"""By identity of a submodule that is in use: the thread that has it, and how many times over."""


@contextmanager
def using(module: nn.Module) -> Iterator[None]:
    """The module and its submodules for this thread alone, among all that ask for them here.

    Capturing a module, running it with other kernels and switching its mode change it for a while: another thread
    would run with, or copy, or put back what is not the module's own. Two modules may have submodules in common (a
    network, and the same with a softmax behind it), so all are taken, and all at once: nobody waits with a part.
    """
    parts = list(module.modules())
    me = threading.get_ident()
    with _FREED:
        _FREED.wait_for(lambda: all(_HELD.get(id(part), (me, 0))[0] == me for part in parts))
        for part in parts:
            _HELD[id(part)] = (me, _HELD.get(id(part), (me, 0))[1] + 1)
    try:
        yield
    finally:
        with _FREED:
            for part in parts:
                times = _HELD.pop(id(part))[1] - 1
                if times:
                    _HELD[id(part)] = (me, times)
            _FREED.notify_all()


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
    with using(module):  # while it is captured, its weights are stand-ins on no device
        for tensor in (*module.parameters(), *module.buffers()):
            if tensor.is_floating_point():
                return tensor.dtype, tensor.device
    return torch.get_default_dtype(), torch.device("cpu")
