"""What other settings would have given, tried on a few dozen windows of a finished scan."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from everywindow.convert import FullyConvolutional, conversion_of
from everywindow.costing import crops_macs, fcn_macs
from everywindow.engines.crops import run_crops
from everywindow.engines.fcn import run_fcn
from everywindow.engines.job import Job
from everywindow.engines.rates import rates_for
from everywindow.errors import InputError
from everywindow.geometry import Span, Tile, WindowGrid, tile_of
from everywindow.graph import Network, one_pass_records, precision

MUCH = 3.0
"""One pass is spoken of where it is predicted to be so many times as fast."""

LEAST_SECONDS = 0.5
"""Of shorter scans nothing is said: there is little to gain."""

WINDOWS = 36
"""Windows on which something is tried, at most."""

FEWEST = 9

COST = 0.1
"""Share of the scan's mult-adds that a trial may take."""


@dataclass(frozen=True)
class Difference:
    """How far two sets of scores of the same windows differ.

    Attributes:
        largest: largest difference, relative to the spread of the scores between the windows of the scan.
        windows: windows compared.
        agreeing: of these, those with the same top class.
    """

    largest: float
    windows: int
    agreeing: int

    @classmethod
    def of(cls, scores: Tensor, reference: Tensor, spread: float) -> Difference:
        """Between scores ``[K, ...]``."""
        a, b = scores.flatten(1).double(), reference.flatten(1).double()
        largest = float((a - b).abs().max())
        agreeing = int((a.argmax(0) == b.argmax(0)).sum())
        return cls(largest / spread if spread else largest, a.shape[1], agreeing)

    def __str__(self) -> str:
        return (
            f"by up to {self.largest:.1g} of the spread between windows, "
            f"with the same top class on {self.agreeing} of the {self.windows} windows tried"
        )


def spread_of(scores: Tensor) -> float:
    """Largest difference between two windows' scores, over the classes."""
    flat = scores.double().flatten(1)
    return float((flat.amax(1) - flat.amin(1)).max())


def one_pass_hint(job: Job, scores: Tensor, predicted: float, crops: float) -> str:
    """One line where one pass would be much faster than the exact scan, and what it would cost; else empty.

    Args:
        job: the finished scan.
        scores: its scores ``[K, *counts]``.
        predicted: seconds that the scan was predicted to take.
        crops: seconds that the windows one by one were predicted to take.
    """
    network = job.prepared.network
    if network is None or predicted < LEAST_SECONDS or one_pass_records(network).verdict.exact:
        return ""
    fcn = conversion_of(network, job.grid.stride)
    if fcn is None:
        return ""
    all_macs = crops_macs(network, job.grid)
    gain = predicted / crops * all_macs / max(1, fcn_macs(fcn.maps, job.grid))
    if gain < MUCH:
        return ""
    tried = _kept_trial(job, network, fcn, scores, all_macs * predicted / crops)
    how = f"differ {tried}" if tried else "differ from these (compare() shows by how much)"
    return f"mode='fcn' is predicted to be {gain:.0f} times as fast; its scores {how}"


def _kept_trial(job: Job, network: Network, fcn: FullyConvolutional, scores: Tensor, macs: float) -> Difference | None:
    """The trial of one pass, made once for these weights and this stride; None where it costs or takes too much."""
    kept: dict[Any, Difference | None] = network.kept.setdefault("trials", {})
    key = (job.grid, job.output, _state_mark(network))
    if key not in kept:
        kept.clear()
        part = _affordable(job.grid, fcn, COST * macs)
        try:
            kept[key] = None if part is None else _tried(job, fcn, part, scores)
        except InputError:  # one pass does not fit into the memory
            kept[key] = None
    return kept[key]


def _state_mark(network: Network) -> tuple[Any, ...]:
    """Something that changes when weights do."""
    some = [tensor.detach().flatten()[:16].double().sum() for tensor in network.state.values()]
    return float(torch.stack(some).sum()), *(
        0 if tensor.is_inference() else tensor._version for tensor in network.state.values()
    )


