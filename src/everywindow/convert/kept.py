"""Conversions that share the captured network's weights, kept with it: a second scan need not convert again."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from everywindow.convert.conversion import fully_convolutional
from everywindow.convert.network import FullyConvolutional
from everywindow.convert.reuse import reusing_memory
from everywindow.errors import ConversionError
from everywindow.graph import Network

MOST_STRIDES = 8
"""Conversions that are kept for one network."""

_CONVERTED: WeakKeyDictionary[Network, dict[tuple[int, ...], FullyConvolutional]] = WeakKeyDictionary()
_REUSING: WeakKeyDictionary[FullyConvolutional, FullyConvolutional] = WeakKeyDictionary()


def converted(network: Network, stride: tuple[int, ...]) -> FullyConvolutional:
    """:func:`fully_convolutional` with shared weights, made once per stride.

    Raises:
        ConversionError: as there.
    """
    kept = _CONVERTED.setdefault(network, {})
    if stride not in kept:
        if len(kept) >= MOST_STRIDES:
            kept.clear()
        kept[stride] = fully_convolutional(network, stride, copy=False)
    return kept[stride]


def conversion_of(network: Network, stride: tuple[int, ...]) -> FullyConvolutional | None:
    """:func:`converted`, or None where the network has no plain conversion."""
    try:
        return converted(network, stride)
    except ConversionError:
        return None


def for_inference(fcn: FullyConvolutional) -> FullyConvolutional:
    """:func:`reusing_memory`, made once per conversion."""
    if fcn not in _REUSING:
        _REUSING[fcn] = reusing_memory(fcn).eval()
    return _REUSING[fcn]
