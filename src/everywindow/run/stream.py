"""A run from beginning to end: what is asked for, what is done already, and the rest of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from math import prod
from pathlib import Path

from everywindow.engines import Plan, Prepared, share_pages
from everywindow.errors import InputError, StoppedError
from everywindow.geometry import Verdict
from everywindow.io import Store, add_levels, remove_partial, stamp
from everywindow.models import Classifier, warn_if_unknown
from everywindow.run.begin import asked_for, check_place, make, settled, taken_up
from everywindow.run.executors import Executor, Serial
from everywindow.run.manifest import DONE, FAILED, SKIPPED, TILES, Manifest, TileState, damaged
from everywindow.run.progress import RunProgress
from everywindow.run.spec import Job
from everywindow.run.stopping import interruptible, stoppable
from everywindow.run.task import Task
from everywindow.run.tiling import Tiling
from everywindow.run.worker import engine_of, opened, opened_scene, wanted_of


@dataclass(frozen=True)
class Streamed:
    """What a run over an image in tiles came to.

    Attributes:
        path: of the result.
        counts: windows per axis.
        tiles: how many in all.
        failed: those that could not be read or computed, with the reason; NaN in the map.
        skipped: how many tiles had nothing that is wanted.
        scored: windows that have scores.
        bytes: of all scores, as they lie in memory.
        mode, verdict, plan: as of a scan.
        resumed: how many tiles were done before.
        seconds: of this run.
    """

    path: Path
    counts: tuple[int, ...]
    tiles: int
    failed: tuple[TileState, ...]
    skipped: int
    scored: int
    bytes: int
    mode: str
    verdict: Verdict
    plan: Plan
    resumed: int
    seconds: float

    @property
    def windows(self) -> int:
        """Windows of the image, scored or not."""
        return prod(self.counts)

    @property
    def unchanged(self) -> bool:
        """Whether all was done before."""
        return self.resumed == self.tiles


def stream(known: Classifier, prepared: Prepared, task: Task) -> Streamed:
    """Score every wanted window of an image into a result on disk.

    Raises:
        InputError: something cannot be used, or what is there is of another job.
        StoppedError: a signal asked to stop; what is done stays.
    """
    started = time.perf_counter()
    share_pages()
    with interruptible(str(task.out)), ExitStack() as stack:
        check_place(task.out)
        before_reading = stamp(task.image)
        scene = stack.enter_context(opened_scene(task.image, known, task.view))
        wanted = wanted_of(task.mask, scene, known.window, task.stride)
        if scene.region.counted:
            warn_if_unknown(known)
        record = asked_for(known, prepared, task, scene, wanted)
        there = taken_up(task, record)
        job = there or settled(known, prepared, task, scene, wanted, record)
        stack.enter_context(job.settings.in_force())
        engine = engine_of(job, known, prepared)
        plan = engine.plan(scene.grid(known.window, job.stride), Tiling(job.counts, job.tile).every())
        if there is None:
            make(job, known, scene, engine, plan, task)
        manifest = _manifest(stack, job, task, begun=there is not None)
        before = _left_as_it_is(manifest, job, task, begun=there is not None)
        if not manifest.finished:
            remove_partial(task.out)
            executor = Serial(opened(job, task.out, engine, known, scene, wanted, task.memory))
            _work(executor, manifest, job, task)
            add_levels(task.out)
            _check_unchanged(task, before_reading)
            manifest.finish()
        return _streamed(job, manifest, plan, engine.verdict, task, before, time.perf_counter() - started)


def _check_unchanged(task: Task, before: Sequence[object]) -> None:
    """Of an image that was written to meanwhile the map is of no use: parts of it are of another image.

    Raises:
        InputError: it was.
    """
    try:
        same = stamp(task.image) == before
    except (InputError, OSError):
        same = False
    if not same:
        why = "was written to while it was scanned: parts of the map are of other pixels"
        raise InputError(task.image, why, "scan it again when it is whole, with --overwrite")


def _manifest(stack: ExitStack, job: Job, task: Task, begun: bool) -> Manifest:
    """What is done already; with the lock, unless nothing is to be written."""
    manifest = Manifest(task.out)
    if begun:
        manifest.look()
        if manifest.finished and not (task.resume and _again(manifest, job, task)):
            return manifest
    return stack.enter_context(manifest)


def _again(manifest: Manifest, job: Job, task: Task) -> list[int]:
    """The tiles that failed, and those whose scores are no longer on the disk."""
    return [*manifest.failed(), *_lost(manifest, job, task)]


def _lost(manifest: Manifest, job: Job, task: Task) -> list[int]:
    tiling, store = Tiling(job.counts, job.tile), Store.open(task.out)
    if any(tile >= tiling.total for tile in manifest.states):
        raise damaged(task.out / TILES, ValueError(f"it knows more tiles than {tiling.total}"))
    done = [tile for tile, state in manifest.states.items() if state.state == DONE]
    return [tile for tile in done if not store.holds(tiling.windows(tile))]


def _left_as_it_is(manifest: Manifest, job: Job, task: Task, begun: bool) -> int:
    """How many tiles are done; those that failed are tried again.

    Raises:
        InputError: a run that was begun and not finished, or has lost scores, and nobody asks to resume it.
    """
    if begun and not task.resume and not manifest.finished:
        total = Tiling(job.counts, job.tile).total
        raise InputError(
            str(task.out),
            f"has a run that was begun ({len(manifest.states)} of {total} tiles)",
            "give --resume to go on with it, or --overwrite",
        )
    if begun and task.resume:
        again = _again(manifest, job, task)
        if again:
            manifest.reopen(again)
    elif begun and (lost := _lost(manifest, job, task)):
        why = f"the scores of {len(lost)} of its {len(manifest.states)} tiles are no longer there"
        raise InputError(str(task.out), why, "give --resume to compute them again")
    return len(manifest.states)


def _work(executor: Executor, manifest: Manifest, job: Job, task: Task) -> None:
    """Work on the tiles that are left, and record each."""
    tiling = Tiling(job.counts, job.tile)
    left = [tile for tile in range(tiling.total) if tile not in manifest.states]
    before = sum(_count(tiling, tile) for tile in manifest.states)
    failed = 0
    with stoppable() as stop, RunProgress(prod(job.counts), before, task.progress) as bar:
        for state in executor.run(left, stop, task.fail_fast):
            manifest.put(state)
            failed += state.state == FAILED
            bar.update(_count(tiling, state.tile), failed)
        if stop.signal is not None and len(manifest.states) < tiling.total:
            raise StoppedError(
                str(task.out),
                f"stopped on request with {len(manifest.states)} of {tiling.total} tiles done",
                "give --resume to go on",
                stop.signal,
            )


def _count(tiling: Tiling, tile: int) -> int:
    return prod(stop - first for first, stop in tiling.windows(tile))


def _streamed(
    job: Job, manifest: Manifest, plan: Plan, verdict: Verdict, task: Task, before: int, seconds: float
) -> Streamed:
    states = [manifest.states[tile] for tile in sorted(manifest.states)]
    return Streamed(
        path=task.out,
        counts=job.counts,
        tiles=len(states),
        failed=tuple(state for state in states if state.state == FAILED),
        skipped=sum(state.state == SKIPPED for state in states),
        scored=sum(state.windows for state in states),
        bytes=Store.open(task.out).scores.nbytes,
        mode=job.mode,
        verdict=verdict,
        plan=plan,
        resumed=before,
        seconds=seconds,
    )
