"""Time the engines against a plain sliding window and write the table: ``make bench``."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch

from benchmarks.measure import Row, measure
from benchmarks.workloads import WORKLOADS
from torchvision_shim import make_importable

TEXT = """# Benchmarks

How long one pass takes, and windows one by one, against a sliding window that a careful user writes by hand
([plain_crops.py](../benchmarks/plain_crops.py)): the original module under `torch.inference_mode`, at the
fastest of two memory formats and batch sizes of 1 to 32. That script shares no code with the package.

All sides are timed in turns in one process, and each keeps the best of {rounds} rounds. Compare the ratios:
seconds differ between machines, and between hours on one machine. The weights are drawn at random.

{table}

- **script**, **crops**, **one pass**: seconds for all windows, by the plain script, by `mode="crops"` and by
  `mode="fcn"`, as `everywindow.scan` is called, from the image to the score map. Of more than 200 windows the
  script runs 200, spread over the image, and the time is scaled up. Where there are too many windows for the
  engine `crops` as well (N4), both run a part of the image.
- **bound**: mult-adds of the windows one by one over those of one pass. **share**: the speed-up of one pass
  over the script, divided by the bound.
- **differences** are the largest to the script's scores, relative to the scores' spread between windows.
  Where a network pads with zeros one pass is not the crops, and its verdict says so (*padded*).

Made by `make bench` on {date}: {machine}, Python {python}, torch {torch}, {threads} threads.
"""

HEAD = (
    *("network", "image", "windows", "script", "at", "crops", "script : crops", "one pass"),
    *("script : one pass", "bound", "share", "difference of crops", "of one pass"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what was asked for, print each row as it comes, write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="Markdown page to write")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", choices=[work.name for work in WORKLOADS], help="workloads to run")
    options = parser.parse_args(arguments)
    if not make_importable():
        print("torchvision: not installed; its networks are part of the benchmark", file=sys.stderr)
        return 1
    lines = [_line(HEAD), _line(["---"] * len(HEAD))]
    print(*lines, sep="\n", flush=True)
    for workload in WORKLOADS:
        if not options.only or workload.name in options.only:
            lines.append(_line(_cells(measure(workload, options.rounds))))
            print(lines[-1], flush=True)
    if options.out:
        options.out.write_text(_page("\n".join(lines), options.rounds), encoding="utf-8")
    return 0


def _cells(row: Row) -> list[str]:
    work = row.workload
    return [
        f"{work.name}, window {work.window}, stride {work.stride}",
        f"{work.image_size}×{work.image_size}",
        f"{work.windows:,}",
        f"{row.script:.3g} s",
        str(row.setting),
        f"{row.crops:.3g} s",
        f"{row.script / row.crops:.2f}",
        f"{row.fcn:.3g} s",
        f"**{row.script / row.fcn:.1f}**",
        f"{row.macs_ratio:.1f}",
        f"**{row.share_of_bound:.2f}**",
        f"{row.crops_difference:.0e}",
        f"{row.fcn_difference:.0e}" + ("" if row.exact else " (padded)"),
    ]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _page(table: str, rounds: int) -> str:
    return TEXT.format(
        rounds=rounds,
        table=table,
        date=datetime.now(UTC).date().isoformat(),
        machine=f"{os.cpu_count()} cores of {_processor()}",
        python=platform.python_version(),
        torch=torch.__version__,
        threads=torch.get_num_threads(),
    )


def _processor() -> str:
    """The processor's name as the system gives it."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else 'an unknown processor'} ({platform.machine()})"


if __name__ == "__main__":
    sys.exit(main())
