"""What is to be scored, and within what limits."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from everywindow.engines.prepare import Prepared
from everywindow.geometry import WindowGrid
from everywindow.graph import Output


@dataclass(frozen=True)
class Job:
    """A scan that is to be run.

    Attributes:
        prepared: the network, on the device and in the dtype of the scan.
        image: the pixels ``[C, *size]`` as they were given.
        pixels: the same on that device and in that dtype.
        grid: the windows.
        mode: what was asked for.
        limit: bytes that values may take.
        output: which of the module's several outputs; the graph has that one alone.
        progress: whether to show a bar.
    """

    prepared: Prepared
    image: Tensor
    pixels: Tensor
    grid: WindowGrid
    mode: str
    limit: int
    output: Output
    progress: bool | None
