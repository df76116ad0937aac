"""The rows about images larger than memory, and the section that they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.results import Kept

WANTED = 0.9
"""Least rate from a file, over that of the same pixels in memory."""


@dataclass(frozen=True)
class FileRow:
    """Seconds from a file to the map on disk, and of the same pixels in memory.

    Attributes:
        window, stride, part: in pixels; ``part`` per axis of what was scanned.
        file, memory, alone: seconds of the run, of a scan of the pixels in memory, and of the run's tiles in memory.
        file_cpu, memory_cpu: seconds on processors, of all threads together.
        start: seconds of a run over one window.
        more: mult-adds of the tiles over those of one piece, less 1; None where they are not known.
    """

    title: str
    window: int
    stride: int
    part: int
    format: str
    windows: int
    tiles: int
    engine: str
    file: float
    file_cpu: float
    memory: float
    memory_cpu: float
    alone: float
    start: float
    more: float | None

    @property
    def ratio(self) -> float:
        """Rate from the file over that in memory."""
        return self.memory / self.file

    @property
    def per_tile(self) -> float:
        """Seconds of a tile that are not computing, without the start."""
        return max(0.0, self.file - self.alone - self.start) / self.tiles


@dataclass(frozen=True)
class LoaderRow:
    """Seconds of a loop over a loader of patches, and of a run.

    Attributes:
        window, stride, part: in pixels.
        windows, ran: in all, and how many the loop took; its seconds are scaled up.
        setting: batch size and workers of the loop.
        loop, run: seconds.
        off: largest difference of the scores, relative to their spread.
    """

    title: str
    window: int
    stride: int
    part: int
    windows: int
    ran: int
    setting: str
    loop: float
    run: float
    engine: str
    off: float


def section(files: Sequence[Kept[FileRow]], loaders: Sequence[Kept[LoaderRow]]) -> str:
    """The part of the page."""
    measured = [kept.conditions for kept in files] + [kept.conditions for kept in loaders]
    conditions = sorted({f"{each}, {each.date}" for each in measured})
    lines = [
        "## Images larger than memory",
        "",
        "`everywindow.stream` from a file to the map on disk, against the same pixels, normalised, in memory: a scan",
        "of them in one call, and the run's own tiles one after the other. All sides in turns in one process, each the",
        "best of its rounds. The picture has 12,288×12,288 pixels, RGB of 8 bits, in tiles of 512×512: Zarr with zstd,",
        "TIFF with JPEG. For most networks the upper left part is scanned, so that all takes minutes.",
        "",
        "| network | file | part | windows | tiles | ran | from the file | in memory | ratio | of processor time "
        "| its tiles in memory | start | per tile | more mult-adds |",
        f"|{' --- |' * 14}",
        *(file_line(kept.row) for kept in files),
        "",
        "Seconds are those of a clock: where other programs take the processors meanwhile, they can be off by half and",
        "more, and a ratio above 1 is such noise. Then go by the processor time.",
        "",
        f"- **ratio**: rate from the file over that of a scan in memory; wanted is {WANTED}.",
        "  **of processor time**: the same of the seconds on processors, all threads together, which neither waiting",
        "  nor other programs enter; there reading and writing count in full, though they run beside the computing.",
        "- **start**: a run over a single window: the image's SHA-256, the model's probe, choosing settings, making",
        "  the result. **per tile**: what a tile takes beyond computing and that start.",
        "- **more mult-adds**: what tiles cost, since windows share nothing across their borders.",
        "",
        "### Against a loader of patches",
        "",
        "The way of most tools ([patches.py](../benchmarks/patches.py)): a data set that cuts each patch out of the",
        "TIFF with OpenSlide, a `DataLoader` (batch 32 or 64, 1 or 2 workers: the best of the four, tried on some",
        "patches), the network under `torch.inference_mode`. Its seconds leave out the workers' start, those of the",
        "run leave out nothing but the capture of the network. Of many windows the loop takes some, in brackets, and",
        "is scaled up.",
        "",
        "| network | stride | part | windows | loop | batch, workers | run | ran | times | difference |",
        f"|{' --- |' * 10}",
        *(loader_line(kept.row) for kept in loaders),
        "",
        "**difference**: the largest between both sides' scores, relative to the scores' spread between windows.",
        "",
        "Made by `make streaming` (`--threads 1` for one thread of torch);",
        "one row by `python -m benchmarks.streaming --only file-small --out docs/benchmarks.md`.",
        *(f"{each}." for each in conditions),
    ]
    return "\n".join(lines) + "\n"


def file_line(row: FileRow) -> str:
    """A row of the first table."""
    ratio = f"**{row.ratio:.2f}**" if row.ratio >= WANTED else f"**{row.ratio:.2f}** (below {WANTED})"
    cells = [
        f"{row.title}, window {row.window}, stride {row.stride}",
        row.format,
        f"{row.part:,}²",
        f"{row.windows:,}",
        str(row.tiles),
        row.engine,
        f"{_rate(row, row.file)} ({row.file:.1f} s)",
        f"{_rate(row, row.memory)} ({row.memory:.1f} s)",
        ratio,
        f"{row.memory_cpu / row.file_cpu:.2f}",
        f"{row.alone:.1f} s",
        f"{row.start:.2f} s",
        f"{1000 * row.per_tile:.0f} ms",
        "" if row.more is None else f"{100 * row.more:+.1f} %",
    ]
    return f"| {' | '.join(cells)} |"


def loader_line(row: LoaderRow) -> str:
    """A row of the second table."""
    cells = [
        f"{row.title}, window {row.window}",
        f"{row.stride} (window/{row.window // row.stride})",
        f"{row.part:,}²",
        f"{row.windows:,}",
        f"{row.loop:.1f} s" + (f" ({row.ran:,})" if row.ran < row.windows else ""),
        row.setting,
        f"{row.run:.1f} s",
        row.engine,
        f"**{row.loop / row.run:.1f}**",
        f"{row.off:.0e}",
    ]
    return f"| {' | '.join(cells)} |"


def _rate(row: FileRow, seconds: float) -> str:
    return f"{row.part**2 / seconds / 1e6:.3g} Mpx/s"
