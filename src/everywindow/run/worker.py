"""A worker: opens image, model and result itself, and works on a batch of tiles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from everywindow.engines import Prepared, TileEngine, prepare, share_pages
from everywindow.errors import InputError
from everywindow.geometry import Place, WindowGrid
from everywindow.io import Region, Source, Store, open_source, region_of
from everywindow.models import Classifier, load
from everywindow.run.budget import Room
from everywindow.run.emptiness import Wanted, wanted_windows
from everywindow.run.manifest import TileState, read_run
from everywindow.run.pipeline import Opened, states
from everywindow.run.spec import Job
from everywindow.run.stopping import Stop
from everywindow.run.tiling import Tiling, pixels_of


@dataclass(frozen=True)
class Scene:
    """An opened image, as a classifier sees it."""

    source: Source
    region: Region

    def grid(self, window: tuple[int, ...], stride: tuple[int, ...]) -> WindowGrid:
        """The windows, padding included.

        Raises:
            InputError: it is smaller than the window.
        """
        return WindowGrid(self.region.size, window, stride)

    def place(self, window: tuple[int, ...], stride: tuple[int, ...]) -> Place:
        """Where the windows lie."""
        region = self.region
        return Place(window, stride, region.pad, region.origin, region.downsample)


@contextmanager
def opened_scene(path: str, known: Classifier, view: dict[str, Any]) -> Iterator[Scene]:
    """The image, taken as ``view`` says; closed at the end."""
    source = open_source(path, known.channels, len(known.window))
    try:
        region = region_of(source, channels=known.channels, mean=known.mean, std=known.std, **view)
        yield Scene(source, region)
    finally:
        source.close()


def wanted_of(mask: dict[str, Any], scene: Scene, window: tuple[int, ...], stride: tuple[int, ...]) -> Wanted:
    """Which windows are worth scoring."""
    return wanted_windows(mask["kind"], scene.region, scene.place(window, stride))


def engine_of(job: Job, known: Classifier, prepared: Prepared) -> TileEngine:
    """The engine under the settings of a job."""
    return TileEngine(prepared, known.window, job.stride, job.settings, job.mode, job.output)


def opened(
    job: Job,
    result: Path,
    engine: TileEngine,
    known: Classifier,
    scene: Scene,
    wanted: Wanted,
    memory: int | None = None,
) -> Opened:
    """Everything that the tiles of a job are made with; ``memory`` in bytes is what the whole process may take."""
    grid = scene.grid(known.window, job.stride)
    store = Store.open(result, writable=True)
    reading = scene.region.bytes_per_pixel * prod(pixels_of(grid, job.tile))
    room = Room(memory, reading + engine.peak_bytes(job.tile, grid))
    return Opened(scene.region, engine, store, wanted, grid, Tiling(job.counts, job.tile), room)


def work(result: str, tiles: Sequence[int]) -> list[TileState]:
    """Work on some tiles of a result whose ``run.json`` says all that is needed; what became of each.

    Takes plain data and gives plain data, so that another process or machine can do it. The caller records the states.

    Raises:
        InputError: the run is of a model that only the process which began it has.
    """
    share_pages()
    record = read_run(Path(result))
    if record is None:
        raise InputError(result, "has no run.json", "give a result that was streamed")
    job = Job.of(record)
    if job.model is None:
        raise InputError(result, "its model was given as an object", "give it by name or as a bundle")
    known = load(job.model["spec"], **{name: value for name, value in job.model.items() if name != "spec"})
    with ExitStack() as stack:
        stack.enter_context(job.settings.in_force())
        scene = stack.enter_context(opened_scene(job.image, known, job.view))
        prepared = prepare(known.module, known.window, known.channels, job.device, job.dtype)
        wanted = wanted_of(job.mask, scene, known.window, job.stride)
        engine = engine_of(job, known, prepared)
        return list(states(opened(job, Path(result), engine, known, scene, wanted), tiles, Stop()))
