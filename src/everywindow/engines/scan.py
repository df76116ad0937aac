"""From a network and an image to the scores of every window: which mode, which settings, and the run."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from everywindow.convert import FullyConvolutional, converted
from everywindow.costing import crops_macs, fcn_macs, window_peak_bytes
from everywindow.engines.crops import quiet_tf32, run_crops
from everywindow.engines.fcn import run_fcn
from everywindow.engines.memory import memory_limit
from everywindow.engines.output import Output
from everywindow.engines.plan import Plan
from everywindow.errors import CaptureError, ConversionError, IndependenceError, InputError
from everywindow.geometry import Reason, Verdict, WindowGrid
from everywindow.graph import Network, captured, precision, records

MODES = ("crops", "fcn")

EXACT = Verdict(exact=True)


@dataclass(frozen=True)
class Run:
    """A finished scan.

    Attributes:
        scores: ``[K, *counts]``, on the CPU.
        verdict: whether they equal the crops'.
        plan: how it was run.
        grid: the windows.
        seconds: wall-clock time, capture and conversion not counted.
    """

    scores: Tensor
    verdict: Verdict
    plan: Plan
    grid: WindowGrid
    seconds: float


@dataclass(frozen=True)
class Prepared:
    """A network as the engines need it.

    Attributes:
        module: on the device and in the dtype of the scan.
        network: its graph; None where it cannot be captured.
        why_not: why it cannot be captured.
        device, dtype: of the scan.
    """

    module: nn.Module
    network: Network | None
    why_not: str
    device: torch.device
    dtype: torch.dtype


def prepare(
    module: nn.Module,
    window: tuple[int, ...],
    channels: int,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
) -> Prepared:
    """Capture a network for a device and dtype (by default its own).

    Raises:
        InputError: no such device or dtype.
        IndependenceError: the network mixes the items of a batch, or gives another result each time.
    """
    own_dtype, own_device = precision(module)
    wanted = _device(device, own_device), _dtype(dtype, own_dtype)
    if wanted != (own_device, own_dtype):
        module = copy.deepcopy(module).to(device=wanted[0], dtype=wanted[1])
    try:
        network: Network | None = captured(module, window, channels)
        why_not = ""
    except IndependenceError:
        raise
    except CaptureError as error:
        network, why_not = None, str(error)
    if network is not None:
        records(network)
    return Prepared(module, network, why_not, *wanted)


def run(
    prepared: Prepared,
    pixels: Tensor,
    window: tuple[int, ...],
    stride: tuple[int, ...] | None,
    *,
    mode: str | None = None,
    output: Output = None,
    memory: int | str | None = None,
    progress: bool | None = None,
) -> Run:
    """Score every window of ``pixels`` ``[C, *size]``.

    Without a mode: one pass where it is proved to equal the crops and costs no more, the crops otherwise.

    Raises:
        InputError: an argument that cannot be used.
        ConversionError, CaptureError: ``mode="fcn"`` and the network has no plain conversion.
    """
    if mode not in (None, *MODES):
        raise InputError("mode", f"{mode!r} is not built into this version", f"use one of {', '.join(MODES)}")
    stride = stride or default_stride(prepared, window)
    grid = WindowGrid(tuple(pixels.shape[1:]), window, stride)
    pixels = pixels.to(prepared.device, prepared.dtype)
    limit = memory_limit(memory, prepared.device)
    choice = _choose(prepared, grid, mode)
    with quiet_tf32():
        started = time.perf_counter()
        finished = _by_fcn(prepared, choice, pixels, grid, limit, output, progress) if choice.fcn else None
        finished = finished or _by_crops(prepared, choice, pixels, grid, limit, output, progress)
        return replace(finished, seconds=time.perf_counter() - started)


def default_stride(prepared: Prepared, window: tuple[int, ...]) -> tuple[int, ...]:
    """The network's stride; the window where the network cannot be captured."""
    return records(prepared.network).network_stride if prepared.network is not None else window


