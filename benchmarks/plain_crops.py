"""The sliding window that a careful user writes by hand, at the best settings it has.

It shares no code with the package that it is compared with: the original module, PyTorch, nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor, nn

BATCHES = (1, 2, 4, 8, 16, 32)
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


@dataclass(frozen=True)
class Setting:
    """How the script runs: windows in one batch, and the memory format of weights and windows."""

    batch: int
    layout: str

    def __str__(self) -> str:
        return f"batch {self.batch}, {self.layout}"


class PlainCrops:
    """One network over the windows of one image ``[C, H, W]``; ``window`` and ``stride`` in pixels.

    Of more windows than ``sample``, so many are run, spread over the image, and the time is scaled up. The module is
    the script's own: every run changes the memory format of its weights.
    """

    def __init__(self, module: nn.Module, image: Tensor, window: int, stride: int, sample: int) -> None:
        self.module = module.eval()
        self.image, self.window = image, window
        tops, lefts = (range(0, size - window + 1, stride) for size in image.shape[1:])
        corners = list(product(range(len(tops)), range(len(lefts))))
        self.windows = len(corners)
        self.cells = [corners[place] for place in _spread(self.windows, sample)]
        """Row and column in the score map of each window that is run."""
        self.corners = [(tops[row], lefts[column]) for row, column in self.cells]

    def settings(self) -> list[Setting]:
        """Every batch size that the windows fill, in both memory formats."""
        return [Setting(b, layout) for b in BATCHES if b <= len(self.corners) for layout in LAYOUTS]

    def seconds(self, setting: Setting) -> float:
        """Seconds for all windows at one setting, the cutting of the windows included."""
        self._prepare(setting)
        start = time.perf_counter()
        for _ in self._scores(self.corners, setting):
            pass
        return (time.perf_counter() - start) * self.windows / len(self.corners)

    def scores(self, setting: Setting) -> Tensor:
        """Scores ``[K, windows]`` of the windows at ``cells``."""
        self._prepare(setting)
        return torch.cat(list(self._scores(self.corners, setting))).T

    def _prepare(self, setting: Setting) -> None:
        self.module.to(memory_format=LAYOUTS[setting.layout])  # type: ignore[call-overload]
        for _ in self._scores(self.corners[: setting.batch], setting):
            pass

    @torch.inference_mode()
    def _scores(self, corners: list[tuple[int, int]], setting: Setting) -> Iterator[Tensor]:
        layout = LAYOUTS[setting.layout]
        for first in range(0, len(corners), setting.batch):
            crops = [self._crop(*corner) for corner in corners[first : first + setting.batch]]
            yield self.module(torch.stack(crops).contiguous(memory_format=layout))

    def _crop(self, top: int, left: int) -> Tensor:
        return self.image[:, top : top + self.window, left : left + self.window]


def _spread(count: int, sample: int) -> list[int]:
    """At most ``sample`` of ``count`` places, the first and the last among them."""
    chosen = min(count, sample)
    return [0] if chosen == 1 else [place * (count - 1) // (chosen - 1) for place in range(chosen)]
