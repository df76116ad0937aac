"""The beginning of a run: a job is settled, and its result made; or a job that was begun is taken up again."""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path
from typing import Any

from torch import Tensor

from everywindow.engines import Plan, Prepared, TileEngine, settle
from everywindow.errors import EverywindowError, InputError
from everywindow.geometry import Span, WindowGrid, times
from everywindow.io import create, identity, is_store
from everywindow.models import Classifier
from everywindow.run.attributes import attributes
from everywindow.run.budget import budget
from everywindow.run.emptiness import Wanted
from everywindow.run.identity import PROBE, bytes_of_scores, model_identity, same_probe, versions
from everywindow.run.manifest import RUN, TILES, damaged, read_run, sync_folder, write_whole
from everywindow.run.pipeline import AHEAD, BEHIND
from everywindow.run.putting import NEW, making, put, tidy
from everywindow.run.spec import Job, Record, difference
from everywindow.run.task import Task
from everywindow.run.tiling import Tiling, pixels_of, tile_shape
from everywindow.run.worker import Scene

MANY_TILES, SMALL = 100, 8
"""So many tiles, and so many times as many as memory asks for, are worth a word."""


def check_place(out: Path) -> None:
    """See before any work that the result can be where it is to be; mend what a run left that was killed meanwhile.

    Raises:
        InputError: something else is there, or a run that is alive is making it.
    """
    tidy(out)
    if out.exists() and not is_store(out):
        raise InputError(str(out), "is there and is no result", "choose another name")


def taken_up(task: Task, wanted: Record) -> Job | None:
    """The job of the result that is there; None where there is none.

    Raises:
        InputError: it is of another job, or was not made in tiles.
    """
    if task.overwrite or not task.out.exists():
        return None
    found = read_run(task.out)
    if found is None:
        raise InputError(str(task.out), "is a map that was not made in tiles", "choose another name, or --overwrite")
    now = _copy(wanted)
    _check(found, task.out / RUN)
    probes = [record["identities"]["model"].pop(PROBE, None) for record in (found, now)]
    other = difference(found, now)
    if other is None and not same_probe(*probes):
        other = "the model gives other scores than then"
    if other is not None:
        raise InputError(str(task.out), f"is of another run ({other})", "choose another name, or --overwrite")
    found["identities"]["model"][PROBE] = probes[0]
    return Job.of(found)


def _check(record: Record, file: Path) -> None:
    """See that a record is one of a job."""
    try:
        Job.of(record)
        if not all(isinstance(part, dict) for part in (record["identities"]["model"], record["view"], record["mask"])):
            raise ValueError("it lacks what was scanned")
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(file, error) from error


def asked_for(known: Classifier, prepared: Prepared, task: Task, scene: Scene, wanted: Wanted) -> Record:
    """The job as plain data, without what is settled by measuring."""
    grid = scene.grid(known.window, task.stride)
    return _copy(
        {
            "image": task.image,
            "view": task.view,
            "model": task.model,
            "classifier": {
                name: getattr(known, name) for name in ("window", "channels", "mean", "std", "classes", "activation")
            },
            "mask": task.mask,
            "mode": task.mode,
            "output": task.output,
            "device": str(prepared.device),
            "dtype": str(prepared.dtype).removeprefix("torch."),
            "stride": task.stride,
            "counts": grid.counts,
            "identities": {
                "model": model_identity(known, prepared),
                "image": identity(task.image),
                "wanted": wanted.describe(),
            },
            "versions": versions(),
        }
    )


def settled(known: Classifier, prepared: Prepared, task: Task, scene: Scene, wanted: Wanted, record: Record) -> Job:
    """Choose the tiles, and how the engine works on them."""
    _warn_of_clipped(task.view["roi"], scene)
    grid = scene.grid(known.window, task.stride)
    shares = budget(task.memory)
    reading, computing = scene.region.bytes_per_pixel, known.channels * prepared.dtype.itemsize
    most = shares.tile_pixels(reading, computing, AHEAD + BEHIND)
    scoring = bytes_of_scores(known, prepared, task.output)
    allowed = tile_shape(grid, most, shares.tile_windows(scoring))
    shape = task.tile or allowed
    shape = tuple(min(each, count) for each, count in zip(shape, grid.counts, strict=True))
    _warn_of_small(Tiling(grid.counts, shape), Tiling(grid.counts, allowed))
    values = shares.values_beside(prod(shape), scoring)
    sample = _sample(grid, Tiling(grid.counts, shape), scene, wanted)
    settings = settle(prepared, known.window, task.stride, task.mode, task.output, values, sample)
    return Job.of({**record, "tile": shape, "settings": dataclasses.asdict(settings)})