def _affordable(grid: WindowGrid, fcn: FullyConvolutional, macs: float) -> Tile | None:
    """Some neighbouring windows in the middle of the image, with all the pixels around that one pass sees, or some."""
    seen = fcn.geometry.tile_spans
    near = tuple(_near(span, size) for span, size in zip(seen, grid.window, strict=True))
    for around in (seen, near):
        for side in range(round(WINDOWS ** (1 / len(grid.counts))), 0, -1):
            middle = tuple(_middle(count, side) for count in grid.counts)
            if prod(stop - first for first, stop in middle) < min(FEWEST, grid.total):
                break
            tile = tile_of(grid, around, middle)
            if fcn_macs(fcn.maps, fcn.geometry.grid(tile.size)) <= macs:
                return tile
    return None


def _near(seen: Span | None, size: int) -> Span:
    """Of what a tile must hold, no more than half a window at either side."""
    low, high = (-size // 2, size + size // 2)
    return (low, high) if seen is None else (max(low, seen[0]), min(high, seen[1]))


def _middle(count: int, side: int) -> Span:
    first = max(0, (count - side) // 2)
    return first, min(count, first + side)


def _tried(job: Job, fcn: FullyConvolutional, tile: Tile, scores: Tensor) -> Difference:
    pixels = job.pixels[(slice(None), *(slice(*span) for span in tile.pixels))]
    there, _, _ = run_fcn(fcn, job.prepared.module, pixels, limit=job.limit, progress=False)
    here = scores[(slice(None), *(slice(*span) for span in tile.windows))]
    return Difference.of(there[(slice(None), *tile.wanted())].cpu(), here, spread_of(scores))


def precision_note(job: Job, scores: Tensor) -> str:
    """One line on what a smaller number format changed, against the network in its own; empty where it has not been."""
    prepared = job.prepared
    if prepared.original is None:
        return ""
    offsets = _spread_out(job.grid)
    dtype, _ = precision(prepared.original, job.grid.window, len(job.pixels))
    reference = torch.stack([_crop_scores(job, prepared.original, at).reshape(-1) for at in offsets], dim=1)
    every = scores.flatten(1)
    places = torch.tensor([[a // s for a, s in zip(at, job.grid.stride, strict=True)] for at in offsets])
    flat = torch.from_numpy(np.ravel_multi_index(tuple(places.T.numpy()), job.grid.counts))
    difference = Difference.of(every[:, flat], reference.cpu(), spread_of(scores))
    names = [str(kind).removeprefix("torch.") for kind in (prepared.dtype, dtype)]
    return f"{names[0]} differs from {names[1]} {difference}{_slower(job, dtype)}"


def _crop_scores(job: Job, module: nn.Module, at: tuple[int, ...]) -> Tensor:
    """The scores of one window by a module in its own dtype."""
    window = job.grid.window
    dtype, device = precision(module, window, len(job.pixels))
    crop = job.image[(slice(None), *(slice(a, a + size) for a, size in zip(at, window, strict=True)))]
    found, _ = run_crops(
        module,
        crop.to(device, dtype),
        WindowGrid(window, window, window),
        most=1,
        window_bytes=0,
        limit=job.limit,
        output=job.output,
        progress=False,
    )
    return found


def _spread_out(grid: WindowGrid) -> list[tuple[int, ...]]:
    """Offsets of some windows, evenly among all."""
    wanted = min(grid.total, max(FEWEST, min(WINDOWS, grid.total // 20)))
    everyone = list(grid.positions())
    return [everyone[index * grid.total // wanted] for index in range(wanted)]


def _slower(job: Job, own: torch.dtype) -> str:
    threads, axes = torch.get_num_threads(), len(job.grid.window)
    slow, fast = (rates_for(job.prepared.device, dtype, threads, axes) for dtype in (job.prepared.dtype, own))
    ratio = fast.product["256"]["1"] / slow.product["256"]["1"]
    return f"; its matrix products are {ratio:.1f} times as slow on this device" if ratio > 1.1 else ""
