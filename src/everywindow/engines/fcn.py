"""One pass of the converted network over the image, or over tiles of it where memory asks for that."""

from __future__ import annotations

import time

import torch
from torch import Tensor, nn

from everywindow.convert import FullyConvolutional, for_inference
from everywindow.costing import fcn_macs, fcn_peak_bytes
from everywindow.engines.formats import formatted_kernels, memory_formats, torch_format
from everywindow.engines.memory import SCRATCH, largest_batch
from everywindow.engines.output import picked, require_vectors
from everywindow.engines.progress import Progress
from everywindow.engines.tuning import Tuner, tuner_for
from everywindow.geometry import Tile, WindowGrid, tiles_within
from everywindow.graph import Output


def run_fcn(
    fcn: FullyConvolutional,
    module: nn.Module,
    pixels: Tensor,
    *,
    limit: int,
    output: Output = None,
    progress: bool | None = None,
) -> tuple[Tensor, list[Tile], str]:
    """Scores ``[K, *counts]`` of every window of ``pixels`` ``[C, *size]``, the tiles, and the memory format chosen.

    Args:
        fcn: the converted network, which shares the weights of ``module``.
        module: the original network, with which measured choices are kept; or the converted one itself.
        limit: bytes that values may take.
        output: which of several outputs.

    Raises:
        InputError: the limit is too small for one window's tile, or the output is no score map.
    """
    grid = fcn.geometry.grid(tuple(pixels.shape[1:]))
    tiles, _ = plan_tiles(fcn, grid, limit, pixels.element_size())
    formats = _formats(len(grid.window), pixels)
    key = ("fcn", grid.window, grid.stride, pixels.dtype, str(pixels.device), torch.get_num_threads())
    tuner = tuner_for(module, key, Tuner(formats, start=1, largest=1, grows=False))
    scores: Tensor | None = None
    fcn.eval()
    with torch.inference_mode(), Progress(grid.total, "fcn", progress) as bar:
        passes = {name: _Pass(fcn, module, name) for name in formats}
        for tile in tiles:
            setting = tuner.next()
            started = time.perf_counter()
            part = _scores(picked(passes[setting[1]](_region(pixels, tile)), output), len(grid.counts))
            rate = max(1, fcn_macs(fcn.maps, fcn.geometry.grid(tile.size))) / (time.perf_counter() - started)
            tuner.record(setting, rate)
            part = part[(slice(None), *tile.wanted())]
            if len(tiles) == 1:
                scores = part
                bar.update(grid.total)
                break
            scores = part.new_empty((len(part), *grid.counts)) if scores is None else scores
            scores[(slice(None), *(slice(*span) for span in tile.windows))] = part
            bar.update(part[0].numel())
    assert scores is not None
    return scores.clone(), tiles, setting[1]


def _formats(axes: int, pixels: Tensor) -> tuple[str, ...]:
    """The memory formats worth trying: chains of calls run in bands in one of them alone."""
    formats = tuple(reversed(memory_formats(axes)))
    banded = axes == 2 and pixels.dtype == torch.float32 and pixels.device.type == "cpu"
    return formats[:1] if banded else formats


def plan_tiles(fcn: FullyConvolutional, grid: WindowGrid, limit: int, itemsize: int) -> tuple[list[Tile], int]:
    """The tiles of an image that fit into ``limit`` bytes, and the bytes that are projected to exist at one time.

    Raises:
        InputError: not even the smallest tile fits.
    """

    def peak(size: tuple[int, ...]) -> int:
        return fcn_peak_bytes(fcn.maps, fcn.geometry.grid(size), itemsize)

    tiles = tiles_within(grid, fcn.geometry.tile_spans, lambda size: peak(size) * SCRATCH <= limit)
    most = max(peak(tile.size) for tile in tiles)
    largest_batch(limit, most, "the smallest tile")
    return tiles, int(most * SCRATCH)


def _region(pixels: Tensor, tile: Tile) -> Tensor:
    return pixels[(slice(None), *(slice(*span) for span in tile.pixels))].unsqueeze(0)


def _scores(scores: Tensor, axes: int) -> Tensor:
    """``[K, *counts]`` of a batch of one; positions of size 1 that the output has beside are dropped."""
    lead, counts = scores.shape[: scores.ndim - axes], scores.shape[scores.ndim - axes :]
    require_vectors(tuple(lead))
    return scores.reshape(-1, *counts)


class _Pass:
    """The converted network with kernels and input in one memory format, reusing memory where nobody can tell."""

    def __init__(self, fcn: FullyConvolutional, module: nn.Module, memory_format: str) -> None:
        # What its owner did to a converted network (hooks, other layers) no copy would have.
        self._run = fcn if fcn is module else for_inference(fcn)
        self._names = {id(weight): name for name, weight in fcn.named_parameters()}
        self._module, self._format = module, memory_format
        self._kernels: dict[str, Tensor] | None = None

    def __call__(self, image: Tensor) -> object:
        if self._kernels is None:
            self._kernels = self._formatted()
        image = image.contiguous(memory_format=torch_format(self._format, image.ndim))
        return torch.func.functional_call(self._run, self._kernels, (image,)) if self._kernels else self._run(image)

    def _formatted(self) -> dict[str, Tensor]:
        """The original's kernels in the memory format, by the converted network's names."""
        if self._run is self._module:
            return {}
        own = dict(self._module.named_parameters())
        found = formatted_kernels(self._module, self._format)
        return {self._names[id(own[name])]: kernel for name, kernel in found.items() if id(own[name]) in self._names}
