"""How fast a device is: timings of the few kinds of calls that networks are made of."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F

from everywindow.kernels import convolution, saves, worthwhile

SIZES = (1, 2, 3, 4, 8, 16, 32)
"""Sides of the pieces that convolutions are timed on."""

CHANNELS = (4, 16, 64, 256)
"""Channels that they are timed with."""

OTHER_AXES = {1: ((1, 2, 4, 8, 16, 64, 256), (4, 16, 64, 256)), 3: ((1, 2, 4, 8, 16), (4, 16, 64))}
"""The same of recordings and volumes, by the number of axes. Their convolutions and poolings are other routines."""

FORMATS = {2: torch.channels_last, 3: torch.channels_last_3d}

Table = dict[str, dict[str, float]]
"""Mult-adds per second by channels and side of the pieces."""

Figures = dict[str, Any]
"""Of each kind of call a table or one number, per second: the larger, the faster. Plain data."""


@torch.inference_mode()
def calibrated(device: torch.device, dtype: torch.dtype, axes: int = 2) -> Figures:
    """All figures of a device for networks of so many spatial axes: about a second on a processor."""
    timings = _Timings(device, dtype, axes)
    if axes in OTHER_AXES:
        return _of_other_axes(timings)
    sides = {str(side): side for side in SIZES}
    plain = {str(c): {name: timings.conv(c, side, 1) for name, side in sides.items()} for c in CHANNELS}
    wide = [c for c in CHANNELS if worthwhile(c, c, (3, 3))]
    filtered = {str(c): {name: timings.conv(c, side, 1, fastest=True) for name, side in sides.items()} for c in wide}
    return {
        "conv": plain,
        "filtered": plain | filtered,
        "depthwise": {"1": {name: timings.conv(64, side, 64) for name, side in sides.items() if side > 1}},
        **timings.rest(),
    }


def _of_other_axes(timings: _Timings) -> Figures:
    lengths, channels = OTHER_AXES[timings.axes]
    sides = {str(side): side for side in lengths}
    plain = {str(c): {name: timings.conv(c, side, 1) for name, side in sides.items()} for c in channels}
    return {
        "conv": plain,
        "filtered": plain,
        "depthwise": {"1": {name: timings.conv(64, side, 64) for name, side in sides.items() if side > 1}},
        "pooled": timings.pooled(),
        **timings.rest(),
    }


@torch.inference_mode()
def probed(device: torch.device, dtype: torch.dtype, axes: int = 2) -> Figures:
    """A few of the figures, one for each kind of call: some hundredths of a second."""
    timings = _Timings(device, dtype, axes if axes in OTHER_AXES else 2)
    return {
        "conv": {"64": {"8": timings.conv(64, 8, 1)}},
        "product": {"256": {"1": timings.product(256)}},
        "moved": timings.moved(2**16),
        "gathered": timings.gathered(),
        "calls": timings.calls(),
    }


@dataclass(frozen=True)
class _Timings:
    """Each kind of call, timed on a device in a dtype."""

    device: torch.device
    dtype: torch.dtype
    axes: int = 2

    def rest(self) -> Figures:
        """What does not depend on the number of axes."""
        return {
            "product": {str(c): {"1": self.product(c)} for c in (*CHANNELS, 1024)},
            "moved": self.moved(2**16),
            "near": self.moved(2**12),
            "gathered": self.gathered(),
            "calls": self.calls(),
        }

    def conv(self, channels: int, side: int, groups: int, fastest: bool = False) -> float:
        """Mult-adds per second of a convolution of 3 along each axis on pieces; ``fastest``: by the routine that shared
        values have."""
        axes, laid = self.axes, FORMATS.get(self.axes, torch.contiguous_format)
        kernel = self._random(channels, channels // groups, *[3] * axes).contiguous(memory_format=laid)
        each: int = kernel.numel() * side**axes
        count = max(1, min(int(2e8 / each), int(4e6 / (channels * (side + 2) ** axes))))
        x = self._random(count, channels, *[side + 2] * axes).contiguous(memory_format=laid)
        if fastest and saves(x, kernel, (1, 1), (1, 1), groups):
            return each * count / self._seconds(lambda: convolution(x, kernel, None, (1, 1)))
        convolve = (F.conv1d, F.conv2d, F.conv3d)[axes - 1]
        return each * count / self._seconds(lambda: convolve(x, kernel, groups=groups))

    def pooled(self) -> float:
        """Values read or written per second by a max pooling."""
        laid = FORMATS.get(self.axes, torch.contiguous_format)
        values = self._random(16, 8, *[16] * self.axes).contiguous(memory_format=laid)
        pool = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[self.axes - 1]
        touched: float = (1 + 2**-self.axes) * values.numel()
        return touched / self._seconds(lambda: pool(values, 2))

    def product(self, channels: int) -> float:
        """Mult-adds per second of a matrix product."""
        rows = min(max(64, int(1e8 / channels**2)), 2**22 // channels)
        x, weight = self._random(rows, channels), self._random(channels, channels)
        return x.numel() * channels / self._seconds(lambda: F.linear(x, weight))

    def moved(self, rows: int) -> float:
        """Values read or written per second by a call that multiplies little."""
        values = self._random(rows, 64)
        return 2 * values.numel() / self._seconds(lambda: torch.relu(values))

    def gathered(self) -> float:
        """Values gathered per second."""
        values = self._random(2**16, 64)
        index = torch.arange(2**16, device=self.device, dtype=torch.int32).flip(0)
        out = torch.empty_like(values)
        return values.numel() / self._seconds(lambda: torch.index_select(values, 0, index, out=out))

    def calls(self) -> float:
        """Calls per second that do next to nothing."""
        small = self._random(8)
        return 1 / self._seconds(lambda: torch.relu(small))

    def _random(self, *shape: int) -> torch.Tensor:
        return torch.randn(shape, device=self.device, dtype=torch.float32).to(self.dtype)

    def _seconds(self, call: Callable[[], Any]) -> float:
        """Least of some timings, after a first one that warms up."""
        times = []
        for _ in range(4):
            started = time.perf_counter()
            call()
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
            times.append(time.perf_counter() - started)
        return min(times[1:])