@dataclass(frozen=True)
class _Choice:
    """The mode, why it is taken, and the converted network that it needs."""

    reason: str
    fcn: FullyConvolutional | None = None


def _choose(prepared: Prepared, grid: WindowGrid, mode: str | None) -> _Choice:
    if mode == "crops":
        return _Choice("asked for")
    if prepared.network is None:
        if mode == "fcn":
            raise ConversionError("network", prepared.why_not, "mode='crops' scores each window by itself")
        return _Choice(prepared.why_not)
    if mode == "fcn":
        return _Choice("asked for", converted(prepared.network, grid.stride))
    verdict = records(prepared.network).verdict
    if not verdict.exact:
        return _Choice(f"one pass is {verdict.summary()}")
    try:
        fcn = converted(prepared.network, grid.stride)
    except ConversionError as error:
        return _Choice(f"one pass is not possible: {error.what}: {error.why}")
    if fcn_macs(fcn.maps, grid) > crops_macs(prepared.network, grid):
        return _Choice("windows this far apart cost less one by one")
    return _Choice("one pass is proved to equal the crops", fcn)


def _by_fcn(
    prepared: Prepared,
    choice: _Choice,
    pixels: Tensor,
    grid: WindowGrid,
    limit: int,
    output: Output,
    progress: bool | None,
) -> Run:
    assert choice.fcn is not None
    assert prepared.network is not None
    seen = records(prepared.network).receptive_field
    scores, tiles, memory_format = run_fcn(
        choice.fcn, prepared.module, pixels, seen, limit=limit, output=output, progress=progress
    )
    macs = sum(fcn_macs(choice.fcn.maps, choice.fcn.geometry.grid(tile.size)) for tile in tiles)
    plan = _plan(prepared, "fcn", choice.reason, 1, memory_format, len(tiles), macs)
    return Run(scores.cpu(), choice.fcn.verdict, plan, grid, 0.0)


def _by_crops(
    prepared: Prepared,
    choice: _Choice,
    pixels: Tensor,
    grid: WindowGrid,
    limit: int,
    output: Output,
    progress: bool | None,
) -> Run:
    unproved = _unproved(prepared)
    scores, (batch, memory_format) = run_crops(
        prepared.module,
        pixels,
        grid,
        batched=unproved is None,
        window_bytes=0 if prepared.network is None else window_peak_bytes(prepared.network),
        limit=limit,
        output=output,
        progress=progress,
    )
    macs = None if prepared.network is None else crops_macs(prepared.network, grid)
    notes = () if unproved is None else (f"one window at a time: {unproved}",)
    plan = replace(_plan(prepared, "crops", choice.reason, batch, memory_format, 0, macs), notes=notes)
    return Run(scores.cpu(), EXACT, plan, grid, 0.0)


def _unproved(prepared: Prepared) -> str | None:
    """Why windows may not share a batch; None where the graph proves that they may."""
    if prepared.network is None:
        return prepared.why_not
    reason: Reason | None = records(prepared.network).unproved
    return None if reason is None else f"{reason.layer}: {reason.why}"


def _plan(
    prepared: Prepared, mode: str, reason: str, batch: int, memory_format: str, tiles: int, macs: int | None
) -> Plan:
    dtype = str(prepared.dtype).removeprefix("torch.")
    return Plan(mode, reason, str(prepared.device), dtype, batch, memory_format, tiles, torch.get_num_threads(), macs)


def _device(given: str | torch.device | None, own: torch.device) -> torch.device:
    if given is None:
        return own
    try:
        device = torch.device(given)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError("device", f"{given!r} cannot be used ({reason})", "use 'cpu' or leave it out") from error
    return device


def _dtype(given: str | torch.dtype | None, own: torch.dtype) -> torch.dtype:
    if given is None:
        return own
    found = getattr(torch, given, None) if isinstance(given, str) else given
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise InputError("dtype", f"{given!r} is no floating-point type", "use 'float32' or 'float64'")
    return found
