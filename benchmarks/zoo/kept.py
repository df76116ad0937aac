"""Rows that were found before, and new ones, each in a process of its own."""

from __future__ import annotations

import hashlib
import json
import resource
import signal
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from math import ceil
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks.zoo.examine import examine
from benchmarks.zoo.families import family_of
from benchmarks.zoo.networks import version
from benchmarks.zoo.row import Row

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / "build" / "zoo"
_PROCESSES = get_context("forkserver")


SECONDS = {"torchvision": 1800.0, "timm": 900.0}
"""Processor time that a network may take on one thread: what else the machine does makes no difference."""

STALLED = 20
"""So many times as long a network may take by the clock."""


class Limits(NamedTuple):
    """What a row may take.

    Attributes:
        seconds: of processor time for one row; None for those of its library (:data:`SECONDS`).
        threads: of each process.
        workers: processes at a time.
    """

    seconds: float | None
    threads: int
    workers: int


def fingerprint() -> str:
    """Of the package's code, of this benchmark and of what it tests with."""
    files = [*(ROOT / "src").rglob("*.py"), *(ROOT / "tests").glob("[!t]*.py")]
    files += [Path(__file__).with_name(f"{name}.py") for name in ("examine", "networks", "row", "subject")]
    files.append(ROOT / "tests" / "trial_weights.py")
    digest = hashlib.sha256(torch.__version__.encode())
    for file in sorted(files):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def rows_for(wanted: Sequence[tuple[str, str]], limits: Limits) -> Iterator[Row]:
    """A row for each library and name, in that order; from an earlier run of the same code where there is one."""
    _PROCESSES.set_forkserver_preload([__name__])
    code = fingerprint()
    marks = {library: f"{code} {version(library)}" for library in {library for library, _ in wanted}}

    def find(one: tuple[str, str]) -> Row:
        library, name = one
        return _kept_or_new(library, name, marks[library], limits)

    with ThreadPoolExecutor(limits.workers) as pool:
        yield from pool.map(find, wanted)


def _kept_or_new(library: str, name: str, mark: str, limits: Limits) -> Row:
    seconds = limits.seconds or SECONDS[library]
    path = CACHE / library / f"{name}.json"
    if path.exists():
        kept = json.loads(path.read_text())
        row = Row.read(kept["row"])
        if kept["fingerprint"] == mark and not (row.untried and kept["seconds"] < seconds):
            return row
    row = _new(library, name, seconds, limits.threads)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"fingerprint": mark, "seconds": seconds, "row": asdict(row)}))
    return row


def _new(library: str, name: str, seconds: float, threads: int) -> Row:
    """A row that is found in a process of its own; one that takes too long, or ends it, says so."""
    receiver, sender = _PROCESSES.Pipe(duplex=False)
    process = _PROCESSES.Process(target=_send, args=(sender, library, name, seconds, threads), daemon=True)
    process.start()
    sender.close()
    empty = Row(library, name, family_of(library, name))
    try:
        if not receiver.poll(seconds * STALLED):
            return replace(empty, untried=f"takes longer than {seconds:.0f} s", seconds=seconds)
        found: Row = receiver.recv()
        return found
    except EOFError:
        process.join()
        if process.exitcode == -signal.SIGXCPU:
            return replace(empty, untried=f"takes longer than {seconds:.0f} s", seconds=seconds)
        return replace(empty, wrong=f"its process ended with {process.exitcode}")
    finally:
        process.kill()
        process.join()


def _send(sender: Connection, library: str, name: str, seconds: float, threads: int) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (ceil(seconds * threads), resource.RLIM_INFINITY))
    warnings.simplefilter("ignore")
    torch.set_num_threads(threads)
    try:
        row = examine(library, name)
    except Exception as error:
        why = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        row = Row(library, name, family_of(library, name), wrong=why)
    sender.send(row)
