"""Outlines in GeoJSON: in pixels of the image, or in the coordinates of a reference system that the file names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from everywindow.errors import InputError
from everywindow.io import Placement, library

Ring = np.ndarray
"""Corners ``[n, 2]`` in level-0 pixels, x first, at pixels' edges."""


def polygons(file: Path, size: tuple[int, ...], placement: Placement) -> list[list[Ring]]:
    """The rings of each polygon, the outline first.

    Args:
        file: coordinates are level-0 pixels, or, where its ``crs`` names a reference system, those of that system.
        size: of the image, rows and columns.
        placement: where the image lies.

    Raises:
        InputError: no polygons, none of them in the image, or a system that the image cannot be found in.
        DependencyError: rasterio, which knows reference systems, is not installed.
    """
    found, system = _read(file)
    if system is not None:
        found = [[_pixels(ring, system, file, placement) for ring in rings] for rings in found]
    corners = np.concatenate([rings[0] for rings in found])
    low, high = corners.min(0), corners.max(0)
    if (high <= 0).any() or (low >= size[::-1]).any():
        place = f"{low[0]:,.1f} to {high[0]:,.1f} across and {low[1]:,.1f} to {high[1]:,.1f} down"
        why = f"its outlines lie outside of the image's {size[1]}×{size[0]} pixels: {place}"
        raise InputError(str(file), why, "give pixels of the image, or name the reference system in its 'crs'")
    return found


def _read(file: Path) -> tuple[list[list[Ring]], str | None]:
    try:
        data = json.loads(file.read_text("utf-8"))
        found = [
            [np.asarray([point[:2] for point in ring], float).reshape(-1, 2) for ring in rings]
            for rings in _rings(data)
        ]
        system = data["crs"]["properties"]["name"] if isinstance(data, dict) and data.get("crs") else None
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise InputError(str(file), f"no outlines in GeoJSON can be read ({error})", "give polygons") from error
    if not any(len(ring) for rings in found for ring in rings):
        raise InputError(str(file), "has no polygons", "give polygons in pixels of the image")
    return found, system


def _pixels(ring: Ring, system: str, file: Path, placement: Placement) -> Ring:
    if placement.crs is None or placement.transform is None:
        why = f"its outlines are in {system}, and the image lies in no reference system"
        raise InputError(str(file), why, "give pixels of the image, without a 'crs'")
    library("rasterio", "geo", str(file))
    from rasterio.crs import CRS
    from rasterio.errors import CRSError
    from rasterio.warp import transform

    try:
        xs, ys, *_ = transform(CRS.from_user_input(system), CRS.from_wkt(placement.crs), *ring.T.tolist())
    except CRSError as error:
        raise InputError(str(file), f"{system!r} is no reference system that is known", "name another") from error
    a, b, c, d, e, f = placement.transform
    world = np.stack([np.asarray(xs) - c, np.asarray(ys) - f])
    return np.linalg.solve([[a, b], [d, e]], world).T


def _rings(data: Any) -> Iterator[list[Any]]:
    if isinstance(data, list):
        for item in data:
            yield from _rings(item)
        return
    kind = data["type"]
    if kind == "FeatureCollection":
        yield from _rings(data["features"])
    elif kind == "Feature":
        yield from _rings(data["geometry"])
    elif kind == "GeometryCollection":
        yield from _rings(data["geometries"])
    elif kind == "Polygon":
        yield data["coordinates"]
    elif kind == "MultiPolygon":
        yield from data["coordinates"]
