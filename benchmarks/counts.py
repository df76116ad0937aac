"""Mult-adds of known networks for one window, against torch's own counter: ``make counts``.

All of torchvision's classifiers, and of timm's the smallest of each family (``--all-timm``: all of them), with any
weights. torch counts a multiplication and an addition as two. What it counts for two windows less what it counts for
one is the work of a window; what is left of one window's count does not grow with the windows: it is computed from
weights alone. Where the work of a window is another number than ours, the network must be among :data:`REASONS`.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.section import COUNTS, with_section
from benchmarks.zoo.families import smallest_of_each
from benchmarks.zoo.networks import CHANNELS, LIBRARIES, build, names, smallest_window, version
from benchmarks.zoo.results import Results
from benchmarks.zoo.row import Row as ZooRow
from everywindow.costing import crops_macs
from everywindow.errors import EverywindowError
from everywindow.geometry import WindowGrid
from everywindow.graph import captured
from everywindow.report import counted as counted_as

WINDOWS = {"inception_v3": 299}
"""Windows of torchvision's networks that take no 224 pixels."""

REASONS: dict[str, str] = {
    "convit_tiny": "the projections of relative positions (`pos_proj`) are computed from weights alone, but repeated "
    "for each window of a batch: torch counts them as the window's",
}
"""By name, why the work of a window is counted otherwise."""

Zoo = Mapping[tuple[str, str], ZooRow]


@dataclass(frozen=True)
class Row:
    """A network, and mult-adds for one window.

    Attributes:
        library, name: which one.
        window: pixels per axis.
        ours: by ``everywindow.cost``.
        torchs: of a window, by torch.
        of_weights: by torch, of what is computed from weights alone, whatever the windows.
        refused: why the package gives no scores, and no count.
        failed: what went wrong with either count.
    """

    library: str
    name: str
    window: int
    ours: int = 0
    torchs: int = 0
    of_weights: int = 0
    refused: str = ""
    failed: str = ""

    @property
    def equal(self) -> bool:
        """Whether both count the same for a window."""
        return not (self.refused or self.failed) and self.ours == self.torchs

    @property
    def known(self) -> bool:
        """Whether the two are equal, or it is known why not."""
        return self.equal or bool(self.refused) or self.name in REASONS

    def __str__(self) -> str:
        numbers = f"{self.ours:>16,} {self.torchs:>16,} {self.of_weights:>12,}"
        verdict = self.refused or self.failed or ("" if self.equal else "differ")
        return f"{self.library}:{self.name:40} {self.window:>4} {numbers}  {verdict}".rstrip()


def row_of(library: str, name: str, zoo: Zoo | None = None) -> Row:
    """Count with both; ``zoo``: our counts as they stand there, for networks that are not captured anew."""
    row = Row(library, name, 0)
    try:
        if zoo is None:
            module = _built(library, name)
            row = replace(row, window=_window(library, name, module))
            row = replace(row, ours=ours(module, row.window))
        else:
            there = zoo[library, name]
            row = replace(row, window=there.window, ours=there.macs_window)
            if there.refused or not there.macs_window:
                return replace(row, refused=there.reason)
        row = replace(row, torchs=(counts := torchs(library, name, row.window))[0], of_weights=counts[1])
    except EverywindowError as error:
        return replace(row, refused=str(error))
    except Exception as error:  # whatever the network's code raises: the others are still counted
        return replace(row, failed=f"{type(error).__name__}: {error}")
    return row


def _built(library: str, name: str) -> nn.Module:
    return build(library, name).requires_grad_(False)  # torch's counter hooks into gradients


def _window(library: str, name: str, module: nn.Module) -> int:
    return WINDOWS.get(name, 224) if library == "torchvision" else smallest_window(module)


def ours(module: nn.Module, window: int) -> int:
    """Mult-adds for one window, as ``everywindow.cost`` counts them.

    Raises:
        EverywindowError: windows cannot be scored apart, or the network cannot be captured.
    """
    network = captured(module, (window, window), CHANNELS)
    return crops_macs(network, WindowGrid((window, window), (window, window), (window, window)))


def torchs(library: str, name: str, window: int) -> tuple[int, int]:
    """Mult-adds of a window, and those of what is computed from weights alone, as torch counts them."""
    try:
        with torch.device("meta"):
            module = _built(library, name)
        one, two = (_counted(module, window, batch) for batch in (1, 2))
    except (NotImplementedError, RuntimeError):  # computes with values
        module = _built(library, name)
        one, two = (_counted(module, window, batch) for batch in (1, 2))
    return two - one, 2 * one - two


