"""Layers that look at the whole window, or count positions from its corner: no one-pass conversion takes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SqueezeExcite(nn.Module):
    """Channels weighted by the means over the window."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(channels, 2), nn.Linear(2, channels)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.up(F.relu(self.down(x.mean(tuple(range(2, x.ndim))))))
        return x * torch.sigmoid(gate).reshape(*gate.shape, *(1 for _ in range(x.ndim - 2)))


class Attention(nn.Module):
    """Self-attention over the positions of the window."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(channels, 3), nn.Linear(channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        weights = torch.softmax(self.query(tokens) @ self.key(tokens).transpose(1, 2), -1)
        return (x.flatten(2).transpose(1, 2) + weights @ tokens).transpose(1, 2).reshape(x.shape)


class Embedding(nn.Module):
    """A constant for each position, added or multiplied; sizes of 1 are broadcast."""

    def __init__(self, shape: Sequence[int], multiplied: bool) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.zeros(1, *shape))
        self.multiplied = multiplied

    def forward(self, x: Tensor) -> Tensor:
        return x * self.embedding if self.multiplied else x + self.embedding

    def extra_repr(self) -> str:
        return f"{tuple(self.embedding.shape)}, multiplied={self.multiplied}"


class Border(nn.Module):
    """Factors that differ near the ends of the axes, and are 1 inside; a buffer, and no weight that tests redraw."""

    factors: Tensor

    def __init__(self, size: Sequence[int], low: int, high: int) -> None:
        super().__init__()
        self.low, self.high = low, high
        factors = torch.ones(1, 1, *size, dtype=torch.float64)
        for dim, n in enumerate(size, start=2):
            for at in [*range(min(low, n)), *range(max(0, n - high), n)]:
                factors.narrow(dim, at, 1).mul_(0.5 + 0.1 * at)
        self.register_buffer("factors", factors)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factors.to(x.dtype)

    def extra_repr(self) -> str:
        return f"{tuple(self.factors.shape)}, {self.low}, {self.high}"


class Then(nn.Module):
    """A function, by its name in :data:`FUNCTIONS`."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, x: Tensor) -> Tensor:
        return FUNCTIONS[self.name](x)

    def extra_repr(self) -> str:
        return self.name


def _shifted(x: Tensor) -> Tensor:
    """Two inputs of one size that lie a position apart."""
    return x[:, :, 1:] + 0.5 * x[:, :, :-1]


def _shifted_in_place(x: Tensor) -> Tensor:
    """The same size, with one position of padding before and one less behind."""
    return x + F.pad(x, [0, 0] * (x.ndim - 3) + [1, -1])


def _every_other(x: Tensor) -> Tensor:
    """Odd and even positions of the last axis, side by side."""
    n = x.shape[-1] // 2 * 2
    return torch.cat([x[..., 0:n:2], x[..., 1:n:2]], 1)


def _cut_twice(x: Tensor) -> Tensor:
    """Two ways to the same positions: cut off, and padded and cut off."""
    padded = F.pad(x, [1, 1] * (x.ndim - 2))
    inner = tuple(slice(1, -1) for _ in range(x.ndim - 2))
    return (
        x[(slice(None), slice(None), *inner)] * 0.5 + padded[(slice(None), slice(None), *(slice(2, -2) for _ in inner))]
    )


def _mixed_axes(x: Tensor) -> Tensor:
    """Height and width change places."""
    return x.transpose(-1, -2) if x.ndim > 3 else x.flip(-1)


def _upsampled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "flip": lambda x: x.flip(2),
    "roll": lambda x: x.roll(1, -1),
    "cumsum": lambda x: x.cumsum(2) / x.shape[2],
    "reflect": lambda x: F.pad(x, [1, 1] * (x.ndim - 2), mode="reflect"),
    "circular": lambda x: F.pad(x, [1, 0] * (x.ndim - 2), mode="circular"),
    "replicate": lambda x: F.pad(x, [0, 1] * (x.ndim - 2), mode="replicate"),
    "shifted": _shifted,
    "shifted in place": _shifted_in_place,
    "every other": _every_other,
    "cut twice": _cut_twice,
    "mixed axes": _mixed_axes,
    "upsampled": _upsampled,
    "where": lambda x: torch.where(x > 0.1, x, 0.3 * x),
    "less the mean": lambda x: x - x.mean(2, keepdim=True),
    "less the most": lambda x: x - 0.5 * x.amax(tuple(range(2, x.ndim)), keepdim=True),
    "over the norm": lambda x: x / (x.pow(2).sum(1, keepdim=True).sqrt() + 1),
    "softmax of channels": lambda x: x + torch.softmax(x, 1),
    "softmax of positions": lambda x: x * torch.softmax(x, -1) * x.shape[-1],
}

PADDING = ("reflect", "circular", "replicate", "shifted in place")
"""Functions that look outside the window."""


class View(nn.Module):
    """Flatten by ``view`` with the number of features written out."""

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.features = prod(shape)

    def forward(self, x: Tensor) -> Tensor:
        return x.contiguous().view(-1, self.features)

    def extra_repr(self) -> str:
        return f"{self.features}"
