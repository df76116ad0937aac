"""Memory formats, and kernels laid out for them: anew for each scan, for weights may change unseen (``.data``)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


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
    return {name: _formatted(weight) for name, weight in owner.named_parameters() if weight.ndim in (4, 5)}


def _formatted(weight: Tensor) -> Tensor:
    return weight.detach().contiguous(memory_format=torch_format("channels_last", weight.ndim))
