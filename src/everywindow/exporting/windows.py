"""CSV: a row for every window that was scored, with its middle and the values of all classes."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from everywindow.exporting.record import Exported, Wanted
from everywindow.exporting.result import Result
from everywindow.report import activated

DIGITS = 7
"""Of a value: those that single precision has."""


def write(result: Result, path: Path, wanted: Wanted) -> Exported:
    """Probabilities (scores, where the network gives none), the last axis fastest; positions as in the boxes' CSV."""
    count = 0
    with open(path, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow([*_places(result), *result.classes])
        for windows in _bands(result):
            for row in _rows(result, windows):
                rows.writerow(row)
                count += 1
    return Exported(str(path), "CSV", "windows", count)


def _places(result: Result) -> list[str]:
    units = ["", *([f"_{result.unit}"] if result.spacing else [])]
    return [f"centre_{axis}{each}" for each in units for axis in result.axes]


def _bands(result: Result) -> Iterator[tuple[tuple[int, int], ...]]:
    """Whole rows, as many as lie in files of the result together."""
    for start in range(0, result.counts[0], result.chunk[0]):
        stop = min(start + result.chunk[0], result.counts[0])
        yield ((start, stop), *((0, n) for n in result.counts[1:]))


def _rows(result: Result, windows: tuple[tuple[int, int], ...]) -> Iterator[list[Any]]:
    scores = torch.from_numpy(result.read(windows))
    values = activated(scores.float() if scores.dtype.itemsize < 4 else scores, result.activation).numpy()
    for index in zip(*np.nonzero(~np.isnan(values[0])), strict=True):
        cell = tuple(int(n) + first for n, (first, _) in zip(index, windows, strict=True))
        centre = result.place.centre(cell)
        in_unit = [step * at for step, at in zip(result.spacing, centre, strict=True)] if result.spacing else []
        places = [*centre, *in_unit]
        yield [*(f"{at:.10g}" for at in places), *(f"{value:.{DIGITS}g}" for value in values[(slice(None), *index)])]
