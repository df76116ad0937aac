"""One pass of the converted network over the image, or over tiles of it where memory asks for that."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from everywindow.convert import FullyConvolutional, for_inference
from everywindow.costing import fcn_macs, fcn_peak_bytes
from everywindow.engines.formats import formatted_kernels, memory_formats, torch_format
from everywindow.engines.memory import SCRATCH, largest_batch
from everywindow.engines.output import picked, require_vectors
from everywindow.engines.progress import Progress
from everywindow.engines.tuning import Setting, Tuner, tuner_for
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
    tuner = _tuner(module, grid, pixels)
    one_pass = OnePass(fcn, module, output)
    with torch.inference_mode(), Progress(grid.total, "fcn", progress) as bar:
        parts = _Parts(grid)
        for tile in tiles:
            setting = tuner.next()
            parts.put(tile, _timed(one_pass, pixels, tile, tuner, setting))
            bar.update(tile.count)
    return parts.scores().clone(), tiles, setting[1]


def _timed(one_pass: OnePass, pixels: Tensor, tile: Tile, tuner: Tuner, setting: Setting) -> Tensor:
    """The scores of a tile, by a setting whose rate is recorded."""
    started = time.perf_counter()
    part = one_pass.part(pixels, tile, setting[1])
    fcn = one_pass.fcn
    rate = max(1, fcn_macs(fcn.maps, fcn.geometry.grid(tile.size))) / (time.perf_counter() - started)
    tuner.record(setting, rate)
    return part


def tuned_format(fcn: FullyConvolutional, module: nn.Module, pixels: Tensor, *, limit: int, output: Output) -> str:
    """The memory format that is best on one tile of ``pixels``, tried there."""
    grid = fcn.geometry.grid(tuple(pixels.shape[1:]))
    tuner = _tuner(module, grid, pixels)
    if len(tuner.formats) == 1:
        return tuner.formats[0]
    tiles, _ = plan_tiles(fcn, grid, limit, pixels.element_size())
    one_pass = OnePass(fcn, module, output)
    with torch.inference_mode():
        while not tuner.settled:
            _timed(one_pass, pixels, tiles[0], tuner, tuner.next())
    return tuner.best[1]


class OnePass:
    """The converted network, with kernels laid out once for each memory format."""

    def __init__(self, fcn: FullyConvolutional, module: nn.Module, output: Output) -> None:
        self.fcn = fcn.eval()
        self._module, self._output = module, output
        self._passes: dict[str, _Pass] = {}

    @torch.inference_mode()
    def scores(self, pixels: Tensor, grid: WindowGrid, tiles: Sequence[Tile], memory_format: str) -> Tensor:
        """Scores ``[K, *counts]`` of every window of ``pixels`` ``[C, *size]``, tile by tile."""
        parts = _Parts(grid)
        for tile in tiles:
            parts.put(tile, self.part(pixels, tile, memory_format))
        return parts.scores()

    def part(self, pixels: Tensor, tile: Tile, memory_format: str) -> Tensor:
        """The scores of a tile's windows."""
        if memory_format not in self._passes:
            self._passes[memory_format] = _Pass(self.fcn, self._module, memory_format)
        outputs = self._passes[memory_format](_region(pixels, tile))
        return _scores(picked(outputs, self._output), len(tile.size))[(slice(None), *tile.wanted())]


class _Parts:
    """Scores put together from those of tiles."""

    def __init__(self, grid: WindowGrid) -> None:
        self._counts = grid.counts
        self._scores: Tensor | None = None

    def put(self, tile: Tile, part: Tensor) -> None:
        if tuple(part.shape[1:]) == self._counts:
            self._scores = part
            return
        if self._scores is None:
            self._scores = part.new_empty((len(part), *self._counts))
        self._scores[(slice(None), *(slice(*span) for span in tile.windows))] = part

    def scores(self) -> Tensor:
        assert self._scores is not None
        return self._scores


def _tuner(module: nn.Module, grid: WindowGrid, pixels: Tensor) -> Tuner:
    fresh = Tuner(_formats(len(grid.window), pixels), start=1, largest=1, grows=False)
    key = ("fcn", grid.window, grid.stride, pixels.dtype, str(pixels.device), torch.get_num_threads())
    return tuner_for(module, key, fresh)


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
