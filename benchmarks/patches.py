"""Patches the way pathology's tools take them: a data set that cuts each patch out of the slide, a loader, a loop.

It shares no code with the package that it is compared with: OpenSlide, PyTorch, nothing else.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

BATCHES, WORKERS = (32, 64), (1, 2)


@dataclass(frozen=True)
class LoaderSetting:
    """Patches in one batch, and processes that read them."""

    batch: int
    workers: int

    def __str__(self) -> str:
        return f"{self.batch}, {self.workers}"


SETTINGS = tuple(LoaderSetting(*pair) for pair in product(BATCHES, WORKERS))


class Patches(Dataset[Tensor]):
    """Normalised patches ``[3, window, window]`` of the upper left part of a slide, row by row.

    Args:
        path: what OpenSlide reads.
        part: pixels per axis that are scanned.
        window, stride: in pixels.
        most: no more than so many patches.
        mean, std: of all channels.
    """

    def __init__(
        self, path: Path, part: int, window: int, stride: int, most: int | None, mean: float, std: float
    ) -> None:
        self._path, self._window, self._mean, self._std = path, window, mean, std
        starts = range(0, part - window + 1, stride)
        self.windows = len(starts) ** 2
        self.corners = list(product(starts, starts))[:most]
        self._slide: Any = None

    def __len__(self) -> int:
        return len(self.corners)

    def __getitem__(self, index: int) -> Tensor:
        if self._slide is None:  # in each process its own
            import openslide

            self._slide = openslide.OpenSlide(str(self._path))
        top, left = self.corners[index]
        patch = self._slide.read_region((left, top), 0, (self._window, self._window)).convert("RGB")
        values = torch.from_numpy(np.array(patch)).permute(2, 0, 1).float().div(255)
        return values.sub(self._mean).div(self._std)


@torch.inference_mode()
def loop(module: nn.Module, patches: Patches, setting: LoaderSetting) -> tuple[float, Tensor]:
    """Seconds for all windows, the workers' start left out, and scores ``[K, n]`` of those that were run.

    Where the patches are fewer than the windows the seconds are scaled up.
    """
    loader = DataLoader(patches, setting.batch, num_workers=setting.workers)
    batches = iter(loader)
    first = next(batches)
    module(first)
    scores, started = [module(first)], time.perf_counter()
    for batch in batches:
        scores.append(module(batch))
    seconds = time.perf_counter() - started
    timed = len(patches) - len(first)
    return seconds * patches.windows / max(1, timed), torch.cat(scores).T
