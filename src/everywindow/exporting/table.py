"""CSV: the boxes of a class, in pixels of the image, in its unit and in the world where these are known."""

from __future__ import annotations

import csv
from pathlib import Path

from everywindow.exporting.record import Exported, Wanted
from everywindow.exporting.result import Result
from everywindow.report import Detection


def write(result: Result, path: Path, wanted: Wanted) -> Exported:
    """A row per box, the strongest first; positions are counted from the edge of the image's first pixel."""
    m = result.load()
    found = m.boxes(wanted.klass, wanted.threshold)
    kept = found[: wanted.most]
    with open(path, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(_header(result))
        rows.writerows(_row(result, detection) for detection in kept)
    return Exported(str(path), "CSV", "boxes", len(kept), len(found) - len(kept))


def _header(result: Result) -> list[str]:
    names = ["class", "probability", "score", "windows"]
    units = ["", *([f"_{result.unit}"] if result.spacing else [])]
    for unit in units:
        for axis in result.axes:
            names += [f"start_{axis}{unit}", f"stop_{axis}{unit}", f"centre_{axis}{unit}"]
    return names + (["centre_world_x", "centre_world_y"] if _in_world(result) else [])


def _row(result: Result, found: Detection) -> list[str | float]:
    row: list[str | float] = [found.name, f"{found.probability:.7g}", f"{found.score:.7g}", found.windows]
    for spacing in [(1.0,) * len(result.counts), *([result.spacing] if result.spacing else [])]:
        for axis, step in enumerate(spacing):
            row += [f"{step * each[axis]:.10g}" for each in (found.start, found.stop, found.centre)]
    if _in_world(result):
        (y, x), (a, b, c, d, e, f) = found.centre, result.transform
        row += [a * x + b * y + c, d * x + e * y + f]
    return row


def _in_world(result: Result) -> bool:
    return len(result.counts) == 2 and bool(result.source.get("transform"))
