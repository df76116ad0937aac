"""Views of an image: a window of it, moved, turned and resized, with what lies beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}


@dataclass(frozen=True)
class Field:
    """A window of an image, with room around it on every side.

    Attributes:
        pixels: ``[C, *size]``, of size ``window + 2 * margin``.
        window: in pixels per axis.
        margin: in pixels per axis.
        mirrored: whether the image is smaller, and mirrored beyond its borders.
    """

    pixels: Tensor
    window: tuple[int, ...]
    margin: tuple[int, ...]
    mirrored: bool = False

    def at(self, shift: Sequence[int]) -> Tensor:
        """The window ``[C, *window]`` with its content moved by ``shift`` pixels per axis (down and right)."""
        view = self.pixels
        for axis, (size, margin, by) in enumerate(zip(self.window, self.margin, shift, strict=True)):
            view = view.narrow(1 + axis, margin - by, size)
        return view

    @property
    def middle(self) -> Tensor:
        """The window as it is."""
        return self.at((0,) * len(self.window))

    def turned(self, degrees: float) -> Tensor:
        """The window with its content turned counter-clockwise around the middle, in the last two axes.

        By multiples of 90 degrees exactly, where the window is as high as wide; else bilinear. The corners show
        what lies beside the window.
        """
        if degrees % 90 == 0 and self.window[-1] == self.window[-2]:
            return self.middle.rot90(int(degrees // 90), (-2, -1))
        flat = self.pixels.flatten(0, -3)[None]  # of volumes plane by plane
        grid = _turned_grid(self.window[-2:], flat.shape[-2:], degrees).to(flat)
        turned = F.grid_sample(flat, grid[None], mode="bilinear", padding_mode="reflection", align_corners=False)[0]
        whole = turned.reshape(*self.pixels.shape[:-2], *self.window[-2:])
        return _middle(whole, self.window)

    def resized(self, zoom: float) -> Tensor:
        """The window with its content enlarged by ``zoom`` around the middle, linearly; smaller ones of pictures
        without aliasing."""
        sizes = [
            window + 2 * round((size * zoom - window) / 2)
            for window, size in zip(self.window, self.pixels.shape[1:], strict=True)
        ]
        smooth = len(self.window) == 2 and zoom < 1
        mode = MODES[len(self.window)]
        return _middle(F.interpolate(self.pixels[None], sizes, mode=mode, antialias=smooth)[0], self.window)


def field_of(
    pixels: Tensor, window: tuple[int, ...], margin: tuple[int, ...], centre: Sequence[float] | None = None
) -> Field:
    """A part of an image ``[C, *size]``, mirrored where it ends before the window's margins do.

    The window lies in the middle, or around ``centre`` (in pixels, from edge to edge) as near as the image allows.
    """
    view, mirrored = pixels, False
    for axis, (size, room) in enumerate(zip(window, margin, strict=True)):
        have = pixels.shape[1 + axis]
        start = (have - size) // 2 if centre is None else round(centre[axis] - size / 2)
        first = min(max(start, 0), have - size) - room
        mirrored |= first < 0 or first + size + 2 * room > have
        view = view.index_select(1 + axis, _mirrored(first, size + 2 * room, have).to(pixels.device))
    return Field(view.contiguous(), window, margin, mirrored)


def margins(window: tuple[int, ...], most: int, angles: Sequence[float], zooms: Sequence[float]) -> tuple[int, ...]:
    """Room per axis that shifts by up to ``most`` pixels, turns and smaller scales take.

    >>> margins((224, 224), 32, (45.0,), (0.7,))
    (49, 49)
    """
    smallest = min([1.0, *zooms])
    around = math.hypot(*window[-2:]) if any(angle % 90 or window[-1] != window[-2] for angle in angles) else 0.0
    turning = (0.0,) * (len(window) - 2) + (around,) * min(2, len(window))
    return tuple(
        max(most, math.ceil((size / smallest - size) / 2) + 1, math.ceil((turn - size) / 2) + 1)
        for size, turn in zip(window, turning, strict=True)
    )


def _mirrored(first: int, count: int, size: int) -> Tensor:
    """Indices of pixels, mirrored at the first and the last."""
    around = torch.arange(first, first + count) % max(1, 2 * size - 2)
    return torch.minimum(around, 2 * size - 2 - around) if size > 1 else torch.zeros(count, dtype=torch.long)


def _middle(view: Tensor, window: Sequence[int]) -> Tensor:
    for axis, size in enumerate(window):
        view = view.narrow(1 + axis, (view.shape[1 + axis] - size) // 2, size)
    return view


def _turned_grid(window: Sequence[int], size: Sequence[int], degrees: float) -> Tensor:
    """Where to sample an image of a size, in the units of ``grid_sample``, for a turned window at its middle."""
    rows, cols = (torch.arange(length, dtype=torch.float64) - (length - 1) / 2 for length in window)
    y, x = torch.meshgrid(rows, cols, indexing="ij")
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    across, down = cos * x - sin * y, sin * x + cos * y
    return torch.stack([2 * across / size[1], 2 * down / size[0]], dim=-1)
