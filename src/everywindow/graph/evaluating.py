"""A module as it stands: its precision, and running it in evaluation mode, in one thread at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy

import torch
from torch import nn

from everywindow.graph.shapes import float_dtypes

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


def copied(module: nn.Module) -> nn.Module:
    """A deep copy; a trainer that the module is attached to (Lightning's) is not copied, for it holds far more."""
    attached = [vars(part).get(name) for part in module.modules() for name in ("_trainer", "_fabric")]
    return deepcopy(module, {id(one): one for one in attached if one is not None})


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


def precision(module: nn.Module, window: tuple[int, ...], channels: int) -> tuple[torch.dtype, torch.device]:
    """Dtype and device that the module takes windows in: those of its weights; the defaults where it has none.

    Of several dtypes the finest in which it runs: its code brings windows into the others where it needs them.
    """
    with using(module):  # while it is captured, its weights are stand-ins on no device
        floats = [tensor for tensor in (*module.parameters(), *module.buffers()) if tensor.is_floating_point()]
        if not floats:
            return torch.get_default_dtype(), torch.device("cpu")
        device = floats[0].device
        dtypes = float_dtypes(floats)
        if len(dtypes) == 1:
            return dtypes[0], device
        running = (
            dtype for dtype in dtypes if _runs(module, torch.zeros(1, channels, *window, dtype=dtype, device=device))
        )
        return next(running, floats[0].dtype), device


def _runs(module: nn.Module, window: torch.Tensor) -> bool:
    """Whether the module takes a window of this dtype."""
    try:
        with evaluating(module), torch.no_grad():
            module(window)
    except RuntimeError:
        return False
    return True
