"""Integers and boxes only: axis records, layouts, window grids. No torch here."""

from everywindow.geometry.axis import AxisRecord, LocalOp, Stuffing, Upsampling
from everywindow.geometry.border import Border
from everywindow.geometry.extent import Extent
from everywindow.geometry.halo import Halo
from everywindow.geometry.layout import (
    Atom,
    Batch,
    Dim,
    Feature,
    Layout,
    Regrouping,
    Space,
    coalesced,
    feature_dim,
    has_batch,
    is_space,
    regroup,
    space_axes,
    without_space,
)
from everywindow.geometry.mapsize import MapSize, peak_elements
from everywindow.geometry.place import Affine, Place
from everywindow.geometry.positions import FILL, Indices, Misaligned, Positions, Segment, Slabs, slabs, taken
from everywindow.geometry.tiles import Seen, Span, Tile, rectangles, tile_of, tiles_within
from everywindow.geometry.value import Spent, Value, joined_spent
from everywindow.geometry.verdict import Reason, Verdict
from everywindow.geometry.windows import WindowGrid, axis_names, check_step, per_axis, times

__all__ = [
    "FILL",
    "Affine",
    "Atom",
    "AxisRecord",
    "Batch",
    "Border",
    "Dim",
    "Extent",
    "Feature",
    "Halo",
    "Indices",
    "Layout",
    "LocalOp",
    "MapSize",
    "Misaligned",
    "Place",
    "Positions",
    "Reason",
    "Regrouping",
    "Seen",
    "Segment",
    "Slabs",
    "Space",
    "Span",
    "Spent",
    "Stuffing",
    "Tile",
    "Upsampling",
    "Value",
    "Verdict",
    "WindowGrid",
    "axis_names",
    "check_step",
    "coalesced",
    "feature_dim",
    "has_batch",
    "is_space",
    "joined_spent",
    "peak_elements",
    "per_axis",
    "rectangles",
    "regroup",
    "slabs",
    "space_axes",
    "taken",
    "tile_of",
    "tiles_within",
    "times",
    "without_space",
]
