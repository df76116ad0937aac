"""How fast this device multiplies and moves: measured once, kept in the user's cache folder."""

from __future__ import annotations

import json
import os
import threading
from bisect import bisect_left
from dataclasses import dataclass
from functools import cache
from math import log
from pathlib import Path
from typing import Any

import torch

from everywindow.engines.calibrate import Figures, Table, calibrated, probed
from everywindow.io import atomic_path
from everywindow.sharing import Work

VERSION = 5
"""Of what is measured: kept figures of another version are measured anew."""

CACHE = "EVERYWINDOW_CACHE"
"""Environment variable that names the cache folder."""

BUSY = 1.5
"""Kept rates are doubted where the device is seen to be so many times as fast."""


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
        calls: calls per second that do next to nothing.
        pooled: values read or written per second by poolings, where these are slower than other calls.
    """

    conv: Table
    filtered: Table
    depthwise: Table
    product: Table
    moved: float
    near: float
    gathered: float
    calls: float
    pooled: float | None = None

    @property
    def call(self) -> float:
        """Seconds that any call takes."""
        return 1 / self.calls

    def seconds(self, work: Work) -> float:
        """How long a call takes, predicted."""
        seconds = self.call + work.gathered / self.gathered
        moving = work.elements / (self.near if work.near else self.moved)
        if work.kind == "pool" and self.pooled is not None:
            return seconds + work.elements / self.pooled
        if work.kind in ("copy", "pool"):
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
def rates_for(device: torch.device, dtype: torch.dtype, threads: int, axes: int = 2) -> Rates:
    """The rates of a device, for networks of so many spatial axes: from the cache folder, where measured before.

    A device is never faster than it is: where a few quick timings beat the kept figures by far, all are measured anew,
    and of each the better one is kept.
    """
    key = _key(device, dtype, threads, axes)
    with _MEASURING:
        known = _read()
        if key not in known:
            known = {**known, key: calibrated(device, dtype, axes)}
            _write(known)
        elif _beaten(known[key], probed(device, dtype, axes)):
            known = {**known, key: _better(known[key], calibrated(device, dtype, axes))}
            _write(known)
    return Rates(**known[key])


def rates_known(device: torch.device, dtype: torch.dtype, threads: int, axes: int = 2) -> bool:
    """Whether the rates of a device were measured before."""
    return _key(device, dtype, threads, axes) in _read()


def _key(device: torch.device, dtype: torch.dtype, threads: int, axes: int) -> str:
    kind = str(dtype).removeprefix("torch.")
    which = "" if axes == 2 else f", {axes} axes"
    return f"{_device_name(device)}, {kind}, {threads} threads, torch {torch.__version__}{which}"


def _beaten(kept: Figures, now: Figures) -> bool:
    """Whether a figure of today is far better than the kept one: the device was busy when that was measured."""
    return any(
        _beaten(kept[name], figure) if isinstance(figure, dict) else figure > BUSY * kept[name]
        for name, figure in now.items()
    )


def _better(kept: Figures, now: Figures) -> Figures:
    """Of each figure the better one."""
    return {
        name: _better(kept[name], figure) if isinstance(figure, dict) else max(kept[name], figure)
        for name, figure in now.items()
    }


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
