"""Every window's scores by the exact engine itself, with no plan that would take crops where sharing gains little."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from everywindow.engines.crops import quiet_tf32
from everywindow.engines.exact import Batches, plan_batches, projected_peak, run_exact
from everywindow.engines.prepare import prepare, unproved
from everywindow.geometry import WindowGrid
from everywindow.graph import Network, evaluating
from everywindow.sharing import Program, program_for

PLENTY = 2**40
"""A memory limit that nothing in a test reaches."""


@dataclass(frozen=True)
class Exact:
    """Scores and how they were computed.

    Attributes:
        scores: ``[K, *counts]``.
        batches: the rectangles and their programs.
    """

    scores: Tensor
    batches: Batches

    @property
    def shares(self) -> bool:
        """Whether some call ran on values that windows share."""
        return any(program.steps for program in self.batches.programs.values())


class CropsOnly(Exception):
    """The module cannot be captured, or its windows may see each other: mode exact scores windows one by one."""


def captured_network(module: nn.Module, window: Sequence[int], channels: int) -> Network:
    """The graph of a module.

    Raises:
        CropsOnly: the exact engine does not run it.
    """
    prepared = prepare(module, tuple(window), channels)
    if prepared.network is None:
        raise CropsOnly(prepared.why_not)
    doubt = unproved(prepared)
    if doubt is not None:
        raise CropsOnly(doubt)
    return prepared.network


def exactly(
    module: nn.Module,
    image: Tensor,
    window: Sequence[int],
    stride: Sequence[int],
    *,
    share: float | None = None,
    memory: float = 1.0,
) -> Exact:
    """Score an image ``[C, *size]``.

    Args:
        module: the network; it must be possible to capture it.
        image: the pixels.
        window: pixels per axis.
        stride: pixels between windows, per axis.
        share: of the calls that can be shared, the share of them that is; all by default.
        memory: the limit, as a share of what all windows as one rectangle take; a single window always fits.

    Raises:
        CropsOnly: the exact engine does not run it.
    """
    network = captured_network(module, window, image.shape[0])
    grid = WindowGrid(tuple(image.shape[1:]), tuple(window), tuple(stride))
    itemsize = image.element_size()

    most = None if share is None else int(share * len(program_for(network, grid.counts, grid.stride).steps))

    def build(counts: tuple[int, ...]) -> Program:
        return program_for(network, counts, grid.stride, most)

    limit = PLENTY
    if memory < 1:
        whole, single = (projected_peak(build(counts), itemsize) for counts in (grid.counts, (1,) * len(grid.counts)))
        limit = max(single, int(memory * whole))
    batches = plan_batches(network, grid, limit, itemsize, build)
    with evaluating(module), quiet_tf32(), torch.inference_mode():
        scores = run_exact(network, image, grid, batches, progress=False)
    return Exact(scores, batches)
