"""Streamed scans that are killed with SIGKILL again and again, until they end: what is on disk must be the same bytes.

python -m benchmarks.kills --kills 500 --out docs/reliability.md

A driver that has imported everything forks the runs, so that a run takes little longer than its tiles. Half of the
kills come at any time of a run; the others just before a file operation of a phase (the beginning, the tiles, the
smaller levels, the end), the phases in turn, since the shorter ones would hardly ever be hit. Each run that was killed
is resumed, and killed again up to four times. What is settled by measuring, which may be otherwise each time, is that
of the uninterrupted run, also where a run was killed before it was written down. The exit code is 1 where a result
differs from the uninterrupted one, or anything else is left beside it.
"""

from __future__ import annotations

import argparse
import importlib
import mmap
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr  # noqa: F401  (else each run would take its time to import it)
from torch import nn

import everywindow as ew
from benchmarks.section import with_section
from everywindow.run import manifest
from everywindow.run.manifest import read_run
from everywindow.run.spec import Job

SECTION = "make kills"

BEFORE, BEGINNING, TILES, LEVELS, END, AFTER = PHASES = ("before", "beginning", "tiles", "levels", "end", "after")
"""Of a run: nothing is written, the result is made, its tiles are, the smaller levels, the record; all is there."""

AIMED = (BEGINNING, TILES, LEVELS, END)
MOST = 4
"""Kills until a run is let go to its end."""

OPERATIONS = {"open", "os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.truncate", "shutil.rmtree"}
"""As Python's audit hooks name them."""

SIZE, WINDOW, STRIDE, TILE = (2100, 48), 16, 4, (32, 9)
NAME = "map.zarr"
ASKED: dict[str, Any] = {"stride": STRIDE, "tile": TILE, "memory": "2GiB", "progress": False}
MODES = ("exact", "crops", "fcn")


@dataclass(frozen=True)
class Aim:
    """Just before which file operation of a phase a run dies; by default it lives."""

    phase: str = ""
    operation: int = 0


ALIVE = Aim()


@dataclass
class Tally:
    """What was found.

    Attributes:
        kills: per phase.
        results: that were finished.
        different: what was wrong, in words.
        runs: that were to be killed.
        seconds: in all.
    """

    kills: Counter[str] = field(default_factory=Counter)
    results: int = 0
    different: list[str] = field(default_factory=list)
    runs: int = 0
    seconds: float = 0.0

    @property
    def total(self) -> int:
        """Kills in all phases."""
        return self.kills.total()


class Driver:
    """Forks runs of one small job.

    Args:
        home: an empty folder.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        torch.set_num_threads(1)
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4 * 64, 2)
        )
        self.classifier = ew.Classifier(net.eval(), window=WINDOW, mean=[0.5], std=[0.5])
        self.image = home / "image.npy"
        np.save(self.image, np.random.default_rng(0).integers(0, 256, SIZE, np.uint8))
        # Imported and captured now, and not by each run; with one thread, forking after that is no danger.
        ew.scan(self.classifier, self.image, stride=STRIDE, progress=False)
        self._shared = mmap.mmap(-1, 1 + 8 * len(PHASES))

    def run(
        self, out: Path, mode: str, job: Job | None = None, aim: Aim = ALIVE, after: float | None = None, **options: Any
    ) -> bool:
        """Start a run and wait for its end, or kill it; whether it came to its end by itself.

        Args:
            out: of the result.
            mode: of the scan.
            job: takes the place of what would be settled.
            aim: before which file operation it is killed.
            after: after how many seconds it is killed.
            options: further arguments of ``ew.stream``.

        Raises:
            RuntimeError: it failed.
        """
        self._shared[:] = bytes(len(self._shared))
        child = os.fork()
        if not child:
            self._child(out, job, aim, {"mode": mode, "resume": True, **options})
        if after is not None:
            time.sleep(after)
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            return False
        if status:
            raise RuntimeError((self.home / "errors").read_text(encoding="utf-8"))
        return True

    @property
    def phase(self) -> str:
        """In which the last run was when it ended."""
        return PHASES[self._shared[0]]

    def operations(self, phase: str) -> int:
        """File operations that the last run made in a phase."""
        at = 1 + 8 * PHASES.index(phase)
        return int.from_bytes(self._shared[at : at + 8], "little")

    def _child(self, out: Path, job: Job | None, aim: Aim, options: dict[str, Any]) -> None:
        code = 1
        try:
            self._watch(out, job, aim, bool(options.get("overwrite")))
            ew.stream(self.classifier, self.image, out, **{**ASKED, **options})
            code = 0
        except BaseException:
            (self.home / "errors").write_text(traceback.format_exc(), encoding="utf-8")
        finally:
            os._exit(code)

    def _watch(self, out: Path, job: Job | None, aim: Aim, overwrite: bool) -> None:
        """Tell the driver the phase, count file operations beside the result, and die at the one that is aimed at."""
        # ``everywindow.run.stream`` itself is the function.
        of_stream = importlib.import_module("everywindow.run.stream")
        if job is not None:
            of_stream.__dict__["settled"] = lambda *_: job
        for owner, name, inside, then in (
            (of_stream, "make", BEGINNING, TILES),
            (of_stream, "add_levels", LEVELS, LEVELS),
            (manifest.Manifest, "finish", END, AFTER),
        ):
            setattr(owner, name, self._within(getattr(owner, name), inside, then))
        if out.exists() and not overwrite:  # what was begun is taken up again
            self._shared[0] = PHASES.index(TILES)
        home = str(out.parent)

        def seen(event: str, arguments: tuple[Any, ...]) -> None:
            if event in OPERATIONS and arguments and _path(arguments[0]).startswith(home):
                self._count(aim)

        sys.addaudithook(seen)

    def _within(self, function: Callable[..., Any], inside: str, then: str) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            self._shared[0] = PHASES.index(inside)
            found = function(*arguments, **options)
            self._shared[0] = PHASES.index(then)
            return found

        return wrapped

    def _count(self, aim: Aim) -> None:
        phase = PHASES[self._shared[0]]
        count = self.operations(phase) + 1
        at = 1 + 8 * PHASES.index(phase)
        self._shared[at : at + 8] = count.to_bytes(8, "little")
        if phase == aim.phase and count == aim.operation:
            os.kill(os.getpid(), signal.SIGKILL)


def content(folder: Path) -> dict[str, bytes | None]:
    """Every file below a folder, and every folder (None)."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


