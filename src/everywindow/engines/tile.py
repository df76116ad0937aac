"""Tiles of an image, scored under settings that are fixed: the same pixels give the same bytes, in any process."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import prod
from typing import Protocol

import torch
from torch import Tensor

from everywindow.convert import FullyConvolutional
from everywindow.costing import crops_macs, fcn_macs
from everywindow.engines.crops import Crops
from everywindow.engines.exact import Batches, Sharing, plan_exact
from everywindow.engines.fcn import OnePass, plan_tiles
from everywindow.engines.layers import layer_plans
from everywindow.engines.memory import SCRATCH
from everywindow.engines.pages import keep_pages
from everywindow.engines.plan import Plan
from everywindow.engines.prepare import Prepared, bytes_per_window, for_output
from everywindow.engines.settings import Settings, output_of, settled_pass
from everywindow.engines.verdicts import verdict_of
from everywindow.errors import InputError
from everywindow.geometry import Seen, Span, Tile, Verdict, WindowGrid, tile_of, times
from everywindow.graph import Network, Output, evaluating, output_nodes, using

MOST_SIZES = 64
"""Sizes of tiles whose plans are kept."""


class TileEngine:
    """Scores tiles of an image, one at a time, from one thread.

    What does not depend on the tile is made once: the weights as the engine takes them, and the plan for each size of
    tile. So the weights must not change while the engine is in use.

    Attributes:
        settings: what decides the arithmetic.
        verdict: whether the scores equal the crops'.

    Args:
        prepared: the network.
        window, stride: in pixels, per axis.
        settings: of :func:`settle`, for this network, window, stride, mode and output.
        mode: ``"exact"``, ``"fcn"`` or ``"crops"``.
        output: which of the network's several outputs.

    Raises:
        InputError: nothing proves of this network what the settings rest on.
        ConversionError: ``mode="fcn"`` and the network has no plain conversion.
    """

    def __init__(
        self,
        prepared: Prepared,
        window: tuple[int, ...],
        stride: tuple[int, ...],
        settings: Settings,
        mode: str,
        output: Output = None,
    ) -> None:
        keep_pages()
        self.settings = settings
        self._prepared = prepared = for_output(prepared, output)
        self._window, self._stride, self._mode = window, stride, mode
        with using(prepared.module), settings.in_force():
            fcn = settled_pass(prepared, stride, settings, mode)
            self._way = _way(prepared, stride, settings, fcn, output)
            self.verdict: Verdict = verdict_of(prepared, fcn)
        seen: Seen = [(0, size) for size in window]
        self._seen = seen if fcn is None else fcn.geometry.tile_spans

    def tile(self, grid: WindowGrid, windows: tuple[Span, ...]) -> Tile:
        """The pixels that the scores of a rectangle of an image's windows need."""
        return tile_of(grid, self._seen, windows)

    def scores(self, pixels: Tensor, tile: Tile, grid: WindowGrid) -> Tensor:
        """Scores ``[K, *counts]`` of a tile's windows, on the CPU.

        Args:
            pixels: those of the tile, ``[C, *tile.size]``; they stay as they are.
            tile: of :meth:`tile`.
            grid: the windows of the image.

        Raises:
            InputError: pixels of another size, or the limit of memory is too small for a window.
        """
        if tuple(pixels.shape[1:]) != tile.size:
            raise InputError(
                "tile", f"{times(tuple(pixels.shape[1:]))} pixels for a tile of {times(tile.size)}", "give its own"
            )
        with evaluating(self._prepared.module), self.settings.in_force():
            # Always a copy: how pixels lie in memory must not matter, and their owner may write to them meanwhile.
            own = torch.empty(pixels.shape, dtype=self._prepared.dtype, device=self._prepared.device)
            found = self._way.scores(own.copy_(pixels), self._grid(tile))
            found = found[(slice(None), *tile.wanted())]
            return found.cpu().contiguous()

    def peak_bytes(self, counts: tuple[int, ...], grid: WindowGrid | None = None) -> int:
        """Bytes that scoring a tile of so many windows per axis is projected to take, beside the pixels handed over.

        Args:
            counts: windows per axis.
            grid: the image's windows; without them the tile lies inside an image that is large enough, and on an axis
                that every tile must hold, it holds all windows of the image.

        Raises:
            InputError: the limit of memory is too small for a window.
        """
        tile = self._typical(counts, grid)
        channels = 1 if self._prepared.network is None else self._prepared.network.channels
        values = channels * prod(tile.size) + 2 * self._outputs() * prod(self._grid(tile).counts)
        return self._way.peak(self._grid(tile)) + values * self._prepared.dtype.itemsize

    def macs(self, counts: tuple[int, ...], grid: WindowGrid | None = None) -> int | None:
        """Mult-adds of a tile as in :meth:`peak_bytes`; None where the network cannot be captured."""
        return self._way.macs(self._grid(self._typical(counts, grid)))

    def plan(self, grid: WindowGrid, tiles: Iterable[tuple[Span, ...]]) -> Plan:
        """How the tiles of an image are scored: the same in every run, for it tells no times.

        Args:
            grid: the image's windows.
            tiles: per tile and axis the windows.
        """
        grids = [self._grid(self.tile(grid, windows)) for windows in tiles]
        largest = max(grids, key=lambda one: one.total)
        macs = [self._way.macs(one) for one in grids]
        plan = Plan(
            mode=self._mode,
            engine=self.settings.engine,
            reason=self.settings.reason,
            device=str(self._prepared.device),
            dtype=str(self._prepared.dtype).removeprefix("torch."),
            batch=self.settings.batch,
            memory_format=self.settings.memory_format,
            tiles=sum(self._way.parts(one) for one in grids),
            threads=self.settings.threads,
            macs=None if None in macs else sum(each for each in macs if each is not None),
            peak_bytes=self._way.peak(largest),
        )
        return self._way.told(plan, largest)

    def _grid(self, tile: Tile) -> WindowGrid:
        """The windows of a tile's pixels."""
        return WindowGrid(tile.size, self._window, self._stride)

    def _typical(self, counts: tuple[int, ...], grid: WindowGrid | None) -> Tile:
        """A tile of so many windows in the middle of an image."""
        grid = grid or self._around(counts)
        firsts = [(all_of - count) // 2 for all_of, count in zip(grid.counts, counts, strict=True)]
        return self.tile(grid, tuple((first, first + count) for first, count in zip(firsts, counts, strict=True)))

    def _around(self, counts: tuple[int, ...]) -> WindowGrid:
        """The windows of an image that holds a tile of so many, and all around that it needs."""
        size = []
        for count, seen, window, stride in zip(counts, self._seen, self._window, self._stride, strict=True):
            low, high = seen or (0, window)
            more = 2 * max(-(-max(0, -low) // stride), -(-max(0, high - window) // stride))
            size.append((count + more - 1) * stride + window)
        return WindowGrid(tuple(size), self._window, self._stride)

    def _outputs(self) -> int:
        """Scores of a window; 0 where that is not known before."""
        network = self._prepared.network
        shapes = [] if network is None else [node.meta.get("shape") for node in output_nodes(network)]
        return prod(next((shape for shape in shapes if shape), (0, 0))[1:])


class _Way(Protocol):
    """An engine under fixed settings; ``grid`` are the windows of a tile's pixels."""

    def scores(self, pixels: Tensor, grid: WindowGrid) -> Tensor: ...

    def peak(self, grid: WindowGrid) -> int: ...

    def macs(self, grid: WindowGrid) -> int | None: ...

    def parts(self, grid: WindowGrid) -> int: ...

    def told(self, plan: Plan, grid: WindowGrid) -> Plan: ...


def _way(
    prepared: Prepared, stride: tuple[int, ...], settings: Settings, fcn: FullyConvolutional | None, output: Output
) -> _Way:
    if fcn is not None:
        one_pass = OnePass(fcn, prepared.module, output_of(prepared, fcn, output))
        return _ByFcn(prepared, settings, one_pass, stride)
    if settings.engine == "exact":
        assert prepared.network is not None
        return _ByExact(prepared, settings, prepared.network)
    return _ByCrops(prepared, settings, Crops(prepared.module, output))


@dataclass(frozen=True)
class _ByCrops:
    prepared: Prepared
    settings: Settings
    crops: Crops

    def scores(self, pixels: Tensor, grid: WindowGrid) -> Tensor:
        return self.crops.scores(pixels, grid, (self.settings.batch, self.settings.memory_format))

    def peak(self, grid: WindowGrid) -> int:
        return int(min(self.settings.batch, grid.total) * bytes_per_window(self.prepared) * SCRATCH)

    def macs(self, grid: WindowGrid) -> int | None:
        return None if self.prepared.network is None else crops_macs(self.prepared.network, grid)

    def parts(self, grid: WindowGrid) -> int:
        return 0

    def told(self, plan: Plan, grid: WindowGrid) -> Plan:
        return plan


class _ByExact:
    def __init__(self, prepared: Prepared, settings: Settings, network: Network) -> None:
        self._prepared, self._settings, self._network = prepared, settings, network
        self._sharing = Sharing(network)
        self._kept: dict[tuple[int, ...], Batches] = {}

    def scores(self, pixels: Tensor, grid: WindowGrid) -> Tensor:
        return self._sharing.scores(pixels, grid, self._batches(grid))

    def peak(self, grid: WindowGrid) -> int:
        return self._batches(grid).peak

    def macs(self, grid: WindowGrid) -> int | None:
        return self._batches(grid).macs

    def parts(self, grid: WindowGrid) -> int:
        return len(self._batches(grid).rectangles)

    def told(self, plan: Plan, grid: WindowGrid) -> Plan:
        batches = self._batches(grid)
        return replace(plan, layers=layer_plans(batches.largest), ends=batches.ends)

    def _batches(self, grid: WindowGrid) -> Batches:
        if grid.counts not in self._kept:
            if len(self._kept) >= MOST_SIZES:
                self._kept.clear()
            settings, itemsize = self._settings, self._prepared.dtype.itemsize
            found = plan_exact(self._network, grid, settings.limit, itemsize, settings.share)
            self._kept[grid.counts] = replace(found, batch=min(found.batch, settings.batch))
        return self._kept[grid.counts]


class _ByFcn:
    def __init__(self, prepared: Prepared, settings: Settings, one_pass: OnePass, stride: tuple[int, ...]) -> None:
        self._prepared, self._settings, self._pass = prepared, settings, one_pass
        self._every = tuple(
            slice(None, None, step // own) for step, own in zip(stride, one_pass.fcn.geometry.stride, strict=True)
        )
        self._kept: dict[tuple[int, ...], tuple[list[Tile], int]] = {}

    def scores(self, pixels: Tensor, grid: WindowGrid) -> Tensor:
        own = self._pass.fcn.geometry.grid(grid.image_size)
        scores = self._pass.scores(pixels, own, self._tiles(grid)[0], self._settings.memory_format)
        return scores[(slice(None), *self._every)]

    def peak(self, grid: WindowGrid) -> int:
        return self._tiles(grid)[1]

    def macs(self, grid: WindowGrid) -> int | None:
        fcn = self._pass.fcn
        return sum(fcn_macs(fcn.maps, fcn.geometry.grid(tile.size)) for tile in self._tiles(grid)[0])

    def parts(self, grid: WindowGrid) -> int:
        return len(self._tiles(grid)[0])

    def told(self, plan: Plan, grid: WindowGrid) -> Plan:
        return plan

    def _tiles(self, grid: WindowGrid) -> tuple[list[Tile], int]:
        """Parts that fit into the memory, and the bytes that they take."""
        if grid.image_size not in self._kept:
            if len(self._kept) >= MOST_SIZES:
                self._kept.clear()
            own = self._pass.fcn.geometry.grid(grid.image_size)
            self._kept[grid.image_size] = plan_tiles(
                self._pass.fcn, own, self._settings.limit, self._prepared.dtype.itemsize
            )
        return self._kept[grid.image_size]
