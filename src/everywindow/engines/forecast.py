"""How long each engine would take, predicted, and how much the exact one should share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any

import torch

from everywindow.costing import calls
from everywindow.engines.exact import projected_peak
from everywindow.engines.rates import Rates, rates_for
from everywindow.geometry import Span, WindowGrid, rectangles
from everywindow.graph import Network
from everywindow.ops import Call
from everywindow.sharing import Program, program_for, rest_calls, shared_work, window_work

BLOCK_CALLS = 12
"""Calls beside the one that multiplies, for each block that a local op runs on."""


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


def forecast(network: Network, grid: WindowGrid, device: torch.device, dtype: torch.dtype, limit: int) -> Forecast:
    """The prediction for an image, from the rates that were measured on this device.

    Made once for a captured network, image size and limit of memory in bytes, for the rectangles that the limit cuts
    the windows into. Where to stop sharing: wherever the sum of what is shared before and what is done window by window
    behind is least.
    """
    kept: dict[Any, Forecast] = network.kept.setdefault("forecasts", {})
    cut = Counter(tuple(stop - first for first, stop in spans) for spans in _cut(network, grid, dtype, limit))
    key = (grid, device, dtype, torch.get_num_threads(), tuple(sorted(cut.items())))
    if key not in kept:
        kept[key] = _forecast(network, grid, cut, rates_for(device, dtype, torch.get_num_threads()))
    return kept[key]


def _cut(network: Network, grid: WindowGrid, dtype: torch.dtype, limit: int) -> list[tuple[Span, ...]]:
    """The rectangles, where all is shared that can be."""

    @cache
    def fits(counts: tuple[int, ...]) -> bool:
        return projected_peak(program_for(network, counts, grid.stride), dtype.itemsize) <= limit

    return rectangles(grid.counts, fits)


def _forecast(network: Network, grid: WindowGrid, cut: Mapping[tuple[int, ...], int], rates: Rates) -> Forecast:
    one_by_one = sum(_one(call, rates) for call in calls(network))
    programs = [(program_for(network, counts, grid.stride), number) for counts, number in cut.items()]
    order = sorted({step.index for program, _ in programs for step in program.steps})
    totals = [sum(number * _seconds(program, last, rates) for program, number in programs) for last in (0, *order)]
    best = min(range(len(totals)), key=totals.__getitem__)
    share = None if best == len(order) else (0, *order)[best]
    return Forecast(grid.total * one_by_one, totals[best], share)


def _seconds(program: Program, last: int, rates: Rates) -> float:
    """Seconds for a rectangle of which the calls up to the one of index ``last`` are shared."""
    windows = prod(program.windows)
    seconds = sum(windows * _one(call, rates) + rates.call for call in rest_calls(program))
    for step in program.steps:
        if step.index <= last:
            handling = BLOCK_CALLS * len(step.how.moves.blocks) * rates.call if step.how.moves is not None else 0.0
            seconds += handling + sum(rates.seconds(work) for work in shared_work(step, program))
        else:
            seconds += windows * _one(step.call, rates) + rates.call
    return seconds


def _one(call: Call, rates: Rates) -> float:
    """One window's share of a call on a large batch."""
    return rates.seconds(window_work(call)) - rates.call
