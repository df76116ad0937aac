"""The crops' own numbers, with what windows share computed once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from math import prod
from typing import Any

import torch
from torch import Tensor, fx

from everywindow.engines.memory import require_fits
from everywindow.engines.output import picked, score_vectors
from everywindow.engines.pages import Kept
from everywindow.engines.progress import Progress
from everywindow.geometry import Span, WindowGrid, rectangles, times
from everywindow.graph import Network
from everywindow.sharing import Program, Refold, frontier_elements, program_for, program_macs, rest_peak, shared_peak
from everywindow.sharing import constants as constants_of

BATCH_ELEMENTS = 2**23
"""Values that a batch of windows holds at a time behind the shared part, as far as memory allows."""

NEAR_ELEMENTS, ENOUGH = 2**21, 256
"""So many values stay near the processor: a batch holds no more, once it has enough windows for the weights' sake."""

LARGEST_BATCH = 16384
"""Windows in a batch, at most."""

SCRATCH = 1.25
"""Memory that the routines take in all, over that of the values themselves."""


@dataclass(frozen=True)
class Batches:
    """How the windows of an image are cut.

    Attributes:
        rectangles: per rectangle and axis the windows.
        programs: how a rectangle of a size is scored.
        batch: windows at a time behind the shared part.
        peak: bytes that are projected to exist at one time.
    """

    rectangles: tuple[tuple[Span, ...], ...]
    programs: dict[tuple[int, ...], Program]
    batch: int
    peak: int

    @property
    def largest(self) -> Program:
        """The program of the largest rectangle."""
        return self.programs[max(self.programs, key=prod)]

    @cached_property
    def macs(self) -> int:
        """Mult-adds of all windows."""
        each = {counts: program_macs(program) for counts, program in self.programs.items()}
        return sum(each[_counts(rectangle)] for rectangle in self.rectangles)

    @property
    def ends(self) -> str:
        """The layer at which sharing ends, and why; empty where all is shared."""
        ends = self.largest.ends
        return "" if ends is None else f"{ends.reason.layer}: {ends.reason.why}"


def run_exact(
    network: Network,
    pixels: Tensor,
    grid: WindowGrid,
    batches: Batches,
    *,
    progress: bool | None = None,
) -> Tensor:
    """Scores ``[K, *counts]`` of every window of ``pixels`` ``[C, *size]``.

    Raises:
        InputError: the output is no score vector.
    """
    with Progress(grid.total, "exact", progress) as bar:
        return Sharing(network).scores(pixels, grid, batches, bar.update)


class Sharing:
    """A captured network with its weights as the exact engine takes them; they are laid out once."""

    def __init__(self, network: Network) -> None:
        with torch.inference_mode():
            self._weights = constants_of(network)
        self._refolded: dict[tuple[Refold, ...], dict[fx.Node, Any]] = {}

    @torch.inference_mode()
    def scores(
        self, pixels: Tensor, grid: WindowGrid, batches: Batches, update: Callable[[int], None] = lambda count: None
    ) -> Tensor:
        """Scores ``[K, *counts]`` of every window of ``pixels`` ``[C, *size]``; ``update`` hears how many are done."""
        scores: Tensor | None = None
        kept = Kept(batches.peak // 2, batches.peak)
        for rectangle in batches.rectangles:
            program = batches.programs[_counts(rectangle)]
            shared = program.shared(_region(pixels, grid, rectangle), self._weights, kept.relieve)
            own = self._constants(program)
            for members in _members(program.windows, batches.batch, pixels.device):
                outputs = program.scored(shared, own, members)
                vectors = score_vectors(picked(outputs), len(members))
                if scores is None:
                    scores = vectors.new_empty((*grid.counts, vectors.shape[1]))
                places = [members[:, axis] + first for axis, (first, _) in enumerate(rectangle)]
                scores[tuple(places)] = vectors
                update(len(members))
            del shared  # or two rectangles' values would exist at one time
            kept.relieve()
        assert scores is not None
        return scores.movedim(-1, 0).contiguous()

    def _constants(self, program: Program) -> dict[fx.Node, Any]:
        """The weights as a program takes them behind its shared part."""
        if program.refolds not in self._refolded:
            self._refolded[program.refolds] = program.constants(self._weights)
        return self._refolded[program.refolds]


WIDEST = 2**14
"""Windows of a rectangle along an axis, at most: a wider one shares no more, and tables of its positions are long."""


def plan_batches(network: Network, grid: WindowGrid, limit: int, itemsize: int, build: Any) -> Batches:
    """Rectangles of windows, as few as fit into ``limit`` bytes by halving; ``build`` makes a size's program.

    Raises:
        InputError: not even a single window fits.
    """

    @cache
    def peak(counts: tuple[int, ...]) -> int:
        return projected_peak(build(counts), itemsize)

    cut = rectangles(grid.counts, lambda counts: max(counts) <= WIDEST and peak(counts) <= limit)
    programs = {counts: build(counts) for counts in {_counts(rectangle) for rectangle in cut}}
    most = max(peak(counts) for counts in programs)
    require_fits(limit, most, f"a window of {times(grid.window)}")
    largest = programs[max(programs, key=prod)]
    batch = min(_batch(program, limit, itemsize) for program in programs.values())
    return Batches(tuple(cut), programs, batch, max(most, _held(largest, batch, itemsize)))


def plan_exact(network: Network, grid: WindowGrid, limit: int, itemsize: int, share: int | None) -> Batches:
    """:func:`plan_batches` with so many of the calls shared; None for all.

    Raises:
        InputError: as there.
    """
    return plan_batches(network, grid, limit, itemsize, lambda counts: program_for(network, counts, grid.stride, share))


def projected_peak(program: Program, itemsize: int) -> int:
    """Bytes that a program takes, with one window at a time behind the shared part."""
    return max(int(shared_peak(program) * itemsize * SCRATCH), _held(program, 1, itemsize))


def _held(program: Program, batch: int, itemsize: int) -> int:
    return int((frontier_elements(program) + batch * rest_peak(program)) * itemsize * SCRATCH)


def _batch(program: Program, limit: int, itemsize: int) -> int:
    each = max(1, rest_peak(program))
    room = int(limit / SCRATCH / itemsize) - frontier_elements(program)
    near = max(NEAR_ELEMENTS // each, ENOUGH)
    return max(1, min(LARGEST_BATCH, near, BATCH_ELEMENTS // each, room // each))


def _counts(rectangle: Sequence[Span]) -> tuple[int, ...]:
    return tuple(stop - first for first, stop in rectangle)


def _region(pixels: Tensor, grid: WindowGrid, rectangle: Sequence[Span]) -> Tensor:
    """The pixels of a rectangle of windows."""
    spans = zip(rectangle, grid.stride, grid.window, strict=True)
    return pixels[(slice(None), *(slice(a * step, (b - 1) * step + size) for (a, b), step, size in spans))]


def _members(counts: tuple[int, ...], batch: int, device: torch.device) -> Iterator[Tensor]:
    """The places of all windows of a rectangle, in batches."""
    everyone = torch.cartesian_prod(*(torch.arange(count, device=device) for count in counts))
    yield from everyone.reshape(-1, len(counts)).split(batch)
