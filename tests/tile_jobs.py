"""What tests of tiles run in processes of their own."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor, nn

import everywindow as ew
from everywindow.engines import Settings, TileEngine, prepare
from everywindow.geometry import WindowGrid
from tiling import PLENTY, cut, stitched


def padded() -> nn.Sequential:
    """Windows share its inside alone."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, stride=2, padding=1),
        nn.Tanh(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
    ).eval()


def unpadded() -> nn.Sequential:
    """One pass equals the crops."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 8, 3), nn.Flatten(), nn.Linear(200, 4)
    ).eval()


WINDOW, STRIDE = (16, 16), (4, 2)
GRID = WindowGrid((70, 60), WINDOW, STRIDE)
TILES = cut(GRID.counts, [(5, 10), (9, 10)])


def engine_and_image(made: str, settings: Settings, mode: str) -> tuple[TileEngine, Tensor]:
    """The same in every process."""
    torch.manual_seed(5)
    module, image = globals()[made](), torch.randn(3, 70, 60)
    return TileEngine(prepare(module, WINDOW, 3), WINDOW, STRIDE, settings, mode), image


def digest(made: str, settings: Settings, mode: str) -> str:
    engine, image = engine_and_image(made, settings, mode)
    return hashlib.sha256(stitched(engine, image, GRID, TILES).numpy().tobytes()).hexdigest()


def elsewhere(jobs: list[tuple[str, dict[str, object], str]]) -> None:
    """Print the digests of jobs, with other threads and in another order, after other scans by the same module."""
    torch.set_num_threads(2)
    for made, settings, mode in reversed(jobs):
        engine, image = engine_and_image(made, Settings(**settings), mode)
        for scanned in ("crops", "fcn", "exact"):
            ew.scan(engine._prepared.module, image, window=WINDOW, stride=STRIDE, mode=scanned)
        assert torch.get_num_threads() == 2
        pixels = torch.empty(70 * 60 * 3 + 1)[1:].reshape(70, 60, 3).permute(2, 0, 1).copy_(image)
        last_first = stitched(engine, pixels, GRID, TILES[::-1])
        print("digest", hashlib.sha256(last_first.numpy().tobytes()).hexdigest())


def wider() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 5),
    ).eval()


def held(which: str) -> int:
    """Bytes of this process: ``VmRSS`` now, ``VmHWM`` at most so far."""
    with open("/proc/self/status", encoding="ascii") as lines:
        return int(next(line.split()[1] for line in lines if line.startswith(which))) * 1024


def memory(mode: str, side: int, memory_format: str) -> dict[str, int]:
    """Bytes that tiles of ``side`` by ``side`` windows are projected to take, and what three of them take."""
    settings = Settings(mode, "", None, 256, memory_format, PLENTY, 1)
    engine = TileEngine(prepare(wider(), (32, 32), 3), (32, 32), (4, 4), settings, mode)
    grid = WindowGrid((2000, 2000), (32, 32), (4, 4))
    small = engine.tile(grid, ((9, 13), (9, 13)))
    engine.scores(torch.randn(3, *small.size), small, grid)
    tiles = [engine.tile(grid, ((first, first + side), (50, 50 + side))) for first in (40, 50, 60)]
    pixels = torch.randn(3, *tiles[0].size)
    before = held("VmRSS")
    for tile in tiles:
        engine.scores(pixels, tile, grid)
    return {"projected": engine.peak_bytes((side, side), grid), "measured": held("VmHWM") - before}
