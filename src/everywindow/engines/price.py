"""What each mode costs for an image, before it runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import torch

from everywindow.convert import FullyConvolutional, conversion_of
from everywindow.costing import LayerCost, calls, crops_macs, fcn_macs, layer_costs, window_macs, window_peak_bytes
from everywindow.engines.choose import Choice, choose
from everywindow.engines.crops import windows_at_a_time
from everywindow.engines.exact import plan_batches
from everywindow.engines.fcn import plan_tiles
from everywindow.engines.forecast import Forecast, forecast
from everywindow.engines.layers import layer_plans
from everywindow.engines.memory import SCRATCH, largest_batch
from everywindow.engines.prepare import Prepared, network_of, unproved
from everywindow.engines.rates import rates_known
from everywindow.errors import InputError
from everywindow.geometry import WindowGrid, check_step, times
from everywindow.graph import Network
from everywindow.sharing import Program, exact_macs, program_for, program_macs, rest_calls, shared_work, stand_ins

MOST_WINDOWS = 10**12
"""Windows of an image, at most: the plan is a list of the parts that they are computed in."""

USUAL_SIZE = 384
"""Pixels per axis of the picture whose cost is told where nobody says how large images are."""


def usual_size(window: tuple[int, ...]) -> tuple[int, ...]:
    """Size of the image whose cost is told where nobody says how large images are.

    Of volumes and recordings the window alone says what is usual.

    >>> usual_size((224, 224)), usual_size((16, 16, 8))
    ((448, 448), (32, 32, 16))
    """
    least = USUAL_SIZE if len(window) == 2 else 0
    return tuple(max(least, 2 * length) for length in window)


@dataclass(frozen=True)
class ModeCost:
    """What a mode costs for an image.

    Attributes:
        mode: ``"crops"``, ``"fcn"`` or ``"exact"``.
        macs: mult-adds for the whole image at once; in ``exact`` with everything shared that can be.
        planned_macs: those of the plan that a scan follows: windows in rectangles or tiles where memory asks for that,
            no pixels that no window covers, and in ``exact``, once seconds are predicted, no more shared than is worth
            it. None where memory is too small.
        seconds: predicted; None where no prediction was made.
        peak_bytes: projected; of ``crops`` with the largest batch that may be tried. None where memory is too small.
        engine: what a scan runs in this mode; ``exact`` may take any of the three.
        reason: why that one.
    """

    mode: str
    macs: int
    planned_macs: int | None = None
    seconds: float | None = None
    peak_bytes: int | None = None
    engine: str = ""
    reason: str = ""


def priced_windows(
    image_size: tuple[int, ...], window: tuple[int, ...], stride: tuple[int, ...] | None, own: tuple[int, ...]
) -> WindowGrid:
    """The windows of an image that is only thought of; ``own`` is the stride where none was asked for.

    Raises:
        InputError: the image is smaller than the window, or than the stride, or has too many windows.
    """
    if any(size < least for size, least in zip(image_size, window, strict=True)):
        why = f"{times(image_size)} pixels are smaller than the window of {times(window)}"
        raise InputError("image_size", why, "give a larger one")
    check_step(stride, image_size)
    grid = WindowGrid(image_size, window, stride or own)
    if grid.total > MOST_WINDOWS:
        why = f"{times(image_size)} pixels at stride {times(grid.stride)} are {grid.total:,} windows; "
        raise InputError(
            "image_size", f"{why}costs are told of up to {MOST_WINDOWS:,}", "give a part of it, or a larger stride"
        )
    return grid


def mode_costs(prepared: Prepared, grid: WindowGrid, *, limit: int, predict: bool | None = None) -> dict[str, ModeCost]:
    """The cost of each mode that the network has, ``crops`` first.

    Args:
        prepared: the network, captured.
        grid: the windows.
        limit: bytes that values may take.
        predict: whether to predict seconds. This takes the device's rates, which are measured once (some seconds of
            work); by default seconds are predicted where they have been.

    Raises:
        InputError: the limit is too small for a window by itself, as a scan would say.
    """
    network = network_of(prepared)
    largest_batch(limit, window_peak_bytes(network), f"a window of {times(grid.window)}")
    predicted = _forecast(prepared, network, grid, limit, predict)
    found = {"crops": _crops(network, prepared, grid, limit, predicted)}
    fcn = conversion_of(network, grid.stride)
    if fcn is not None:
        found["fcn"] = _fcn(fcn, prepared, grid, limit, predicted)
    choice = choose(prepared, grid, "exact", limit) if predicted is not None else None
    found["exact"] = _exact(network, prepared, grid, limit, choice, found)
    return found


def priced_layers(prepared: Prepared, grid: WindowGrid) -> tuple[LayerCost, ...]:
    """The layers, with how windows share each and its mult-adds for the image in each mode.

    Where one of several outputs is wanted, ``crops`` runs the layers of the others too: it calls the network as it is.
    """
    network = network_of(prepared)
    rows = layer_costs(network.as_run)
    fcn = conversion_of(network, grid.stride)
    one_pass: Counter[str] = Counter()
    for size in fcn.maps if fcn is not None else ():
        one_pass[size.layer] += size.macs_for(grid)
    proved = unproved(prepared) is None
    parts = stand_ins(network, grid) if proved else ()
    programs = [(weight, program_for(network, counts, grid.stride)) for weight, counts in parts]
    shared = _shared_macs(programs)
    hows = {plan.layer: plan.kind for _, program in programs[-1:] for plan in layer_plans(program)}
    needed = {call.layer for call in calls(network)}

    def priced(row: LayerCost) -> LayerCost:
        crops = row.macs * grid.total
        macs = {"crops": crops}
        if fcn is not None:
            macs["fcn"] = one_pass[row.layer]
        macs["exact"] = shared.get(row.layer, 0) if proved else crops
        how = hows.get(row.layer, "per window") if row.layer in needed else "left out"
        return replace(row, how=how, image_macs=macs)

    return tuple(map(priced, rows))


def _forecast(
    prepared: Prepared, network: Network, grid: WindowGrid, limit: int, predict: bool | None
) -> Forecast | None:
    if unproved(prepared) is not None or predict is False:
        return None
    if predict is None and not rates_known(prepared.device, prepared.dtype, torch.get_num_threads(), len(grid.window)):
        return None
    return forecast(network, grid, prepared.device, prepared.dtype, limit)


def _crops(network: Network, prepared: Prepared, grid: WindowGrid, limit: int, predicted: Forecast | None) -> ModeCost:
    each = window_peak_bytes(network)
    batch = 1 if unproved(prepared) is not None else min(network.most, windows_at_a_time(grid, limit, each))
    peak = int(batch * each * SCRATCH)
    macs = crops_macs(network, grid)
    seconds = predicted.crops if predicted is not None else None
    return ModeCost("crops", macs, macs, seconds, peak, "crops", "asked for")


def _fcn(
    fcn: FullyConvolutional,
    prepared: Prepared,
    grid: WindowGrid,
    limit: int,
    predicted: Forecast | None,
) -> ModeCost:
    macs = fcn_macs(fcn.maps, grid)
    whole = ModeCost("fcn", macs, engine="fcn", reason="asked for")
    try:
        tiles, peak = plan_tiles(fcn, grid, limit, prepared.dtype.itemsize)
    except InputError:
        return whole
    planned = sum(fcn_macs(fcn.maps, fcn.geometry.grid(tile.size)) for tile in tiles)
    seconds = predicted.one_pass(planned) if predicted is not None else None
    return replace(whole, planned_macs=planned, seconds=seconds, peak_bytes=peak)


def _exact(
    network: Network,
    prepared: Prepared,
    grid: WindowGrid,
    limit: int,
    choice: Choice | None,
    others: Mapping[str, ModeCost],
) -> ModeCost:
    """The cost of what the mode ``exact`` runs."""
    macs = exact_macs(network, grid)
    doubt = unproved(prepared)
    engine, reason = ("crops", f"windows one by one: {doubt}") if doubt is not None else ("exact", "")
    if choice is not None:
        engine, reason = choice.engine, choice.reason
    if engine != "exact":
        return replace(others[engine], mode="exact", macs=macs, reason=reason)
    share = None if choice is None else choice.share
    whole = ModeCost("exact", macs, engine=engine, reason=reason)
    try:
        batches = plan_batches(
            network,
            grid,
            limit,
            prepared.dtype.itemsize,
            lambda counts: program_for(network, counts, grid.stride, share),
        )
    except InputError:
        return whole
    sizes = [tuple(stop - first for first, stop in spans) for spans in batches.rectangles]
    planned = sum(program_macs(batches.programs[size]) for size in sizes)
    seconds = choice.forecast.exact if choice is not None and choice.forecast is not None else None
    return replace(whole, planned_macs=planned, seconds=seconds, peak_bytes=batches.peak)


def _shared_macs(programs: Sequence[tuple[int, Program]]) -> Counter[str]:
    """Mult-adds of programs by layer, each so many times."""
    found: Counter[str] = Counter()
    for weight, program in programs:
        for step in program.steps:
            found[step.call.layer] += weight * sum(work.macs for work in shared_work(step, program))
        windows = weight * prod(program.windows)
        for call in rest_calls(program):
            found[call.layer] += windows * window_macs(call)
    return found
