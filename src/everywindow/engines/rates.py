"""How fast this device multiplies and moves: measured once, kept in the user's cache folder."""

from __future__ import annotations

import json
import os
import threading
import time
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import log
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from everywindow.io import atomic_path
from everywindow.kernels import convolution, saves, worthwhile
from everywindow.sharing import Work

SIZES = (1, 2, 3, 4, 8, 16, 32)
"""Sides of the pieces that convolutions are timed on."""

CHANNELS = (4, 16, 64, 256)
"""Channels that they are timed with."""

VERSION = 4
"""Of what is measured: kept figures of another version are measured anew."""

CACHE = "EVERYWINDOW_CACHE"
"""Environment variable that names the cache folder."""

Table = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Rates:
    """Measured rates of a device.

    Attributes:
        conv, depthwise, product: mult-adds per second by channels and side of the pieces.
        filtered: those of convolutions by the fastest routine that shared values have; the mult-adds are counted as
            if they were all done.
        moved: values read or written per second by calls that multiply little, on large values.
        near: the same on values that stay near the processor, as those of a batch of windows do.
        gathered: values gathered per second.
        call: seconds that any call takes.
    """

    conv: Table
    filtered: Table
    depthwise: Table
    product: Table
    moved: float
    near: float
    gathered: float
    call: float

    def seconds(self, work: Work) -> float:
        """How long a call takes, predicted."""
        seconds = self.call + work.gathered / self.gathered
        moving = work.elements / (self.near if work.near else self.moved)
        if work.kind == "copy":
            return seconds + moving
        table: Table = getattr(self, work.kind)
        return seconds + max(work.macs / _looked_up(table, work.channels, work.size), moving / 2)


def _looked_up(table: Table, channels: int, size: float) -> float:
    """The rate between the measured ones, on logarithmic scales."""
    columns = sorted(table, key=int)
    rates = [_between({int(side): rate for side, rate in table[column].items()}, size) for column in columns]
    return _between(dict(zip(map(int, columns), rates, strict=True)), channels)


def _between(points: dict[int, float], at: float) -> float:
    places = sorted(points)
    index = bisect_left(places, at)
    if index == 0 or index == len(places):
        return points[places[min(index, len(places) - 1)]]
    low, high = places[index - 1], places[index]
    share = (log(at) - log(low)) / (log(high) - log(low))
    return points[low] * (1 - share) + points[high] * share


_MEASURING = threading.Lock()
"""Two threads that measure at a time would get in each other's way; the second one finds the first one's figures."""


@cache
def rates_for(device: torch.device, dtype: torch.dtype, threads: int) -> Rates:
    """The rates of a device, from the cache folder where they were measured before."""
    key = f"{_device_name(device)}, {str(dtype).removeprefix('torch.')}, {threads} threads, torch {torch.__version__}"
    with _MEASURING:
        known = _read()
        if key not in known:
            known = {**known, key: _measured(device, dtype)}
            _write(known)
    return Rates(**known[key])


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text(encoding="utf-8", errors="replace").splitlines() if facts.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else device.type


def cache_file() -> Path:
    """Where the rates are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(os.environ.get(CACHE) or Path(base) / "everywindow") / "rates.json"


def _read() -> dict[str, Any]:
    try:
        known = json.loads(cache_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known["rates"] if isinstance(known, dict) and known.get("version") == VERSION else {}


def _write(known: dict[str, Any]) -> None:
    """Keep the rates; where the folder cannot be written they are measured again by the next process."""
    file = cache_file()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(file) as path:
            path.write_text(json.dumps({"version": VERSION, "rates": known}, indent=1), encoding="utf-8")
    except OSError:
        return


@torch.inference_mode()
def _measured(device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    def random(*shape: int) -> torch.Tensor:
        return torch.randn(shape, device=device, dtype=torch.float32).to(dtype)

    def conv(channels: int, side: int, groups: int, fastest: bool = False) -> float:
        kernel = random(channels, channels // groups, 3, 3).contiguous(memory_format=torch.channels_last)
        each = kernel.numel() * side * side
        count = max(1, min(int(2e8 / each), int(4e6 / (channels * (side + 2) ** 2))))
        x = random(count, channels, side + 2, side + 2).contiguous(memory_format=torch.channels_last)
        if fastest and saves(x, kernel, (1, 1), (1, 1), groups):
            return each * count / _seconds(lambda: convolution(x, kernel, None, (1, 1)), device)
        return each * count / _seconds(lambda: F.conv2d(x, kernel, groups=groups), device)

    def product(channels: int) -> float:
        rows = max(64, int(1e8 / channels**2))
        x, weight = random(min(rows, 2**22 // channels), channels), random(channels, channels)
        return x.numel() * channels / _seconds(lambda: F.linear(x, weight), device)

    values, few = random(2**16, 64), random(2**12, 64)
    index = torch.arange(2**16, device=device, dtype=torch.int32).flip(0)
    small = random(8)
    out = torch.empty_like(values)
    sides = {str(side): side for side in SIZES}
    plain = {str(c): {name: conv(c, side, 1) for name, side in sides.items()} for c in CHANNELS}
    wide = [c for c in CHANNELS if worthwhile(c, c, (3, 3))]
    return {
        "conv": plain,
        "filtered": plain | {str(c): {name: conv(c, side, 1, True) for name, side in sides.items()} for c in wide},
        "depthwise": {"1": {name: conv(64, side, 64) for name, side in sides.items() if side > 1}},
        "product": {str(c): {"1": product(c)} for c in (*CHANNELS, 1024)},
        "moved": 2 * values.numel() / _seconds(lambda: torch.relu(values), device),
        "near": 2 * few.numel() / _seconds(lambda: torch.relu(few), device),
        "gathered": values.numel() / _seconds(lambda: torch.index_select(values, 0, index, out=out), device),
        "call": _seconds(lambda: torch.relu(small), device),
    }


def _seconds(call: Callable[[], Any], device: torch.device) -> float:
    """Least of some timings, after a first one that warms up."""
    times = []
    for _ in range(4):
        started = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - started)
    return min(times[1:])
