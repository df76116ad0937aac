"""What a network is made of, and what the modes make of it: before anything runs, in plain data."""

from __future__ import annotations

from dataclasses import dataclass

from everywindow.convert import Turned, conversion_of, converted, turned
from everywindow.engines.prepare import Prepared, network_of, unproved
from everywindow.errors import ConversionError
from everywindow.geometry import Reason, Verdict, WindowGrid
from everywindow.graph import Network, output_nodes, records
from everywindow.sharing import program_for


@dataclass(frozen=True)
class Structure:
    """What is known of a network besides its cost.

    Attributes:
        scores: the shape of the (first) output for one window.
        verdict: whether one pass equals the crops, and the layers that are the reason if not.
        refusal: the layer that has no conversion, and why; None where there is one pass.
        receptive_field: what a score of the one pass sees, in pixels per axis; None without one.
        layers: what each layer has become.
        ends: where the windows' sharing ends in mode ``exact``, and why; None where all is shared, or nothing can be.
        alone: why windows cannot share a batch at all; empty where they can.
    """

    scores: tuple[int, ...]
    verdict: Verdict
    refusal: Reason | None
    receptive_field: tuple[int, ...] | None
    layers: tuple[Turned, ...]
    ends: Reason | None
    alone: str


def structure(prepared: Prepared, grid: WindowGrid) -> Structure:
    """What the captured graph and its conversion say; nothing is run.

    Raises:
        ConversionError: the network cannot be captured.
    """
    network = network_of(prepared)
    refusal = refused(network, grid)
    fcn = conversion_of(network, grid.stride)
    alone = unproved(prepared)
    program = program_for(network, grid.counts, grid.stride) if alone is None else None
    return Structure(
        scores=_scores(network),
        verdict=records(network).verdict if fcn is None else fcn.verdict,
        refusal=refusal,
        receptive_field=None if fcn is None else fcn.geometry.receptive_field,
        layers=turned(network, fcn),
        ends=program.ends.reason if program is not None and program.ends is not None else None,
        alone=alone or "",
    )


def refused(network: Network, grid: WindowGrid) -> Reason | None:
    """Why a network has no plain conversion; None where it has."""
    try:
        converted(network, grid.stride)
    except ConversionError as error:
        return Reason(error.what, error.why)
    return None


def _scores(network: Network) -> tuple[int, ...]:
    first = next(node for node in output_nodes(network) if "shape" in node.meta)
    return tuple(first.meta["shape"][1:])
