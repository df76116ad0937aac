"""The law of the exact engine on thousands of random networks: ``python -m benchmarks.laws --out docs/zoo.md``.

The law is the one of ``tests/test_exact.py``: at any stride, on an image of any size, within any memory limit, with
sharing up to any call, the scores are those of the plain sliding window; single pixels outside a window leave its
score alone. Here the examples follow from a seed. They run in chunks of networks, each in a process of its own, whose
results are kept in ``build/laws``: a run that was stopped goes on where it was, and a change of the package's code or
of the tests makes them void. The exit code is 1 where a score differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

import torch
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from benchmarks.section import with_section
from benchmarks.zoo import kept as zoo
from exact_law import Tally, check_network
from random_networks import Example, networks

CACHE = zoo.ROOT / "build" / "laws"
CHUNK = 100
"""Networks in a chunk."""

SCANS = 4
"""Scans of a network. To capture a small network takes longer than to scan with it."""


@dataclass(frozen=True)
class Chunk:
    """What was found for one chunk of networks.

    Attributes:
        tally: what was tried.
        failure: how a score differs; empty where none does.
    """

    tally: Tally
    failure: str = ""


def examine(number: int) -> Chunk:
    """Try one chunk of networks; it is told by its number alone."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    tally = Tally()
    quiet = settings(
        max_examples=CHUNK,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )

    @seed(number)
    @quiet
    @given(data=st.data(), example=st.one_of(networks(), networks(wide=True)))
    def check(data: st.DataObject, example: Example) -> None:
        check_network(data.draw, example, tally, SCANS)

    try:
        check()
    except Exception as error:
        notes = getattr(error, "__notes__", [])
        return Chunk(tally, "\n".join([f"{type(error).__name__}: {error}", *notes]))
    return Chunk(tally)


def fingerprint() -> str:
    """Of all that the results depend on."""
    return hashlib.sha256(zoo.fingerprint().encode() + Path(__file__).read_bytes()).hexdigest()[:16]


def kept_or_new(number: int, mark: str) -> Chunk:
    """A chunk from an earlier run of the same code, else a new one, tried in a process of its own."""
    path = CACHE / f"{number}.json"
    if path.exists():
        kept = json.loads(path.read_text())
        if kept["fingerprint"] == mark:
            return Chunk(Tally(**kept["tally"]), kept["failure"])
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
        chunk = alone.submit(examine, number).result()
    CACHE.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**asdict(chunk), "fingerprint": mark}))
    return chunk


def added(tallies: Sequence[Tally]) -> Tally:
    """All that was tried."""
    total = Tally()
    for tally in tallies:
        for name, value in asdict(tally).items():
            so_far = getattr(total, name)
            setattr(total, name, max(so_far, value) if name == "difference" else so_far + value)
    return total


TEXT = """\
## The law, on random networks

{scans:,} random scans of {networks:,} random networks in one, two and three dimensions, padded and unpadded, half of
them with layers that look at the whole window: strides that divide the network's, that are multiples of it and that
are neither, different per axis; images of odd sizes; any memory limit; sharing up to any call. In float64, by the
exact engine, against the plain sliding window, with seed {seed}.

| | |
|---|---|
| largest difference, relative to the spread between windows | {difference:.1e} |
| scans that differ by more than 1e-10, or that fail (each ends its chunk of networks) | {wrong} |
| scans in which some call ran on shared values | {shared:,}, of {sharing:,} networks |
| scans in several rectangles | {rectangles:,} |
| windows beside which a pixel was changed, and whose score stayed within 1e-12 | {outside:,} |
| windows on whose border a pixel was changed, and whose score moved as the crop's does | {border:,} |
| further networks that tell windows apart too little to prove anything | {blind:,} |
| further networks that mode exact leaves to the crops | {crops_only:,} |

Made by `make laws EXAMPLES={examples} SEED={seed}`.
"""


def section(total: Tally, examples: int, number: int, wrong: int) -> str:
    """The part of the page."""
    return TEXT.format(**asdict(total), examples=examples, seed=number, wrong=wrong)


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the law; 0 where it holds."""
    parser = argparse.ArgumentParser(description="Compare the exact engine with the crops on random networks.")
    parser.add_argument("--out", type=Path, required=True, help="the Markdown page whose marked part is written")
    parser.add_argument("--examples", type=int, default=10000, help="scans to compare, at least")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    mark, chunks = fingerprint(), list[Chunk]()
    total = Tally()
    while total.scans < options.examples:
        chunks.append(kept_or_new(options.seed * 10**6 + len(chunks), mark))
        total = added([chunk.tally for chunk in chunks])
        print(f"{total.scans:,} scans, largest difference {total.difference:.1e}", file=sys.stderr, flush=True)
        if chunks[-1].failure:
            print(chunks[-1].failure, file=sys.stderr)
    wrong = sum(bool(chunk.failure) for chunk in chunks)
    page = options.out.read_text() if options.out.exists() else "# The zoo\n"
    options.out.write_text(with_section(page, section(total, options.examples, options.seed, wrong)))
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
