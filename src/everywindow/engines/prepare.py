"""A network as the engines need it: captured for a device and a dtype."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import torch
from torch import nn

from everywindow.convert import FullyConvolutional
from everywindow.costing import window_peak_bytes
from everywindow.errors import CaptureError, ConversionError, IndependenceError, InputError
from everywindow.geometry import Reason
from everywindow.graph import Network, Output, captured, copied, only, precision, records, using


@dataclass(frozen=True)
class Prepared:
    """A network as the engines need it.

    Attributes:
        module: on the device and in the dtype of the scan.
        network: its graph; None where it cannot be captured.
        why_not: why it cannot be captured; None where it is.
        device, dtype: of the scan.
        original: the module in its own dtype, where the scan's is a coarser one.
        capture_seconds: how long the capture took.
    """

    module: nn.Module
    network: Network | None
    why_not: Reason | None
    device: torch.device
    dtype: torch.dtype
    original: nn.Module | None = None
    capture_seconds: float = 0.0


def prepare(
    module: nn.Module,
    window: tuple[int, ...],
    channels: int,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
) -> Prepared:
    """Capture a network for a device and dtype (by default its own).

    Raises:
        InputError: no such device or dtype, or the network does not take such a window.
        IndependenceError: the network mixes the items of a batch, or gives another result each time.
    """
    own_dtype, own_device = precision(module, window, channels)
    wanted = _device(device, own_device), _dtype(dtype, own_dtype)
    coarser = torch.finfo(wanted[1]).eps > torch.finfo(own_dtype).eps
    original = module if coarser else None
    if wanted != (own_device, own_dtype):
        with using(module):
            module = copied(module).to(device=wanted[0], dtype=wanted[1])
    started = time.perf_counter()
    try:
        network: Network | None = captured(module, window, channels)
        why_not = None
    except IndependenceError:
        raise
    except CaptureError as error:
        network, why_not = None, Reason(error.what, error.why)
    if network is not None:
        records(network)
    return Prepared(module, network, why_not, *wanted, original, time.perf_counter() - started)


def for_output(prepared: Prepared, output: Output) -> Prepared:
    """With the graph of one of the module's several outputs alone.

    Raises:
        InputError: no such output, or one that no image changes.
    """
    if prepared.network is None:
        return prepared
    with using(prepared.module):
        return replace(prepared, network=only(prepared.network, output))


def network_of(prepared: Prepared) -> Network:
    """The captured network.

    Raises:
        ConversionError: it cannot be captured.
    """
    if prepared.network is None:
        name, why = prepared.why_not or ("network", "it cannot be captured")
        raise ConversionError(name, why, "scan it: its cost cannot be counted before")
    return prepared.network


def default_stride(prepared: Prepared, window: tuple[int, ...]) -> tuple[int, ...]:
    """The network's stride, or that of its conversion; the window where the network cannot be captured."""
    if isinstance(prepared.module, FullyConvolutional):
        return prepared.module.geometry.stride
    return records(prepared.network).network_stride if prepared.network is not None else window


def unproved(prepared: Prepared) -> str | None:
    """Why windows may not share a batch; None where the graph proves that they may."""
    reason = prepared.why_not if prepared.network is None else records(prepared.network).unproved
    return None if reason is None else f"{reason.layer}: {reason.why}"


def most_together(prepared: Prepared) -> int:
    """Windows that may share a batch of the original network."""
    return 1 if prepared.network is None or unproved(prepared) is not None else prepared.network.most


def bytes_per_window(prepared: Prepared) -> int:
    """Bytes of values that a window takes in the original network; 0 where that is not known."""
    return 0 if prepared.network is None else window_peak_bytes(prepared.network)


def _device(given: str | torch.device | None, own: torch.device) -> torch.device:
    if given is None:
        if own.type == "meta":
            raise InputError("device", "the network's weights are on 'meta', which holds no values", "load them first")
        return own
    try:
        device = torch.device(given)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        # Of a name that is none torch lists twenty that hardly anybody has.
        unknown = "device type at start of device string" in str(error)
        reason = "no such device; a GPU is 'cuda'" if unknown else f"{str(error).splitlines()[0]:.100}"
        raise InputError("device", f"{given!r} cannot be used ({reason})", "use 'cpu' or leave it out") from error
    if device.type == "meta":
        raise InputError("device", "'meta' cannot be used (it holds no values)", "use 'cpu' or leave it out")
    return device


def _dtype(given: str | torch.dtype | None, own: torch.dtype) -> torch.dtype:
    if given is None:
        return own
    found = getattr(torch, given, None) if isinstance(given, str) else given
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise InputError("dtype", f"{given!r} is no floating-point type", "use 'float32' or 'float64'")
    return found
