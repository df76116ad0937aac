"""The reference: the original network on each window, in batches."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from everywindow.engines.formats import formatted_kernels, memory_formats, torch_format
from everywindow.engines.memory import SCRATCH, largest_batch
from everywindow.engines.output import picked, score_vectors
from everywindow.engines.progress import Progress
from everywindow.engines.tuning import Setting, Tuner, tuner_for
from everywindow.geometry import WindowGrid, times
from everywindow.graph import Network, Output, evaluating

START = 8
LARGEST = 256
"""Batch size that the search starts from, and the largest that it tries."""

START_ELEMENTS = 2**19
"""The search starts from fewer windows where so many values fill the batch: large windows are tried in small ones."""


def run_crops(
    module: nn.Module,
    pixels: Tensor,
    grid: WindowGrid,
    *,
    most: int,
    window_bytes: int,
    limit: int,
    output: Output = None,
    progress: bool | None = None,
    kept_with: nn.Module | Network | None = None,
) -> tuple[Tensor, Setting]:
    """Scores ``[K, *counts]`` of every window of ``pixels`` ``[C, *size]``, and the batch and memory format chosen.

    Args:
        module: the original network, with its device and dtype.
        most: windows that may share a batch; more than one needs a proof that the network treats them apart.
        window_bytes: bytes of values that one window takes.
        limit: bytes that all may take.
        kept_with: what the batch and memory format found best are kept with: the graph, which is another one where
            the module's code has changed; the module by default.

    Raises:
        InputError: the limit is too small for one window, or the output is no score vector.
    """
    search = _Search.of(module, pixels, grid, most, window_bytes, limit, output, kept_with)
    scores: Tensor | None = None
    with Progress(grid.total, "crops", progress) as bar:
        for first, vectors in search.batches():
            scores = vectors.new_empty((grid.total, vectors.shape[1])) if scores is None else scores
            scores[first : first + len(vectors)] = vectors
            bar.update(len(vectors))
    assert scores is not None
    return _as_map(scores, grid), search.best


def tuned(
    module: nn.Module,
    pixels: Tensor,
    grid: WindowGrid,
    *,
    most: int,
    window_bytes: int,
    limit: int,
    output: Output = None,
    kept_with: nn.Module | Network | None = None,
) -> Setting:
    """The batch and memory format that :func:`run_crops` finds best, tried on as few windows as that takes."""
    search = _Search.of(module, pixels, grid, most, window_bytes, limit, output, kept_with)
    batches = search.batches()
    while not search.settled and next(batches, None) is not None:
        pass
    batches.close()
    return search.best


class Crops:
    """The original network, which is in evaluation mode, on windows in batches; its kernels are laid out once."""

    def __init__(self, module: nn.Module, output: Output) -> None:
        self._runner = _Runner(module)
        self._output = output

    @torch.inference_mode()
    def scores(self, pixels: Tensor, grid: WindowGrid, setting: Setting) -> Tensor:
        """Scores ``[K, *counts]`` of every window of ``pixels`` ``[C, *size]``, by one batch size and memory format."""
        batch, memory_format = setting
        windows = _Windows(pixels, grid)
        vectors = [
            self.vectors(windows, first, min(batch, grid.total - first), memory_format)
            for first in range(0, grid.total, batch)
        ]
        return _as_map(torch.cat(vectors), grid)

    def vectors(self, windows: _Windows, first: int, count: int, memory_format: str) -> Tensor:
        """Scores ``[count, K]`` of windows ``first`` to ``first + count``."""
        outputs = self._runner(windows.batch(first, count, memory_format), memory_format)
        return score_vectors(picked(outputs, self._output), count)

    def alike_in(self, memory_format: str, window: Tensor) -> bool:
        """Whether the network gives the same scores in a memory format as in the usual one."""
        return _alike_in(memory_format, self._runner, window, self._output)


@dataclass(frozen=True)
class _Search:
    """Windows in batches of settings that are tried until the best is found."""

    crops: Crops
    module: nn.Module
    pixels: Tensor
    grid: WindowGrid
    tuner: Tuner
    largest: int

    @classmethod
    def of(
        cls,
        module: nn.Module,
        pixels: Tensor,
        grid: WindowGrid,
        most: int,
        window_bytes: int,
        limit: int,
        output: Output,
        kept_with: nn.Module | Network | None,
    ) -> _Search:
        largest_batch(limit, window_bytes, f"a window of {times(grid.window)}")
        largest = min(most, windows_at_a_time(grid, limit, window_bytes))
        tuner = _tuner(kept_with or module, pixels, grid, largest)
        return cls(Crops(module, output), module, pixels, grid, tuner, largest)

    @property
    def best(self) -> Setting:
        return _within(self.tuner.best, self.largest)

    @property
    def settled(self) -> bool:
        """Whether what would be tried next was tried before."""
        return len(self.tuner.rates.get(_within(self.tuner.next(), self.largest), ())) > 1

    def batches(self) -> Generator[tuple[int, Tensor]]:
        """The first window of each batch and the scores of all of it."""
        windows = _Windows(self.pixels, self.grid)
        done = 0
        with evaluating(self.module), torch.inference_mode():
            while done < self.grid.total:
                setting = self._next(windows, done)
                count = min(setting[0], self.grid.total - done)
                started = time.perf_counter()
                vectors = self.crops.vectors(windows, done, count, setting[1])
                _synchronise(self.pixels.device)
                seconds = time.perf_counter() - started
                if count == setting[0]:
                    self.tuner.record(setting, count / seconds)
                yield done, vectors
                done += count

    def _next(self, windows: _Windows, first: int) -> Setting:
        """What to use for the next batch, in a memory format in which the network is known to give the same scores."""
        while True:
            setting = _within(self.tuner.next(), self.largest)
            if setting[1] in self.tuner.trusted:
                return setting
            if self.crops.alike_in(setting[1], windows.batch(first, 1)):
                self.tuner.trusted.add(setting[1])
            else:
                self.tuner.give_up(setting[1])


def _as_map(vectors: Tensor, grid: WindowGrid) -> Tensor:
    """Scores ``[windows, K]`` as ``[K, *counts]``."""
    return vectors.T.reshape(-1, *grid.counts).clone()


def windows_at_a_time(grid: WindowGrid, limit: int, window_bytes: int) -> int:
    """Windows in a batch, at most."""
    return max(1, min(LARGEST, grid.total, limit // max(1, int(window_bytes * SCRATCH))))


def _alike_in(memory_format: str, runner: _Runner, window: Tensor, output: Output) -> bool:
    """Whether the network gives the same scores in a memory format as in the usual one, on two windows made of one.

    Code may read the memory's order, and then the scores are far off. Noise is added, for in a blank window they
    would be the same in any order.
    """
    window = window.nan_to_num(0, 0, 0)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn((2, *window.shape[1:]), generator=generator).to(window)
    contrast = window.std() if window.numel() > 1 else window.abs().sum()
    probe = window + torch.where(contrast > 0, contrast, 1) * noise
    usual = score_vectors(picked(runner(probe.clone(), "contiguous"), output), 2)
    try:
        other = runner(probe.to(memory_format=torch_format(memory_format, probe.ndim)), memory_format)
    except RuntimeError:  # view() and its like refuse what lies in another order than the network's author saw
        return False
    return _alike(score_vectors(picked(other, output), 2), usual)


def _alike(scores: Tensor, others: Tensor) -> bool:
    """Whether two sets of scores differ by no more than roundings do."""
    if not scores.is_floating_point():
        return torch.equal(scores, others)
    tolerance = torch.finfo(scores.dtype).eps ** 0.5
    limit = tolerance * float(others.nan_to_num(0, 0, 0).abs().max())
    return torch.allclose(scores, others, atol=limit, rtol=tolerance, equal_nan=True)


def _tuner(owner: nn.Module | Network, pixels: Tensor, grid: WindowGrid, largest: int) -> Tuner:
    # What is not proved runs as it was written: code may read the memory's order.
    formats = memory_formats(len(grid.window)) if largest > 1 else ("contiguous",)
    start = min(largest, first_batch(pixels.shape[0] * prod(grid.window)))
    fresh = Tuner(formats, start=start, largest=LARGEST if largest > 1 else 1, grows=largest > 1)
    key = ("crops", grid.window, pixels.dtype, str(pixels.device), torch.get_num_threads(), fresh.start)
    return tuner_for(owner, key, fresh)


def first_batch(elements: int) -> int:
    """Windows of so many values that the search for the best batch starts from."""
    return min(START, max(1, START_ELEMENTS // elements))


def _within(setting: Setting, largest: int) -> Setting:
    return min(setting[0], largest), setting[1]


class _Windows:
    """All windows of an image as one view, from which batches are copied."""

    def __init__(self, pixels: Tensor, grid: WindowGrid) -> None:
        view = pixels
        for axis, (window, stride) in enumerate(zip(grid.window, grid.stride, strict=True)):
            view = view.unfold(1 + axis, window, stride)
        axes = len(grid.window)
        self._counts = grid.counts
        self._device = pixels.device
        order = [*range(1, 1 + axes), 0, *range(1 + axes, 1 + 2 * axes)]
        self._view = view.permute(order)
        self._channels_last = view.permute([*range(1, 1 + axes), *range(1 + axes, 1 + 2 * axes), 0])

    def batch(self, first: int, count: int, memory_format: str = "contiguous") -> Tensor:
        """Windows ``first`` to ``first + count``, the last axis fastest, as a new tensor ``[count, C, *window]``."""
        flat = torch.arange(first, first + count, device=self._device)
        indices = torch.unravel_index(flat, self._counts)
        if memory_format == "contiguous":
            return self._view[indices].contiguous()
        return self._channels_last[indices].movedim(-1, 1)


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class _Runner:
    """Calls the module with its kernels in the batch's memory format, and leaves its own weights alone."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._weights: dict[str, dict[str, Tensor]] = {}

    def __call__(self, batch: Tensor, memory_format: str) -> Any:
        if memory_format not in self._weights:
            self._weights = {memory_format: formatted_kernels(self._module, memory_format)}
        weights = self._weights[memory_format]
        return torch.func.functional_call(self._module, weights, (batch,)) if weights else self._module(batch)


_TF32 = threading.Lock()
_quiet: list[tuple[bool, bool]] = []
"""The settings before the first of the scans that run now; one entry for each of them."""


@contextmanager
def quiet_tf32() -> Iterator[None]:
    """No TF32 in matrix products and convolutions while inside, whatever other threads enter and leave meanwhile."""
    with _TF32:
        now = (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32)
        _quiet.append(_quiet[0] if _quiet else now)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        with _TF32:
            before = _quiet.pop()
            if not _quiet:
                torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
