"""What would cost less: other strides, a larger window, no padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from everywindow.costing import crops_macs
from everywindow.engines.prepare import Prepared, unproved
from everywindow.errors import EverywindowError
from everywindow.geometry import WindowGrid, times
from everywindow.graph import Network, captured, records
from everywindow.sharing import exact_macs

LESS = 0.95
"""A stride is worth a word where a window costs at most this share of what it costs at the wanted one."""

MOST_STRIDES = 3

NEAR = (0.5, 1.5)
"""Strides that are near: between so many times the wanted one."""

CANDIDATES = 6
"""Strides that are counted, at most."""

LARGER = 2
"""How many times as large a window is looked at."""


@dataclass(frozen=True)
class Advice:
    """Another setting, and what it costs in the mode ``exact``.

    Attributes:
        what: ``"stride"``, ``"window"`` or ``"unpadded"``.
        value: that stride or window, in pixels per axis; empty for ``"unpadded"``.
        windows: windows of the image then.
        macs: mult-adds for all of them.
        gain: mult-adds per window over these: of the wanted stride; for ``"window"`` of that window by itself; for
            ``"unpadded"`` of the network as it is.
    """

    what: str
    value: tuple[int, ...]
    windows: int
    macs: int
    gain: float

    def __str__(self) -> str:
        each = f"{self.gain:.2f} times less per window"
        if self.what == "stride":
            return f"stride {times(self.value)} would cost {each}, in all {self.macs:,} for {self.windows:,} windows"
        if self.what == "window":
            return (
                f"with windows of {times(self.value)} px, on an image as many times as large, sharing saves "
                f"{self.gain:.2f} times per window"
            )
        return f"without padding inside the network all would be shared: about {each}"


def advice(prepared: Prepared, grid: WindowGrid) -> tuple[Advice, ...]:
    """Strides near the wanted one at which no more is computed in all and less for each window; see :class:`Advice`.

    Nothing is run. Another window means another capture, which takes about as long as the first.
    """
    network = prepared.network
    if network is None or unproved(prepared) is not None or grid.total == 1:
        return ()
    return (*_strides(network, grid), *_window(prepared, grid))


def _strides(network: Network, grid: WindowGrid) -> list[Advice]:
    wanted = exact_macs(network, grid)
    found = []
    for stride in _near(grid.stride, records(network).network_stride):
        other = WindowGrid(grid.image_size, grid.window, stride)
        macs = exact_macs(network, other)
        gain = (wanted / grid.total) / (macs / other.total) if macs else 1.0
        if macs <= wanted and gain * LESS >= 1:
            found.append(Advice("stride", stride, other.total, macs, gain))
    return sorted(found, key=lambda one: one.macs)[:MOST_STRIDES]


def _near(wanted: Sequence[int], network_stride: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Multiples of the network's stride near the wanted one, the nearest first; the same factor on each axis."""
    first, step = wanted[0], network_stride[0]
    low, high = (int(share * first) for share in NEAR)
    multiples = [at for at in range(step, high + 1, step) if at >= low and at != first]
    for at in sorted(multiples, key=lambda at: abs(at - first))[:CANDIDATES]:
        yield tuple(max(1, at * other // first) for other in wanted)


def _window(prepared: Prepared, grid: WindowGrid) -> list[Advice]:
    network = prepared.network
    assert network is not None
    window, size = (tuple(LARGER * length for length in lengths) for lengths in (grid.window, grid.image_size))
    try:
        larger = captured(prepared.module, window, network.channels)
        other = WindowGrid(size, window, grid.stride)
        crops, macs = crops_macs(larger, other), exact_macs(larger, other)
    except (EverywindowError, RuntimeError):
        return []
    return [Advice("window", window, other.total, macs, crops / max(1, macs))]