def _warn_of_clipped(roi: Sequence[Sequence[float]] | None, scene: Scene) -> None:
    size = scene.source.levels[0].size
    if roi is not None and any(start < 0 or stop > n for (start, stop), n in zip(roi, size, strict=True)):
        whole = ",".join(f"0:{n}" for n in size)
        warnings.warn(f"roi: reaches beyond the image, which is {whole}, and ends there", UserWarning, stacklevel=2)


def _warn_of_small(asked: Tiling, allowed: Tiling) -> None:
    if asked.total >= MANY_TILES and asked.total >= SMALL * allowed.total:
        warnings.warn(
            f"tile: {asked.total:,} tiles of {times(asked.shape)} windows, where memory allows {allowed.total:,}: "
            "each is begun by itself and shares nothing with others, so that takes longer",
            UserWarning,
            stacklevel=2,
        )


def _sample(grid: WindowGrid, tiling: Tiling, scene: Scene, wanted: Wanted) -> Tensor:
    """The pixels of the first tile that is wanted and can be read."""
    trouble: EverywindowError | None = None
    for windows in _wanted_tiles(tiling, wanted):
        try:
            return scene.region.read(_pixels(grid, windows))
        except EverywindowError as error:
            trouble = trouble or error
    if trouble is not None:
        raise trouble
    raise InputError("image", "nothing in it is wanted", "look at the mask and the region, or give --mask none")


def _wanted_tiles(tiling: Tiling, wanted: Wanted) -> Iterator[tuple[Span, ...]]:
    """The windows of tiles of which some are wanted, whole tiles first."""
    for windows in sorted(tiling.every(), key=lambda each: tuple(b - a for a, b in each) != tiling.shape):
        try:
            some = bool(wanted.wanted(windows).any())
        except EverywindowError:  # what cannot be read is found out when it is worked on
            some = True
        if some:
            yield windows


def _pixels(grid: WindowGrid, windows: tuple[Span, ...]) -> tuple[Span, ...]:
    starts = [first * step for (first, _), step in zip(windows, grid.stride, strict=True)]
    sizes = pixels_of(grid, [stop - first for first, stop in windows])
    return tuple((start, start + size) for start, size in zip(starts, sizes, strict=True))


def make(job: Job, known: Classifier, scene: Scene, engine: TileEngine, plan: Plan, task: Task) -> None:
    """The result without scores, and ``run.json``; it appears as a whole, in place of what may be replaced.

    Raises:
        InputError: it cannot be written.
    """
    grid = scene.grid(known.window, job.stride)
    scores = _one(engine, grid, scene)
    activation, classes = task.describe(scores)
    found = attributes(job, known, scene, engine.verdict, plan, activation, classes)
    labels = classes or [f"class {index}" for index in range(len(scores))]
    try:
        with making(task.out) as folder:
            made = folder / NEW
            create(made, len(scores), job.counts, job.tile, str(_numpy_dtype(scores)), found, labels)
            write_whole(made / RUN, json.dumps(job.record(), indent=1) + "\n")
            write_whole(made / TILES, "")
            sync_folder(made)
            put(folder, task.out, task.overwrite)
    except OSError as error:
        why = f"cannot be written ({error.strerror or error})"
        raise InputError(str(task.out), why, "choose another place") from error


def _one(engine: TileEngine, grid: WindowGrid, scene: Scene) -> Tensor:
    """The scores of a window of nothing, to see how many there are."""
    scores = engine.sample(grid, scene.region.channels)
    return scores.float() if scores.dtype.itemsize < 4 else scores


def _numpy_dtype(scores: Tensor) -> Any:
    return scores.numpy().dtype


def _copy(record: Record) -> Record:
    copied: Record = json.loads(json.dumps(record))
    return copied
