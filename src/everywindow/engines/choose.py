"""Which engine answers a mode, and why."""

from __future__ import annotations

from dataclasses import dataclass
from math import isinf

from everywindow.convert import INSTEAD, FullyConvolutional, conversion_of, converted
from everywindow.costing import fcn_macs
from everywindow.engines.forecast import Forecast, forecast
from everywindow.engines.measured import expected_seconds, measured_seconds
from everywindow.engines.prepare import Prepared, unproved
from everywindow.errors import ConversionError, InputError
from everywindow.geometry import Reason, WindowGrid
from everywindow.graph import Network, one_pass_records

WORTH = 0.93
"""Sharing is taken where it is predicted to need at most this share of the time of the crops."""

ONE_PASS = 2.5
"""One pass, where it is proved equal, is taken before sharing until that is predicted so many times as fast.

It runs in bands with the activations behind its convolutions, which predictions leave out. Of 29 cases (N4, LeNet and
two others, strides of 1 to 40) one pass was the faster one in all with a predicted ratio below that; beyond it gained
0.8 to 1.2 times.
"""


@dataclass(frozen=True)
class Choice:
    """An engine.

    Attributes:
        engine: ``"crops"``, ``"fcn"`` or ``"exact"``.
        reason: why this one.
        fcn: the converted network, for ``fcn``.
        share: how many calls are shared at most, for ``exact``.
        forecast: predicted seconds; None where nothing was predicted.
    """

    engine: str
    reason: str
    fcn: FullyConvolutional | None = None
    share: int | None = None
    forecast: Forecast | None = None


def choose(prepared: Prepared, grid: WindowGrid, mode: str, limit: int) -> Choice:
    """The engine for a mode, within a limit of memory in bytes.

    Raises:
        ConversionError: ``mode="fcn"`` and the network has no plain conversion.
    """
    if mode == "crops":
        return Choice("crops", "asked for")
    if mode == "fcn":
        return Choice("fcn", "asked for", one_pass(prepared, grid.stride))
    if prepared.network is None:
        return Choice("crops", f"windows one by one: {unproved(prepared)}")
    doubt = unproved(prepared)
    if doubt is not None:
        return Choice("crops", f"windows one by one: {doubt}")
    return _exact(prepared, prepared.network, grid, limit)


def _exact(prepared: Prepared, network: Network, grid: WindowGrid, limit: int) -> Choice:
    """The fastest of what is proved to equal the crops."""
    if grid.total == 1:
        return Choice("crops", "there is one window")
    predicted = forecast(network, grid, prepared.device, prepared.dtype, limit)
    known = measured_seconds(network, grid, limit)
    fcn = provably_equal(network, grid.stride)
    guesses = {"crops": predicted.crops, "exact": predicted.exact}
    if fcn is not None:
        guesses["fcn"] = predicted.one_pass(fcn_macs(fcn.maps, grid))
    seconds = expected_seconds(guesses, known)
    crops, exact = seconds["crops"], seconds["exact"]
    if fcn is not None:
        one_pass = seconds["fcn"]
        margin = 1.0 if {"fcn", "exact"} <= known.keys() else ONE_PASS
        if one_pass <= min(crops, margin * exact):
            return Choice("fcn", "one pass is proved to equal the crops", fcn, forecast=predicted)
    if isinf(exact):
        return Choice("crops", "windows one by one: the memory is too small to share anything", forecast=predicted)
    if exact > WORTH * crops:
        why = f"windows one by one: sharing would gain too little ({crops / exact:.2f} times)"
        return Choice("crops", why, forecast=predicted)
    why = f"what windows share is computed once: predicted {crops / exact:.1f} times as fast as the windows one by one"
    return Choice("exact", why, share=predicted.share, forecast=predicted)


def one_pass(prepared: Prepared, stride: tuple[int, ...]) -> FullyConvolutional:
    """The converted network; a module that is one stays as it is, and gives every so many of its windows.

    Raises:
        InputError: the stride is no multiple of that one's.
        ConversionError: the network has no plain conversion.
    """
    module = prepared.module
    if isinstance(module, FullyConvolutional):
        own = module.geometry.stride
        if not any(step % each for step, each in zip(stride, own, strict=True)):
            return module
        raise InputError(
            "stride",
            f"the converted network is for stride {own}, and {stride} is no multiple of it",
            "give one, or convert the original for another stride",
        )
    if prepared.network is None:
        raise ConversionError(*(prepared.why_not or Reason("network", "it cannot be captured")), INSTEAD)
    return converted(prepared.network, stride)


def provably_equal(network: Network, stride: tuple[int, ...]) -> FullyConvolutional | None:
    """The converted network, where its scores are proved to be those of the crops."""
    if not one_pass_records(network).verdict.exact:
        return None
    return conversion_of(network, stride)
