"""Activations that another routine of the library computes in less time, as precisely."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

CHUNK = 2**18
"""Values at a time, which stay near the processor while they are copied to and fro."""

LEAST = 2**12
"""Values from which the copies pay."""


def tanh_(x: Tensor) -> Tensor:
    """``x.tanh_()`` without gradient. oneDNN's takes a third of the time, copies included; both are right to 1e-7."""
    flat = _in_memory(x)
    if flat is None or x.numel() < LEAST or x.dtype != torch.float32 or x.device.type != "cpu":
        return x.tanh_()
    for part in flat.split(CHUNK):
        part.copy_(part.to_mkldnn().tanh_().to_dense())
    return x


def _in_memory(x: Tensor) -> Tensor | None:
    """All values as one row, in the order of the memory; None where they are no neighbours or that is not known."""
    if not torch.backends.mkldnn.is_available():
        return None
    if x.is_contiguous():
        return x.view(-1)
    if x.ndim == 4 and x.permute(0, 2, 3, 1).is_contiguous():
        return x.permute(0, 2, 3, 1).view(-1)
    return None


FASTER: dict[Any, Callable[[Tensor], Tensor]] = {torch.ops.aten.tanh_.default: tanh_}
"""What to call for an activation that overwrites its argument."""
