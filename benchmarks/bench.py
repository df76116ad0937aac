"""Time the modes against a plain sliding window and write the tables: ``make bench``.

Each row is kept in ``build/bench`` as it comes. The page is written from all rows that are there, so that rows can be
measured one by one: ``python -m benchmarks.bench --only vgg16 --out docs/benchmarks.md``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.finer import FinerRow, measure_finer
from benchmarks.measure import Row, measure
from benchmarks.page import finer_summary, page, summary
from benchmarks.results import FOLDER, QUICK_FOLDER, Kept, fingerprint, keep, present_conditions, read
from benchmarks.section import PREDICTIONS, STREAMING, write_keeping_section
from benchmarks.workloads import FINER, WORKLOADS, Finer, Workload
from everywindow.errors import EverywindowError
from torchvision_shim import make_importable

ALL: tuple[Workload | Finer, ...] = (*WORKLOADS, *FINER)
NAMES = [work.name for work in ALL]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what was asked for, print each row as it comes, write the page."""
    options = _options(arguments)
    if not make_importable():
        print("torchvision: not installed; its networks are part of the benchmark", file=sys.stderr)
        return 1
    folder = QUICK_FOLDER if options.quick else FOLDER
    failed = 0
    for work in ALL:
        if not options.page and (not options.only or work.name in options.only):
            failed += not _measured(work, options.rounds, options.quick, folder)
    if options.out:
        write_keeping_section(options.out, _page(folder), STREAMING, PREDICTIONS)
    return int(failed > 0)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="Markdown page to write from all rows that were ever measured")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=NAMES, metavar="ROW", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--page", action="store_true", help="measure nothing, only write the page")
    parser.add_argument("--quick", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def _measured(work: Workload | Finer, rounds: int, quick: bool, folder: Path) -> bool:
    """Measure a row and keep it; whether that could be done."""
    work = work.quick() if quick else work
    conditions = present_conditions(rounds)
    try:
        if isinstance(work, Workload):
            row = measure(work, rounds)
            keep(folder, work.name, Kept(row, conditions))
            print(summary(work, row), flush=True)
        else:
            finer = measure_finer(work, rounds)
            keep(folder, work.name, Kept(finer, conditions))
            print(finer_summary(work, finer), flush=True)
    except (EverywindowError, ValueError) as error:
        print(f"{work.name}: {error}", file=sys.stderr, flush=True)
        return False
    return True


def _page(folder: Path) -> str:
    rows = [(work, kept) for work in WORKLOADS if (kept := read(folder, work.name, Row)) is not None]
    finer = [(work, other) for work in FINER if (other := read(folder, work.name, FinerRow)) is not None]
    now = fingerprint()
    found = [(work.name, kept.conditions.code) for work, kept in rows]
    found += [(work.name, kept.conditions.code) for work, kept in finer]
    for name in sorted(set(NAMES) - {name for name, _ in found}):
        print(f"{name}: not measured, and not on the page", file=sys.stderr)
    for name in (name for name, code in found if code != now):
        print(f"{name}: measured before the package's code changed last", file=sys.stderr)
    return page(rows, finer)


if __name__ == "__main__":
    sys.exit(main())
