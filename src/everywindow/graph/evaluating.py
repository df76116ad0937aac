"""A module as it stands: its precision, and running it in evaluation mode."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def evaluating(module: nn.Module) -> Iterator[nn.Module]:
    """The module in ``eval()`` mode; every submodule gets its own mode back afterwards."""
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
