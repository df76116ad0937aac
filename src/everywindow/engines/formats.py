"""Memory formats: kernels laid out for them, kept while the weights stay the same."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

KEPT_BYTES = 512 * 2**20
"""Laid-out kernels of a network are kept up to this size; larger ones are made anew for each scan."""

_Stamp = tuple[int, int]
_KEPT: WeakKeyDictionary[nn.Module, dict[str, tuple[_Stamp, Tensor]]] = WeakKeyDictionary()


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
    kernels = {name: weight for name, weight in owner.named_parameters() if weight.ndim in (4, 5)}
    if any(weight.is_inference() for weight in kernels.values()):
        return {name: _formatted(weight) for name, weight in kernels.items()}
    kept = _KEPT.setdefault(owner, {})
    for name, weight in kernels.items():
        stamp = (id(weight), weight._version)
        if name not in kept or kept[name][0] != stamp:
            kept[name] = (stamp, _formatted(weight))
    found = {name: kept[name][1] for name in kernels}
    if sum(kernel.nbytes for kernel in found.values()) > KEPT_BYTES:
        del _KEPT[owner]
    return found


def _formatted(weight: Tensor) -> Tensor:
    return weight.detach().contiguous(memory_format=torch_format("channels_last", weight.ndim))