def _counted(module: nn.Module, window: int, batch: int) -> int:
    image = torch.zeros(batch, CHANNELS, window, window, device=next(module.parameters()).device)
    # torch counts no fused attention of its processor
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        module(image)
    return int(counter.get_total_flops()) // 2


def section(rows: Sequence[Row]) -> str:
    """The part of the page."""
    lines = ["## Against torch's counter, network by network", ""]
    for library in LIBRARIES:
        some = [row for row in rows if row.library == library]
        lines += [_summary(library, some)] if some else []
    lines += [*_of_weights(rows), *_differing(rows)]
    return "\n".join(lines).rstrip() + "\n"


def _summary(library: str, rows: Sequence[Row]) -> str:
    tried = [row for row in rows if not (row.refused or row.failed)]
    refused = f", and {counted_as(len(rows) - len(tried), 'network')} without a count" if len(tried) < len(rows) else ""
    sizes = [row.window for row in rows]
    return (
        f"- **{library} {version(library)}**, {counted_as(len(rows), 'network')}, windows of {min(sizes)} to "
        f"{max(sizes)} pixels: equal for {sum(row.equal for row in tried)} of {len(tried)}{refused}."
    )


def _of_weights(rows: Sequence[Row]) -> list[str]:
    """Those where torch counts what no window needs."""
    found = [row for row in rows if row.of_weights]
    if not found:
        return []
    each = (f"`{row.name}` {100 * row.of_weights / max(1, row.torchs + row.of_weights):.2g} %" for row in found)
    text = "What is computed from weights alone, such as position biases, does not grow"
    return ["", f"{text} with the windows. Torch's counter adds it, with so much of its count: {', '.join(each)}."]


def _differing(rows: Sequence[Row]) -> list[str]:
    """Those that are counted otherwise, and those that are not counted."""
    found = [row for row in rows if not row.equal]
    if not found:
        return []
    lines = (f"| {row.name} | {_ours(row)} | {row.torchs:,} | {_why(row)} |" for row in found)
    return ["", "| network | ours | torch's | why |", "| --- | --- | --- | --- |", *lines]


def _ours(row: Row) -> str:
    return "none" if row.refused or row.failed else f"{row.ours:,}"


def _why(row: Row) -> str:
    return REASONS.get(row.name, row.refused or row.failed or "**not known**").replace("|", "\\|")


def wanted(given: Sequence[str], all_timm: bool) -> list[tuple[str, str]]:
    """The networks, as library and name."""
    if given:
        return [(library or "torchvision", name) for library, _, name in (one.rpartition(":") for one in given)]
    timm = names("timm") if all_timm else list(smallest_of_each().values())
    return [*(("timm", name) for name in timm), *(("torchvision", name) for name in names("torchvision"))]


def counted(one: tuple[str, str], kept: dict[tuple[str, str], Row], file: Path | None, zoo: Zoo | None) -> Row:
    """A row as it was kept, or a new one, kept at once."""
    if one in kept:
        return kept[one]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        row = row_of(*one, zoo)
    gc.collect()
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(asdict(row)) + "\n")
    return row


def read(file: Path | None) -> dict[tuple[str, str], Row]:
    """The rows that a file keeps."""
    lines = file.read_text("utf-8").splitlines() if file is not None and file.exists() else []
    rows = (Row(**json.loads(line)) for line in lines)
    return {(row.library, row.name): row for row in rows}


def main(arguments: Sequence[str] | None = None) -> int:
    """Count all of them, or those that are named; 0 where all are equal or it is known why not."""
    parser = argparse.ArgumentParser(prog="benchmarks.counts", description=str(__doc__).partition("\n")[0])
    parser.add_argument("names", nargs="*", help="torchvision:NAME or timm:NAME, and no others")
    parser.add_argument("--all-timm", action="store_true", help="all of timm's networks, not the smallest of a family")
    parser.add_argument("--kept", type=Path, help="a file that keeps the rows, for a run that may be stopped")
    parser.add_argument("--zoo", type=Path, help="rows of `make zoo` to take our counts from: no network is captured")
    parser.add_argument("--out", type=Path, help="the page whose section is written")
    options = parser.parse_args(arguments)
    kept, rows = read(options.kept), []
    zoo = None if options.zoo is None else {(row.library, row.name): row for row in Results.read(options.zoo).rows}
    for one in wanted(options.names, options.all_timm):
        rows.append(counted(one, kept, options.kept, zoo))
        print(rows[-1], flush=True)
    print(f"{sum(row.equal for row in rows)} of {len(rows)} equal")
    if options.out is not None:
        page = options.out.read_text(encoding="utf-8")
        options.out.write_text(with_section(page, section(rows), COUNTS), encoding="utf-8")
    return 0 if all(row.known for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
