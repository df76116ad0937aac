"""GeoJSON as QuPath and GIS read it: outlines of the regions where a class is likely."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from everywindow.errors import InputError
from everywindow.exporting.needed import rasterio_for
from everywindow.exporting.record import Exported, Wanted
from everywindow.exporting.result import IDENTITY, Result
from everywindow.report import checked_threshold

COLOURS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167))
"""Of classes: told apart by colour-blind people too."""

Ring = list[tuple[float, float]]


@dataclass(frozen=True)
class Region:
    """Cells that touch along an edge.

    Attributes:
        rings: outline and holes, in columns and rows counted at the cells' corners; first and last point are the same.
        cells: how many.
        mean, highest: probability.
    """

    rings: list[Ring]
    cells: int
    mean: float
    highest: float


def write(result: Result, path: Path, wanted: Wanted) -> Exported:
    """Polygons in level-0 pixels, or in the image's own system; the largest regions where there are too many."""
    if len(result.counts) != 2:
        why = f"GeoJSON holds outlines in a plane, and the map has {len(result.counts)} axes"
        raise InputError(path.name, why, "end the name in .csv")
    placed = _placed(result, wanted.coordinates, path.name)
    m = result.load()
    m.scored()
    klass, threshold = m.shown_class(wanted.klass), checked_threshold(m, wanted.threshold)
    kept, found = regions(m.probabilities()[klass].double().cpu().numpy(), threshold, wanted.most)
    document: dict[str, Any] = {"type": "FeatureCollection"}
    if wanted.coordinates == "world":
        document["crs"] = {"type": "name", "properties": {"name": _system(result.source.get("crs"))}}
    look = {"name": result.classes[klass], "color": list(COLOURS[klass % len(COLOURS)])}
    unit = "score" if result.activation == "none" else "probability"
    document["features"] = [_feature(region, placed, look, unit) for region in kept]
    path.write_text(json.dumps(document), encoding="utf-8")
    return Exported(str(path), "GeoJSON", "regions", len(kept), found - len(kept))


def regions(values: np.ndarray, threshold: float, most: int) -> tuple[list[Region], int]:
    """Connected cells ``[rows, columns]`` of at least the threshold: the largest, and how many there are in all.

    NaN belong to none.

    >>> found, number = regions(np.array([[0.9, 0.1], [0.2, np.nan]]), 0.5, most=10)
    >>> number, found[0].cells, found[0].rings
    (1, 1, [[(0.0, 0.0), (0.0, 1.0), (1.0, 1.0), (1.0, 0.0), (0.0, 0.0)]])
    """
    features = rasterio_for("GeoJSON").features
    inside = values >= threshold
    if not inside.any():
        return [], 0
    shapes = [shape for shape, _ in features.shapes(inside.astype(np.uint8), mask=inside, connectivity=4)]
    numbered = ((shape, number) for number, shape in enumerate(shapes))
    which = features.rasterize(numbered, out_shape=values.shape, fill=-1, dtype=np.int32)[inside]
    there = values[inside]
    cells = np.bincount(which, minlength=len(shapes))
    totals = np.bincount(which, weights=there, minlength=len(shapes))
    highest = np.full(len(shapes), -np.inf)
    np.maximum.at(highest, which, there)
    order = np.argsort(-cells, kind="stable")[:most].tolist()
    kept = [Region(_rings(shapes[i]), int(cells[i]), float(totals[i] / cells[i]), float(highest[i])) for i in order]
    return kept, len(shapes)


def _rings(shape: dict[str, Any]) -> list[Ring]:
    return [[(float(x), float(y)) for x, y in ring] for ring in shape["coordinates"]]


def _placed(result: Result, coordinates: str, name: str) -> Callable[[Ring], Ring]:
    """From the map's columns and rows to the coordinates asked for."""
    if coordinates == "world" and not result.source.get("transform"):
        raise InputError(name, "the image has no place in the world", "ask for coordinates in pixels")
    a, b, c, d, e, f = result.place.affine(result.transform if coordinates == "world" else IDENTITY)
    return lambda ring: [(a * x + b * y + c, d * x + e * y + f) for x, y in ring]


def _feature(region: Region, placed: Callable[[Ring], Ring], look: dict[str, Any], unit: str) -> dict[str, Any]:
    rings = [placed(ring) for ring in region.rings]
    return {
        "type": "Feature",
        "geometry": {
            "type": "Polygon",
            # As the standard has it: outlines counterclockwise, holes clockwise.
            "coordinates": [_turned(ring, outer=number == 0) for number, ring in enumerate(rings)],
        },
        "properties": {
            "objectType": "annotation",
            "classification": look,
            "measurements": {f"Mean {unit}": region.mean, f"Max {unit}": region.highest, "Windows": region.cells},
        },
    }


def _turned(ring: Ring, outer: bool) -> Ring:
    # From the first point on: map coordinates are too large for the products of doubles.
    left, top = ring[0]
    near = [(x - left, y - top) for x, y in ring]
    area = sum(x * v - u * y for (x, y), (u, v) in pairwise(near))
    return ring if (area > 0) == outer else ring[::-1]


def _system(wkt: str | None) -> str:
    """The name of a reference system, by its authority where it has one."""
    if wkt is None:
        return "unknown"
    crs = rasterio_for("GeoJSON").crs.CRS.from_wkt(wkt)
    authority = crs.to_authority()
    return wkt if authority is None else f"urn:ogc:def:crs:{authority[0]}::{authority[1]}"