@dataclass(frozen=True)
class Whole:
    """A run that was not interrupted: its job, seconds, file operations per phase, and all that is on disk."""

    job: Job
    seconds: float
    operations: dict[str, int]
    content: dict[str, bytes | None]


def uninterrupted(driver: Driver, mode: str) -> Whole:
    """Run once without being killed."""
    folder = driver.home / f"whole-{mode}"
    folder.mkdir()
    started = time.perf_counter()
    driver.run(folder / NAME, mode)
    seconds = time.perf_counter() - started
    job = Job.of(read_run(folder / NAME) or {})
    return Whole(job, seconds, {phase: driver.operations(phase) for phase in AIMED}, content(folder))


def trials(driver: Driver, kills: int, seed: int = 1) -> Tally:
    """Kill runs so many times, resume them until they end, and compare what they have made."""
    started, chance, tally = time.perf_counter(), random.Random(seed), Tally()
    wholes = {mode: uninterrupted(driver, mode) for mode in MODES}
    while tally.total < kills:
        mode = MODES[tally.results % len(MODES)]
        folder = Path(tempfile.mkdtemp(dir=driver.home))
        _killed_and_resumed(driver, folder / NAME, mode, wholes[mode], min(MOST, kills - tally.total), chance, tally)
        tally.results += 1
        found = content(folder)
        if found != wholes[mode].content:
            tally.different.append(f"{folder.name}, {mode}: {difference(wholes[mode].content, found)}")
        shutil.rmtree(folder)
    tally.seconds = time.perf_counter() - started
    return tally


def _killed_and_resumed(
    driver: Driver, out: Path, mode: str, whole: Whole, kills: int, chance: random.Random, tally: Tally
) -> None:
    """Kill a run and what resumes it so many times, or fewer where they are faster; then let it end."""
    for _ in range(2 * kills):
        tally.runs += 1
        aim, after = ALIVE, None
        if tally.runs % 2:
            phase = AIMED[tally.runs // 2 % len(AIMED)]
            aim = Aim(phase, chance.randint(1, whole.operations[phase]))
        else:
            after = chance.uniform(0, whole.seconds)
        if driver.run(out, mode, whole.job, aim, after):
            return
        tally.kills[driver.phase] += 1
        kills -= 1
        if not kills:
            break
    driver.run(out, mode, whole.job)


def page(tally: Tally, seed: int) -> str:
    """The figures, in Markdown."""
    total, wrong = tally.total, len(tally.different)
    same = "all the same bytes as uninterrupted" if not wrong else f"{wrong} of them **different**"
    rows = [f"| {phase} | {tally.kills[phase]} |" for phase in PHASES]
    return "\n".join(
        [
            f"{total} kills (`SIGKILL`), {tally.results} results, {same}; {tally.seconds:.0f} s on one core.",
            f"`python -m benchmarks.kills --kills {total} --seed {seed}`",
            "",
            "| killed in phase | kills |",
            "|---|---:|",
            *rows,
            "",
        ]
    )


def _path(given: Any) -> str:
    return os.fsdecode(given) if isinstance(given, str | bytes | os.PathLike) else ""


def difference(expected: dict[str, bytes | None], found: dict[str, bytes | None]) -> str:
    """Names that differ, or are on one side only."""
    wrong = [name for name in sorted({*expected, *found}) if expected.get(name, 0) != found.get(name, 0)]
    return ", ".join(wrong[:10])


def main() -> int:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        tally = trials(Driver(Path(home)), given.kills, given.seed)
    text = page(tally, given.seed)
    print(text, *tally.different, sep="\n")
    if given.out:
        given.out.write_text(with_section(given.out.read_text("utf-8"), text, SECTION), encoding="utf-8")
    return 1 if tally.different else 0


if __name__ == "__main__":
    sys.exit(main())
