"""What a run is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from everywindow.run.progress import Shown
from everywindow.run.spec import Record

Describe = Callable[[Tensor], tuple[str, tuple[str, ...] | None]]
"""Of scores ``[K, ...]`` their activation and the names of their classes."""


@dataclass(frozen=True)
class Task:
    """What a run is asked for, beside the classifier.

    Attributes:
        image, out: paths.
        stride: in pixels, per axis.
        view: how the image is taken; see :class:`Job`.
        model: how the model is opened by others; see :class:`Job`.
        mask: what is left out.
        mode, output: as for a scan.
        describe: activation and names of the scores.
        tile: windows of a tile per axis; None for what memory allows.
        memory: bytes of the whole process.
        resume, overwrite: go on with what is there, or replace it.
        fail_fast: a tile that cannot be read or computed ends the run.
        progress: what is shown.
    """

    image: str
    out: Path
    stride: tuple[int, ...]
    view: Record
    model: Record | None
    mask: Record
    mode: str
    output: Any
    describe: Describe
    tile: tuple[int, ...] | None
    memory: int
    resume: bool = False
    overwrite: bool = False
    fail_fast: bool = False
    progress: Shown = None
