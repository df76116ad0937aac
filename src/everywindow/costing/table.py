"""The cost of a scan, layer by layer, before it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from everywindow.costing.totals import calls, fcn_macs, window_macs
from everywindow.geometry import MapSize, WindowGrid, times
from everywindow.graph import Network
from everywindow.ops import BATCH, Call


@dataclass(frozen=True)
class LayerCost:
    """What one layer costs.

    Attributes:
        layer: the user's name for it.
        kind: the operation.
        shape: its output for one window, without the batch.
        params: its parameters; those that several layers share count at the first.
        macs: mult-adds for one window.
    """

    layer: str
    kind: str
    shape: tuple[int, ...]
    params: int
    macs: int


@dataclass(frozen=True)
class Cost:
    """What a scan costs, before it runs. Mult-adds: one multiplication and one addition count as one.

    Convolutions, fully connected layers and matrix products are counted; poolings, normalisations and
    activations multiply and add next to nothing and are not.

    Attributes:
        params: parameters that the network reads.
        macs: mult-adds per mode; ``fcn`` is missing for a network that has no plain conversion.
        windows: number of windows.
        rows: one record per layer with parameters or mult-adds.
    """

    params: int
    macs: dict[str, int]
    windows: int
    rows: tuple[LayerCost, ...]

    def __str__(self) -> str:
        lines = [f"{'layer':32} {'kind':12} {'output':>16} {'parameters':>14} {'mult-adds':>16}"]
        lines += [
            f"{row.layer:32.32} {row.kind:12.12} {times(row.shape):>16} {row.params:>14,} {row.macs:>16,}"
            for row in self.rows
        ]
        totals = ", ".join(f"{mode} {macs:,}" for mode, macs in self.macs.items())
        return "\n".join([*lines, f"{self.params:,} parameters; mult-adds for {self.windows:,} windows: {totals}"])


def cost_table(network: Network, grid: WindowGrid, maps: Sequence[MapSize] | None, exact: int) -> Cost:
    """The cost of scanning an image.

    Args:
        network: the captured network.
        grid: the windows.
        maps: the converted network's, where there is one.
        exact: mult-adds of the mode ``exact``.
    """
    counted: set[str] = set()
    rows = tuple(_row(call, counted) for call in calls(network))
    macs = {"crops": grid.total * sum(row.macs for row in rows)}
    if maps is not None:
        macs["fcn"] = fcn_macs(maps, grid)
    macs["exact"] = exact
    kept = tuple(row for row in rows if row.params or row.macs)
    return Cost(sum(row.params for row in rows), macs, grid.total, kept)


def _row(call: Call, counted: set[str]) -> LayerCost:
    shape = tuple(size // BATCH if size % BATCH == 0 else size for size in call.shape)
    kind = call.target._schema.name.removeprefix("aten::") if hasattr(call.target, "_schema") else "item"
    return LayerCost(call.layer, kind, shape[1:] or (1,), _own_parameters(call, counted), window_macs(call))


def _own_parameters(call: Call, counted: set[str]) -> int:
    """Parameters that this call is the first to read (running statistics are none)."""
    weights = [node for node in call.node.all_input_nodes if node.op == "get_attr"]
    fresh = {str(node.target): node for node in weights if str(node.target) not in counted}
    counted |= set(fresh)
    learned = [node for name, node in fresh.items() if not name.endswith(("running_mean", "running_var"))]
    return sum(prod(node.meta["shape"]) for node in learned)
