"""What would cost less: other strides, a larger window, no padding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from everywindow.convert import conversion_of
from everywindow.costing import crops_macs, fcn_macs
from everywindow.engines.prepare import Prepared, unproved
from everywindow.errors import EverywindowError
from everywindow.geometry import Value, WindowGrid, times
from everywindow.graph import Network, Output, captured_apart, only, records
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
    """Another setting, and what it costs.

    Attributes:
        what: ``"stride"``, ``"window"`` or ``"unpadded"``.
        mode: the mode that it is for.
        value: that stride or window, in pixels per axis; empty for ``"unpadded"``.
        windows: windows of the image then.
        macs: mult-adds for all of them.
        gain: how many times less a window costs: than at the wanted stride; for ``"window"`` than such a window by
            itself; for ``"unpadded"`` than in the network as it is.
        before: for ``"window"`` the gain with the window as it is.
    """

    what: str
    mode: str
    value: tuple[int, ...]
    windows: int
    macs: int
    gain: float
    before: float = 1.0

    def __str__(self) -> str:
        each = f"{self.gain:.3g} times fewer mult-adds per window"
        if self.what == "stride":
            return (
                f"{self.mode}: stride {times(self.value)} needs {each}, and no more in all for {self.windows:,} windows"
            )
        if self.what == "window":
            return (
                f"{self.mode}: with windows of {times(self.value)} px at this stride, on an image {LARGER} times as "
                f"large, crops/mode would be {self.gain:.3g} (here {self.before:.3g})"
            )
        return f"{self.mode}: without padding inside the network windows would share everything: about {each}"


def advice(prepared: Prepared, grid: WindowGrid, output: Output = None) -> tuple[Advice, ...]:
    """What would cost less than the wanted setting; see :class:`Advice`.

    Strides are named where a window costs less and all windows together cost no more. Nothing is run. Another window
    means another capture, which takes about as long as the first one.

    Args:
        prepared: the network, with the wanted output alone.
        grid: the windows.
        output: which of the module's outputs that is.
    """
    network = prepared.network
    if network is None or unproved(prepared) is not None or grid.total == 1:
        return ()
    return (*_strides(network, grid), *_unpadded(network, grid), *_window(prepared, grid, output))


def _strides(network: Network, grid: WindowGrid) -> Iterator[Advice]:
    grids = [WindowGrid(grid.image_size, grid.window, stride) for stride in _near(network, grid)]
    for mode, count in (("fcn", _fcn), ("exact", exact_macs)):
        wanted = count(network, grid)
        found = []
        for other in grids if wanted else ():
            macs = count(network, other)
            gain = wanted * other.total / grid.total / macs if macs else 0.0
            if macs and macs <= wanted and gain * LESS >= 1:
                found.append(Advice("stride", mode, other.stride, other.total, macs, gain))
        yield from sorted(found, key=lambda one: one.macs / one.windows)[:MOST_STRIDES]


def _near(network: Network, grid: WindowGrid) -> list[tuple[int, ...]]:
    """Multiples of the network's stride near the wanted one, by the same factor on each axis as nearly as can be."""
    steps = records(network).network_stride
    first, step = grid.stride[0], steps[0]
    low, high = (share * first for share in NEAR)
    multiples = sorted(range(step, int(high) + 1, step), key=lambda at: abs(at - first))
    near = [
        tuple(max(1, round(at * wanted / first / own)) * own for wanted, own in zip(grid.stride, steps, strict=True))
        for at in [at for at in multiples if at >= low][: CANDIDATES + 1]
    ]
    return [stride for stride in dict.fromkeys(near) if stride != grid.stride]


def _fcn(network: Network, grid: WindowGrid) -> int:
    """Mult-adds of one pass; 0 where the network has none."""
    fcn = conversion_of(network, grid.stride)
    return 0 if fcn is None else fcn_macs(fcn.maps, grid)


def _unpadded(network: Network, grid: WindowGrid) -> Iterator[Advice]:
    """One pass computes what windows would share if none of its positions saw padding."""
    macs = _fcn(network, grid)
    padded = any(record is not None and not record.exact for value in _values(network) for record in value.axes)
    gain = exact_macs(network, grid) / macs if macs else 0.0
    if padded and gain * LESS >= 1:
        yield Advice("unpadded", "exact", (), grid.total, macs, gain)


def _values(network: Network) -> Iterator[Value]:
    for value in records(network).values.values():
        if value is not None:
            yield from value if isinstance(value, tuple) else (value,)


def _window(prepared: Prepared, grid: WindowGrid, output: Output) -> Iterator[Advice]:
    network = prepared.network
    assert network is not None
    window, size = (tuple(LARGER * length for length in lengths) for lengths in (grid.window, grid.image_size))
    other = WindowGrid(size, window, grid.stride)
    try:
        larger = only(captured_apart(prepared.module, window, network.channels), output)
        crops, macs = crops_macs(larger, other), exact_macs(larger, other)
    except (EverywindowError, RuntimeError):  # the network is for this window alone
        return
    before = crops_macs(network, grid) / max(1, exact_macs(network, grid))
    if macs and crops * LESS >= before * macs:
        yield Advice("window", "exact", window, other.total, macs, crops / macs, before)
