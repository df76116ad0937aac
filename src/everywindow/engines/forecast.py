"""How long each engine would take, predicted, and how much the exact one should share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from math import inf, prod
from typing import Any

import torch

from everywindow.costing import calls, crops_macs, window_peak_bytes
from everywindow.engines.crops import windows_at_a_time
from everywindow.engines.exact import Batches, plan_batches
from everywindow.engines.rates import Rates, rates_for
from everywindow.errors import InputError
from everywindow.geometry import WindowGrid
from everywindow.graph import Network
from everywindow.ops import Call
from everywindow.sharing import Program, program_for, rest_calls, shared_work, window_work

BLOCK_CALLS = 50
"""What each block that a local op runs on costs for being gathered and put in its place, in calls."""

RECTANGLE_CALLS = 120
"""What each rectangle costs beside its blocks and batches, in calls: weights laid out anew, tables, scores put in."""

BATCH_CALLS = 12
"""What a batch of windows costs for each of its calls, and for being made, in calls of the least kind."""


@dataclass(frozen=True)
class Forecast:
    """Predicted seconds.

    Attributes:
        crops: all windows one by one.
        exact: with the best share of the calls shared; infinite where the limit of memory is too small.
        share: how many of the calls that can be shared should be; None for all.
        computing: of the crops' seconds those that do not depend on the size of a batch.
        batch: what a batch costs beside.
        macs: mult-adds of the crops.
    """

    crops: float
    exact: float
    share: int | None
    computing: float
    batch: float
    macs: int

    def one_pass(self, macs: int) -> float:
        """Seconds of one pass of so many mult-adds, at the rate of the crops."""
        return self.computing * (macs / max(1, self.macs)) + self.batch


def forecast(network: Network, grid: WindowGrid, device: torch.device, dtype: torch.dtype, limit: int) -> Forecast:
    """The prediction for an image, from the rates that were measured on this device.

    Made once for a captured network, image size, and the rectangles and batches that the limit of memory in bytes cuts
    the windows into. Where to stop sharing: wherever the sum of what is shared before and what is done window by window
    behind is least.
    """
    kept: dict[Any, Forecast] = network.kept.setdefault("forecasts", {})
    everything = _batches(network, grid, dtype, limit, None)
    at_a_time = windows_at_a_time(grid, limit, window_peak_bytes(network))
    cut = None if everything is None else (everything.batch, tuple(sorted(_sizes(everything).items())))
    key = (grid, device, dtype, torch.get_num_threads(), at_a_time, cut)
    if key not in kept:
        rates = rates_for(device, dtype, torch.get_num_threads(), len(grid.window))
        one_by_one = list(calls(network.as_run))
        computing = grid.total * sum(_one(call, rates) for call in one_by_one)
        crops = computing + _handling(grid.total, at_a_time, len(one_by_one), rates)
        exact, share = (inf, None) if everything is None else _best(everything, rates)
        if share is not None:
            fewer = _batches(network, grid, dtype, limit, share)
            exact = inf if fewer is None else _total(fewer, None, rates)
        handling = _handling(1, 1, len(one_by_one), rates)
        kept[key] = Forecast(crops, exact, share, computing, handling, crops_macs(network, grid))
    return kept[key]


def _batches(network: Network, grid: WindowGrid, dtype: torch.dtype, limit: int, share: int | None) -> Batches | None:
    """How the exact engine cuts the windows; None where not even one fits."""
    build = partial(program_for, network, stride=grid.stride, share=share)
    try:
        return plan_batches(network, grid, limit, dtype.itemsize, build)
    except InputError:
        return None


def _sizes(batches: Batches) -> Mapping[tuple[int, ...], int]:
    """How many rectangles there are of each size."""
    return Counter(tuple(stop - first for first, stop in spans) for spans in batches.rectangles)


def _best(batches: Batches, rates: Rates) -> tuple[float, int | None]:
    """The least seconds, and how many calls are shared then, one at least; None for all."""
    order = sorted({step.index for program in batches.programs.values() for step in program.steps})
    totals = {last: _total(batches, last, rates) for last in order} or {0: _total(batches, None, rates)}
    best = min(totals, key=totals.__getitem__)
    return totals[best], None if best == max(totals) else best


def _total(batches: Batches, last: int | None, rates: Rates) -> float:
    sizes = _sizes(batches)
    return sum(number * _seconds(batches.programs[size], batches.batch, last, rates) for size, number in sizes.items())


def _seconds(program: Program, batch: int, last: int | None, rates: Rates) -> float:
    """Seconds for a rectangle of which the calls up to the one of index ``last`` are shared."""
    windows = prod(program.windows)
    behind = list(rest_calls(program))
    seconds = RECTANGLE_CALLS * rates.call
    for step in program.steps:
        if last is None or step.index <= last:
            handling = BLOCK_CALLS * len(step.how.moves.blocks) * rates.call if step.how.moves is not None else 0.0
            seconds += handling + sum(rates.seconds(work) for work in shared_work(step, program))
        else:
            behind.append(step.call)
    seconds += windows * sum(_one(call, rates) for call in behind)
    return seconds + _handling(windows, batch, len(behind), rates)


def _handling(windows: int, batch: int, each: int, rates: Rates) -> float:
    """What windows cost for being run in batches, through so many calls each."""
    return -(-windows // batch) * BATCH_CALLS * (each + 1) * rates.call


def _one(call: Call, rates: Rates) -> float:
    """One window's share of a call on a large batch."""
    return rates.seconds(window_work(call)) - rates.call
