"""Seconds that an engine is predicted to take, whether or not a scan had to predict them."""

from __future__ import annotations

from math import isfinite

from everywindow.convert import conversion_of
from everywindow.costing import fcn_macs
from everywindow.engines.forecast import forecast
from everywindow.engines.memory import memory_limit
from everywindow.engines.prepare import Prepared, default_stride, for_output, unproved
from everywindow.geometry import WindowGrid
from everywindow.graph import Output, using


def windows_of(
    prepared: Prepared,
    image_size: tuple[int, ...],
    window: tuple[int, ...],
    stride: tuple[int, ...] | None,
    output: Output = None,
) -> WindowGrid:
    """The windows that a scan of an image takes; at the stride of the network for that output by default."""
    return WindowGrid(image_size, window, stride or default_stride(for_output(prepared, output), window))


def predicted_seconds(
    prepared: Prepared, grid: WindowGrid, engine: str, output: Output = None, memory: int | str | None = None
) -> float | None:
    """How long an engine is predicted to take, from the rates of the device alone.

    None where the network cannot be captured, where it is not proved that its windows may share a batch, and for an
    engine that it does not have or that the memory is too small for.
    """
    if prepared.network is None or unproved(prepared) is not None:
        return None
    network = for_output(prepared, output).network
    assert network is not None
    with using(prepared.module):
        found = forecast(network, grid, prepared.device, prepared.dtype, memory_limit(memory, prepared.device))
        if engine != "fcn":
            seconds = found.crops if engine == "crops" else found.exact
            return seconds if isfinite(seconds) else None
        fcn = conversion_of(network, grid.stride)
    return None if fcn is None else found.one_pass(fcn_macs(fcn.maps, grid))
