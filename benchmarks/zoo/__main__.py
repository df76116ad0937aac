"""The command line: rows, the JSON file of them, and the pages that are made of it."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.section import with_section, write_keeping_section
from benchmarks.zoo.families import smallest_of_each
from benchmarks.zoo.kept import SECONDS, Limits, rows_for
from benchmarks.zoo.networks import LIBRARIES, names
from benchmarks.zoo.page import line, page
from benchmarks.zoo.readme import SECTION, readme_section
from benchmarks.zoo.recount import recounted
from benchmarks.zoo.results import Results, present

_DEFAULTS = ", ".join(f"{library} {seconds:.0f}" for library, seconds in SECONDS.items())


def wanted(options: argparse.Namespace) -> list[tuple[str, str]]:
    """The networks to try, as library and name."""
    if options.only:
        return [_named(spec) for spec in options.only]
    timm = names("timm") if options.all_timm else list(smallest_of_each().values())
    return [("torchvision", name) for name in names("torchvision")] + [("timm", name) for name in timm]


def _named(spec: str) -> tuple[str, str]:
    library, _, name = spec.rpartition(":")
    library = library or "torchvision"
    if library not in LIBRARIES or name not in names(library):
        raise SystemExit(f"{spec}: no such network; give torchvision:NAME or timm:NAME")
    return library, name


def write(results: Results, out: Path, readme: Path | None) -> None:
    """Write the page, and the README's list."""
    write_keeping_section(out, page(results))
    if readme is not None:
        readme.write_text(with_section(readme.read_text(), readme_section(results), SECTION))


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(prog="benchmarks.zoo", description="Compare known networks with their crops.")
    parser.add_argument("--out", type=Path, help="the Markdown page to write; the rows go into a JSON file beside it")
    parser.add_argument("--readme", type=Path, help="the README whose list of networks is written")
    parser.add_argument("--only", nargs="*", help="these only: torchvision:NAME or timm:NAME")
    parser.add_argument("--all-timm", action="store_true", help="all of timm's networks, not the smallest of a family")
    parser.add_argument("--again", action="store_true", help="run nothing: write the pages of the rows that are there")
    parser.add_argument("--recount", action="store_true", help="with --again: count the mult-adds of the rows anew")
    parser.add_argument("--seconds", type=float, help=f"processor time for one network ({_DEFAULTS})")
    parser.add_argument("--workers", type=int, default=1, help="networks at a time (1)")
    parser.add_argument("--threads", type=int, help="of each network's process (all, divided by the workers)")
    options = parser.parse_args(arguments)
    if options.out is None and (options.again or not options.only):
        parser.error("--out is missing: it may be left out with --only")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the zoo; 0 where no row is wrong."""
    options = parsed(arguments)
    if options.again:
        results = Results.read(options.out.with_suffix(".json"))
        if options.recount:
            results = replace(results, rows=tuple(recounted(results.rows, options.workers)))
            results.write(options.out.with_suffix(".json"))
        write(results, options.out, options.readme)
        return 0
    warnings.simplefilter("ignore")
    threads = options.threads or max(1, torch.get_num_threads() // options.workers)
    rows = []
    for row in rows_for(wanted(options), Limits(options.seconds, threads, options.workers)):
        print(line(row), file=sys.stderr, flush=True)
        rows.append(row)
    if options.out is not None:
        results = present(rows, threads)
        results.write(options.out.with_suffix(".json"))
        write(results, options.out, options.readme)
    return int(any(row.wrong for row in rows))


if __name__ == "__main__":
    sys.exit(main())
