"""How a scan is run, and why so: plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any


@dataclass(frozen=True)
class LayerPlan:
    """How windows share one layer.

    Attributes:
        layer: the user's name for it.
        kind: ``"shared"`` (computed once for all windows that cover a position), ``"strips"`` (the inside shared, the
            border positions for each row and column of windows, the corners for each window), or ``"per window"``.
        share: mult-adds (of layers without any: positions) over those of the windows one by one.
    """

    layer: str
    kind: str
    share: float


@dataclass(frozen=True)
class Plan:
    """What was decided for a scan.

    Attributes:
        mode: what was asked for: ``"crops"``, ``"fcn"`` or ``"exact"``.
        engine: what ran: ``"crops"``, ``"fcn"`` or ``"exact"``; ``exact`` may take any of the three.
        reason: why this engine.
        device, dtype: where and in what precision it runs.
        batch: windows per batch (``crops``, ``exact``), images per pass (``fcn``).
        memory_format: ``"contiguous"`` or ``"channels_last"``.
        tiles: passes over parts of the image (``fcn``), rectangles of windows (``exact``).
        threads: CPU threads.
        macs: mult-adds of the whole scan; None where the network cannot be captured.
        notes: what else a reader should know.
        layers: per layer how its windows share it (``exact``).
        ends: the layer at which sharing ends, and why.
        peak_bytes: memory that values are projected to take.
        predicted_seconds: how long the scan was predicted to take.
        capture_seconds: how long it took to capture the network before; next to nothing where that was kept.
        planning_seconds: how long it took to make the plan; likewise.
    """

    mode: str
    engine: str
    reason: str
    device: str
    dtype: str
    batch: int
    memory_format: str
    tiles: int
    threads: int
    macs: int | None
    notes: tuple[str, ...] = ()
    layers: tuple[LayerPlan, ...] = ()
    ends: str = ""
    peak_bytes: int = 0
    predicted_seconds: float | None = None
    capture_seconds: float = 0.0
    planning_seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def __str__(self) -> str:
        lines = [f"{self.mode}: {self.reason}", f"{self._how()}, {self._place()}; {self._macs()}"]
        return "\n".join([*lines, *self._sharing(), *self.notes])

    def _how(self) -> str:
        if self.engine == "fcn":
            return _several(self.tiles, "pass", "passes")
        batches = f"batches of {self.batch}"
        return batches if self.engine == "crops" else f"{_several(self.tiles, 'rectangle', 'rectangles')}, {batches}"

    def _place(self) -> str:
        return f"{self.dtype} on {self.device}, {self.threads} threads, {self.memory_format}"

    def _macs(self) -> str:
        return "mult-adds unknown" if self.macs is None else f"{self.macs:,} mult-adds"

    def _sharing(self) -> list[str]:
        """Neighbouring layers that are shared alike, in one line each."""
        lines = []
        for kind, group in groupby(self.layers, key=lambda layer: layer.kind):
            members = list(group)
            first, last = members[0], members[-1]
            names = first.layer if first.layer == last.layer else f"{first.layer} to {last.layer}"
            shares = "" if kind == "per window" else f": {100 * last.share:.0f} % of the windows one by one at the end"
            lines.append(f"  {kind:10} {names}{shares}")
        return [*lines, f"  sharing ends at {self.ends}"] if self.ends else lines


def _several(count: int, one: str, more: str) -> str:
    return f"{count} {one if count == 1 else more}"
