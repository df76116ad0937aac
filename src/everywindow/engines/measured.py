"""How long earlier scans with the same network took: better than any prediction."""

from __future__ import annotations

from typing import Any

import torch

from everywindow.geometry import WindowGrid
from everywindow.graph import Network


def remember(network: Network, grid: WindowGrid, engine: str, seconds: float) -> None:
    """Keep the least seconds of an engine for an image of this size; of the crops, for one window."""
    kept: dict[Any, float] = network.kept.setdefault("seconds", {})
    key, per = _key(grid, engine)
    kept[key] = min(kept.get(key, float("inf")), seconds / per)


def measured_seconds(network: Network, grid: WindowGrid) -> dict[str, float]:
    """The least seconds of each engine that has been run."""
    kept: dict[Any, float] = network.kept.get("seconds", {})
    found = {}
    for engine in ("crops", "fcn", "exact"):
        key, per = _key(grid, engine)
        if key in kept:
            found[engine] = kept[key] * per
    return found


def _key(grid: WindowGrid, engine: str) -> tuple[Any, int]:
    threads = torch.get_num_threads()
    return ((engine, threads), grid.total) if engine == "crops" else ((engine, threads, grid), 1)
