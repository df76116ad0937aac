"""From a network and an image to the scores of every window: which engine, which settings, and the run."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from everywindow.costing import crops_macs, fcn_macs
from everywindow.engines.choose import Choice, choose
from everywindow.engines.crops import quiet_tf32, run_crops
from everywindow.engines.exact import plan_exact, run_exact
from everywindow.engines.fcn import run_fcn
from everywindow.engines.job import Job
from everywindow.engines.layers import layer_plans
from everywindow.engines.measured import remember
from everywindow.engines.memory import memory_limit
from everywindow.engines.pages import keep_pages
from everywindow.engines.plan import Plan
from everywindow.engines.prepare import Prepared, bytes_per_window, default_stride, for_output, most_together, unproved
from everywindow.engines.tried import one_pass_hint, precision_note
from everywindow.engines.verdicts import EXACT, verdict_of
from everywindow.errors import InputError
from everywindow.geometry import Verdict, WindowGrid
from everywindow.graph import Output, evaluating, using

MODES = ("exact", "fcn", "crops")


@dataclass(frozen=True)
class Run:
    """A finished scan.

    Attributes:
        scores: ``[K, *counts]``, on the CPU.
        verdict: whether they equal the crops'.
        plan: how it was run.
        grid: the windows.
        seconds: wall-clock time, capture and conversion not counted.
    """

    scores: Tensor
    verdict: Verdict
    plan: Plan
    grid: WindowGrid
    seconds: float


def run(
    prepared: Prepared,
    pixels: Tensor,
    window: tuple[int, ...],
    stride: tuple[int, ...] | None,
    *,
    mode: str = "exact",
    output: Output = None,
    memory: int | str | None = None,
    progress: bool | None = None,
) -> Run:
    """Score every window of ``pixels`` ``[C, *size]``.

    Raises:
        InputError: an argument that cannot be used.
        ConversionError, CaptureError: ``mode="fcn"`` and the network has no plain conversion.
    """
    check_mode(mode)
    keep_pages()
    prepared = for_output(prepared, output)
    stride = stride or default_stride(prepared, window)
    grid = WindowGrid(tuple(pixels.shape[1:]), window, stride)
    job = Job(
        prepared,
        pixels,
        pixels.to(prepared.device, prepared.dtype),
        grid,
        mode,
        memory_limit(memory, prepared.device),
        output,
        progress,
    )
    # Planning too is for one thread at a time: what is kept with a network may be thrown away meanwhile.
    with using(prepared.module), quiet_tf32():
        started = time.perf_counter()
        choice = choose(prepared, grid, mode, job.limit)
        planned = time.perf_counter()
        engine = {"crops": _by_crops, "fcn": _by_fcn, "exact": _by_exact}[choice.engine]
        finished = engine(job, choice)
        seconds = time.perf_counter() - planned
        notes = finished.plan.notes + _notes(job, choice, finished)
        if prepared.network is not None:
            remember(prepared.network, grid, choice.engine, job.limit, seconds)
    plan = replace(
        finished.plan,
        notes=notes,
        capture_seconds=prepared.capture_seconds,
        planning_seconds=planned - started,
    )
    return replace(finished, plan=plan, seconds=seconds)


def check_mode(mode: str) -> None:
    """Raise InputError for what is no mode."""
    if mode not in MODES:
        raise InputError("mode", f"{mode!r} is none of {', '.join(MODES)}", "use one of them")


def _notes(job: Job, choice: Choice, finished: Run) -> tuple[str, ...]:
    """What was tried on some windows behind the scan; shown at once where progress is."""
    hint = ""
    if job.mode == "exact" and choice.forecast is not None and finished.plan.predicted_seconds is not None:
        hint = one_pass_hint(job, finished.scores, finished.plan.predicted_seconds, choice.forecast.crops)
    notes = tuple(note for note in (hint, precision_note(job, finished.scores)) if note)
    if sys.stderr.isatty() if job.progress is None else job.progress:
        print(*notes, sep="\n", end="\n" if notes else "", file=sys.stderr)
    return notes


def _by_fcn(job: Job, choice: Choice) -> Run:
    fcn = choice.fcn
    assert fcn is not None
    module = job.prepared.module
    output = job.output if fcn is module else None
    with evaluating(module):
        scores, tiles, memory_format = run_fcn(
            fcn, module, job.pixels, limit=job.limit, output=output, progress=job.progress
        )
    every = (step // own for step, own in zip(job.grid.stride, fcn.geometry.stride, strict=True))
    scores = scores[(slice(None), *(slice(None, None, each) for each in every))]
    macs = sum(fcn_macs(fcn.maps, fcn.geometry.grid(tile.size)) for tile in tiles)
    plan = replace(_plan(job, choice), memory_format=memory_format, tiles=len(tiles), macs=macs)
    verdict = verdict_of(job.prepared, fcn)
    return Run(scores.contiguous().cpu(), verdict, plan, job.grid, 0.0)


def _by_crops(job: Job, choice: Choice) -> Run:
    network = job.prepared.network
    doubt = unproved(job.prepared)
    scores, (batch, memory_format) = run_crops(
        job.prepared.module,
        job.pixels,
        job.grid,
        most=most_together(job.prepared),
        window_bytes=bytes_per_window(job.prepared),
        limit=job.limit,
        output=job.output,
        progress=job.progress,
        kept_with=network,
    )
    macs = None if network is None else crops_macs(network, job.grid)
    told = doubt is None or doubt in choice.reason
    notes = () if told else (f"one window at a time: {doubt}",)
    plan = replace(_plan(job, choice), batch=batch, memory_format=memory_format, macs=macs, notes=notes)
    return Run(scores.cpu(), EXACT, plan, job.grid, 0.0)


def _by_exact(job: Job, choice: Choice) -> Run:
    network, grid = job.prepared.network, job.grid
    assert network is not None
    batches = plan_exact(network, grid, job.limit, job.pixels.element_size(), choice.share)
    with evaluating(job.prepared.module):
        scores = run_exact(network, job.pixels, grid, batches, progress=job.progress)
    plan = replace(
        _plan(job, choice),
        batch=batches.batch,
        memory_format="channels_last",
        tiles=len(batches.rectangles),
        macs=batches.macs,
        layers=layer_plans(batches.largest),
        ends=batches.ends,
        peak_bytes=batches.peak,
    )
    return Run(scores.cpu(), EXACT, plan, grid, 0.0)


def _plan(job: Job, choice: Choice) -> Plan:
    """What all engines' plans have in common."""
    predicted = None
    if choice.forecast is not None and choice.engine != "fcn":
        predicted = choice.forecast.crops if choice.engine == "crops" else choice.forecast.exact
    return Plan(
        mode=job.mode,
        engine=choice.engine,
        reason=choice.reason,
        device=str(job.prepared.device),
        dtype=str(job.prepared.dtype).removeprefix("torch."),
        batch=1,
        memory_format="contiguous",
        tiles=0,
        threads=torch.get_num_threads(),
        macs=None,
        predicted_seconds=predicted,
    )
