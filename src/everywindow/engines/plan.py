"""How a scan is run, and why so: plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Plan:
    """What was decided for a scan.

    Attributes:
        mode: ``"crops"`` or ``"fcn"``.
        reason: why this mode.
        device, dtype: where and in what precision it runs.
        batch: windows per batch (``crops``), images per pass (``fcn``).
        memory_format: ``"contiguous"`` or ``"channels_last"``.
        tiles: passes over parts of the image (``fcn``).
        threads: CPU threads.
        macs: mult-adds of the whole scan; None where the network cannot be captured.
        notes: what else a reader should know.
    """

    mode: str
    reason: str
    device: str
    dtype: str
    batch: int
    memory_format: str
    tiles: int
    threads: int
    macs: int | None
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def __str__(self) -> str:
        how = (
            f"{self.tiles} pass{'es' if self.tiles != 1 else ''}" if self.mode == "fcn" else f"batches of {self.batch}"
        )
        macs = "mult-adds unknown" if self.macs is None else f"{self.macs:,} mult-adds"
        place = f"{self.dtype} on {self.device}, {self.threads} threads, {self.memory_format}"
        return "\n".join([f"{self.mode}: {self.reason}", f"{how}, {place}; {macs}", *self.notes])
