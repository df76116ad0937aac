"""How long earlier scans with the same network took: better than any prediction."""

from __future__ import annotations

from typing import Any

import torch

from everywindow.geometry import WindowGrid
from everywindow.graph import Network

ENGINES = ("crops", "fcn", "exact")


def remember(network: Network, grid: WindowGrid, engine: str, seconds: float) -> None:
    """Keep the seconds that an engine took for an image of this size; of the crops, for one window."""
    kept: dict[Any, list[float]] = network.kept.setdefault("seconds", {})
    key, per = _key(grid, engine)
    kept.setdefault(key, []).append(seconds / per)


def measured_seconds(network: Network, grid: WindowGrid) -> dict[str, float]:
    """The least seconds of each engine that has been run more than once: a first run warms up."""
    kept: dict[Any, list[float]] = network.kept.get("seconds", {})
    keys = {engine: _key(grid, engine) for engine in ENGINES}
    return {engine: min(kept[key]) * per for engine, (key, per) in keys.items() if len(kept.get(key, ())) > 1}


def _key(grid: WindowGrid, engine: str) -> tuple[Any, int]:
    threads = torch.get_num_threads()
    return ((engine, threads), grid.total) if engine == "crops" else ((engine, threads, grid), 1)
