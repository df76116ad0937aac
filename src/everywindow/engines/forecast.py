"""How long each engine would take, predicted, and how much the exact one should share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from math import prod
from typing import Any

import torch

from everywindow.costing import calls
from everywindow.engines.rates import Rates, rates_for
from everywindow.geometry import WindowGrid
from everywindow.graph import Network
from everywindow.ops import Call
from everywindow.sharing import Program, program_for, rest_calls, shared_work, window_work

Build = Callable[[tuple[int, ...]], Program]


@dataclass(frozen=True)
class Forecast:
    """Predicted seconds.

    Attributes:
        crops: all windows one by one.
        exact: with the best share of the calls shared.
        share: how many of the calls that can be shared should be; None for all.
    """

    crops: float
    exact: float
    share: int | None


def forecast(network: Network, grid: WindowGrid, device: torch.device, dtype: torch.dtype) -> Forecast:
    """The prediction for an image, from the rates that were measured on this device.

    Made once for a captured network and image size. Where to stop sharing: wherever the sum of what is shared before
    and what is done window by window behind is least.
    """
    kept: dict[Any, Forecast] = network.kept.setdefault("forecasts", {})
    key = (grid, device, dtype, torch.get_num_threads())
    if key not in kept:
        kept[key] = _forecast(network, grid, rates_for(device, dtype, torch.get_num_threads()))
    return kept[key]


def _forecast(network: Network, grid: WindowGrid, rates: Rates) -> Forecast:
    program = program_for(network, grid.counts, grid.stride)
    windows = prod(grid.counts)
    crops = windows * sum(_one(call, rates) for call in calls(network))
    shared = [sum(rates.seconds(work) for work in shared_work(step, program)) for step in program.steps]
    single = [windows * _one(step.call, rates) for step in program.steps]
    rest = windows * sum(_one(call, rates) for call in rest_calls(program))
    before = [0.0, *accumulate(shared)]
    behind = [sum(single) - done for done in (0.0, *accumulate(single))]
    totals = [rest + one + other for one, other in zip(before, behind, strict=True)]
    best = min(range(len(totals)), key=totals.__getitem__)
    if best == len(program.steps):
        return Forecast(crops, totals[-1], None)
    return Forecast(crops, totals[best], program.steps[best - 1].index if best else 0)


def _one(call: Call, rates: Rates) -> float:
    """One window's share of a call on a large batch."""
    return rates.seconds(window_work(call)) - rates.call
