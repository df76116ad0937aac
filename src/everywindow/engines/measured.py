"""How long earlier scans with the same network took: better than any prediction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from everywindow.geometry import WindowGrid
from everywindow.graph import Network

ENGINES = ("crops", "fcn", "exact")

PLENTY = 32
"""Limits from so many binary digits of bytes on (2 GiB) count as one, for by default they change all the time."""


def remember(network: Network, grid: WindowGrid, engine: str, limit: int, seconds: float) -> None:
    """Keep the seconds that an engine took for an image of this size; of the crops, for one window."""
    kept: dict[Any, list[float]] = network.kept.setdefault("seconds", {})
    key, per = _key(grid, engine, limit)
    kept.setdefault(key, []).append(seconds / per)


def measured_seconds(network: Network, grid: WindowGrid, limit: int) -> dict[str, float]:
    """The least seconds of each engine that has been run more than once: a first run warms up.

    Only of runs with about the same limit of memory in bytes, which settles how the windows are cut.
    """
    kept: dict[Any, list[float]] = network.kept.get("seconds", {})
    keys = {engine: _key(grid, engine, limit) for engine in ENGINES}
    return {engine: min(kept[key]) * per for engine, (key, per) in keys.items() if len(kept.get(key, ())) > 1}


def expected_seconds(predicted: Mapping[str, float], measured: Mapping[str, float]) -> dict[str, float]:
    """Of each engine the measured seconds, or else what it is to be expected to take.

    A measurement is no match for a prediction from rates that are too low, or too high. How far they are off is told by
    the crops, which are predicted best. Without them an engine that took less than predicted lowers what the others are
    expected to take; one that took more does not raise it: whichever looks better then is tried next.
    """
    ratios = {name: measured[name] / seconds for name, seconds in predicted.items() if name in measured and seconds > 0}
    pace = ratios.get("crops", min([1.0, *(ratio for ratio in ratios.values() if ratio > 0)]))
    return {name: measured.get(name, seconds * pace) for name, seconds in predicted.items()}


def _key(grid: WindowGrid, engine: str, limit: int) -> tuple[Any, int]:
    under = (engine, torch.get_num_threads(), min(limit.bit_length(), PLENTY))
    return (under, grid.total) if engine == "crops" else ((*under, grid), 1)
