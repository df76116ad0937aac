"""Memory formats, and kernels laid out for them.

Weights may change without a trace (through ``.data``), so kept kernels are compared with the weights, value by value,
before they are used again.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

KEPT_BYTES = 256 * 2**20
"""Laid-out kernels of a network are kept up to this size; larger ones are made anew for each scan."""

_KEPT: WeakKeyDictionary[nn.Module, dict[str, tuple[Tensor, Tensor]]] = WeakKeyDictionary()
"""By module and name: the weight as it was, and its kernel laid out."""


def torch_format(name: str, ndim: int) -> torch.memory_format:
    """torch's memory format for tensors of so many dimensions."""
    if name == "contiguous":
        return torch.contiguous_format
    return {4: torch.channels_last, 5: torch.channels_last_3d}[ndim]


def memory_formats(axes: int) -> tuple[str, ...]:
    """The memory formats worth trying for a number of spatial axes."""
    return ("contiguous", "channels_last") if axes in (2, 3) else ("contiguous",)


def formatted_kernels(owner: nn.Module, memory_format: str) -> dict[str, Tensor]:
    """The kernels of ``owner`` that lie differently in a memory format, laid out for it; its own stay as they are."""
    if memory_format == "contiguous":
        return {}
    kernels = {name: weight.detach() for name, weight in owner.named_parameters() if weight.ndim in (4, 5)}
    if sum(weight.nbytes for weight in kernels.values()) > KEPT_BYTES:
        return {name: _formatted(weight) for name, weight in kernels.items()}
    kept = _KEPT.setdefault(owner, {})
    for name, weight in kernels.items():
        if name not in kept or not _same(kept[name][0], weight):
            kept[name] = (weight.clone(), _formatted(weight))
    return {name: kept[name][1] for name in kernels}


def _same(snapshot: Tensor, weight: Tensor) -> bool:
    return snapshot.dtype == weight.dtype and snapshot.device == weight.device and torch.equal(snapshot, weight)


def _formatted(weight: Tensor) -> Tensor:
    # A copy, for contiguous() leaves kernels of one channel as they are, which libraries take for the other format.
    return weight.detach().clone(memory_format=torch_format("channels_last", weight.ndim))
