"""Padding of an image-wide map with copies of its own positions: differentiable, at any size."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def pad_with_copies(x: Tensor, sides: Sequence[Sequence[int]], mode: str) -> Tensor:
    """Reflect, replicate or circular padding, at each phase of a dilated map by itself.

    Args:
        x: the map.
        sides: per padded dimension ``(dim, low, high, dilation)``: the positions of one window before and after it
            (negative: removed), and how many positions of the map apart they lie.
        mode: ``"reflect"``, ``"replicate"`` or ``"circular"``.
    """
    for dim, low, high, dilation in sides:
        first, removed = -min(low, 0) * dilation, -min(low, 0) * dilation - min(high, 0) * dilation
        own = x.narrow(dim, first, x.shape[dim] - removed)
        source = own if mode == "circular" else x
        length = source.shape[dim]
        before = torch.arange(-max(low, 0) * dilation, 0, device=x.device)
        after = torch.arange(max(high, 0) * dilation, device=x.device) + length
        parts = [_picked(source, dim, _sources(at, length, dilation, mode)) for at in (before, after)]
        x = torch.cat([*parts[: low > 0], own, *parts[1 : 1 + (high > 0)]], dim)
    return x


def _picked(x: Tensor, dim: int, index: Tensor) -> Tensor:
    """Positions along a dimension, in memory in the order of ``x``, so that what is made of both is so too."""
    return x.index_select(dim, index).contiguous(memory_format=_order(x))


def _order(x: Tensor) -> torch.memory_format:
    last = {4: torch.channels_last, 5: torch.channels_last_3d}.get(x.ndim)
    kept = last is not None and not torch.compiler.is_compiling() and x.is_contiguous(memory_format=last)
    return last if last is not None and kept else torch.contiguous_format


def _sources(at: Tensor, length: int, dilation: int, mode: str) -> Tensor:
    """The positions of a map that those outside of it are copies of, each of its own phase.

    A phase too short to be padded so belongs to no window; it gets some position or other.
    """
    phase = torch.remainder(at, dilation)
    place = torch.div(at - phase, dilation, rounding_mode="floor")
    last = torch.div(length - 1 - phase, dilation, rounding_mode="floor").clamp_min(0)
    if mode == "reflect":
        place = last - (last - place.abs()).abs()
    elif mode == "circular":
        place = torch.remainder(place, last + 1)
    place = torch.minimum(place.clamp_min(0), last)
    return (place * dilation + phase).clamp_max(length - 1)
