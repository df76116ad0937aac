"""What the modes cost and how far they differ, as a table."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from everywindow.geometry import Verdict


@dataclass(frozen=True)
class ModeRun:
    """One mode over all windows of an image, measured against the crops.

    Attributes:
        mode: ``"crops"`` (the reference), ``"fcn"`` or ``"exact"``.
        seconds: wall-clock time.
        macs: mult-adds of the whole scan.
        verdict: whether this mode equals the crops, proved before running.
        max_difference: largest difference of a score from the crops.
        relative_difference: the same, relative to the spread of the crops: the largest difference, over the
            classes, between two windows' scores.
        agreement: share of windows, 0 to 1, with the same top class as the crops; of a single score, on the
            same side of a half.
    """

    mode: str
    seconds: float
    macs: int
    verdict: Verdict
    max_difference: float = 0.0
    relative_difference: float = 0.0
    agreement: float = 1.0


@dataclass(frozen=True)
class LeftOut:
    """A mode that cannot run.

    Attributes:
        mode: which one.
        layer: the layer that is the reason, by the user's name for it.
        why: the reason.
    """

    mode: str
    layer: str
    why: str

    def __str__(self) -> str:
        return f"{self.mode}: no conversion: {self.layer}: {self.why}"


@dataclass(frozen=True)
class Comparison:
    """The modes beside one another; ``str()`` gives the table.

    >>> exact = Verdict(exact=True)
    >>> print(Comparison((ModeRun("crops", 2.0, 8_000_000, exact), ModeRun("fcn", 0.1, 500_000, exact, 1e-7, 2e-8)),
    ...                  windows=25))
    mode   seconds  speed-up  mult-adds  crops/mode  largest difference  of the spread  same top class
    crops     2.00       1.0      8.0 M         1.0           reference
    fcn       0.10      20.0    500.0 k        16.0             1.0e-07        2.0e-08         100.0 %
    25 windows
    fcn: equals the crops at every window
    """

    runs: tuple[ModeRun, ...]
    windows: int
    left_out: tuple[LeftOut, ...] = ()

    def run(self, mode: str) -> ModeRun | None:
        """The run of a mode, or None where it was not asked for."""
        return next((run for run in self.runs if run.mode == mode), None)

    def speed_up(self, mode: str) -> float | None:
        """Seconds of the crops over those of a mode; None where either was not run."""
        crops, run = self.run("crops"), self.run(mode)
        return crops.seconds / run.seconds if crops and run and run.seconds > 0 else None

    def as_dict(self) -> dict[str, Any]:
        """The same as plain data for JSON."""
        runs = [self._run_dict(run) for run in self.runs]
        return {"windows": self.windows, "runs": runs, "left_out": [asdict(each) for each in self.left_out]}

    def _run_dict(self, run: ModeRun) -> dict[str, Any]:
        return {
            "mode": run.mode,
            "seconds": run.seconds,
            "speed_up": self.speed_up(run.mode),
            "macs": run.macs,
            "max_difference": run.max_difference,
            "relative_difference": run.relative_difference,
            "agreement": run.agreement,
            "exact": run.verdict.exact,
            "reasons": [list(reason) for reason in run.verdict.reasons],
        }

    def __str__(self) -> str:
        rows = [HEADER, *(self._row(run) for run in self.runs)]
        verdicts = [f"{run.mode}: {run.verdict.summary()}" for run in self.runs if run.mode != "crops"]
        return "\n".join([table(rows), f"{self.windows:,} windows", *verdicts, *map(str, self.left_out)])

    def _row(self, run: ModeRun) -> tuple[str, ...]:
        crops = self.run("crops")
        speed = self.speed_up(run.mode)
        saved = f"{crops.macs / run.macs:,.1f}" if crops and run.macs else ""
        cost = (run.mode, f"{run.seconds:,.2f}", f"{speed:,.1f}" if speed else "", quantity(run.macs), saved)
        if run.mode == "crops":
            return (*cost, "reference", "", "")
        return (
            *cost,
            f"{run.max_difference:.1e}",
            f"{run.relative_difference:.1e}",
            f"{100 * run.agreement:.1f} %",
        )


HEADER = (
    "mode",
    "seconds",
    "speed-up",
    "mult-adds",
    "crops/mode",
    "largest difference",
    "of the spread",
    "same top class",
)


def table(rows: list[tuple[str, ...]], left: int = 1) -> str:
    """Rows of text as columns: the first ``left`` ones to the left, the others to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = (
        [cell.ljust(w) if at < left else cell.rjust(w) for at, (cell, w) in enumerate(zip(row, widths, strict=True))]
        for row in rows
    )
    return "\n".join("  ".join(cells).rstrip() for cells in lines)


def quantity(count: int) -> str:
    """A count with a decimal prefix.

    >>> quantity(15_470_264_320)
    '15.5 G'
    """
    for power, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= power:
            return f"{count / power:.1f} {prefix}"
    return str(count)
