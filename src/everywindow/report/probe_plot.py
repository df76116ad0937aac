"""The measurements on a network as a figure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from everywindow.report.probe_text import headline, picked, value_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    from everywindow.report.probe import LayerPlace, LayerShift, Probe

BLUE, ORANGE, GREEN, GREY = "#2f6690", "#d07f26", "#2e7d5b", "#8a929a"
HEAT = "magma"
NAMED = 24
"""Layers whose names stand below an axis at most."""

HEATED = 6
"""Layers that are shown as maps at most."""

BELOW = 100
"""How far below the tolerance the logarithmic axis ends; what is smaller stands there."""

LABELS = {
    "shift": ("Shifts", "moved by, px"),
    "rotation": ("Rotations", "turned by, degrees"),
    "scale": ("Scales", "enlarged by, factor"),
}

Part = tuple[float, Callable[["SubFigure", "Probe"], None]]


def figure(found: Probe) -> Figure:
    """See :meth:`Probe.plot`."""
    from matplotlib.figure import Figure

    parts = _parts(found)
    heights = [height for height, _ in parts] or [1.0]
    drawn = Figure(figsize=(13, 0.6 + sum(heights)), dpi=110, layout="constrained")
    drawn.suptitle(headline(found), fontsize="x-large")
    rows = drawn.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    for row, (_, draw) in zip(rows, parts, strict=False):
        draw(row, found)
    return drawn


def _parts(found: Probe) -> list[Part]:
    """The rows of the figure, with their heights in inches."""
    parts: list[tuple[Sequence[Any], Part]] = [
        (found.answers, (3.3, _draw_answers)),
        (found.layers, (4.4, _draw_layers)),
        (found.places, (4.2, _draw_places)),
        (found.pools, (3.2, _draw_pools)),
    ]
    return [part for rows, part in parts if rows]


def _draw_answers(row: SubFigure, found: Probe) -> None:
    """The curves, beside the first window."""
    kinds = list(dict.fromkeys(answer.kind for answer in found.answers))
    panels = row.subplots(1, len(kinds) + len(found.pictures), squeeze=False)[0]
    for axes, picture in zip(panels, found.pictures, strict=False):
        axes.imshow(picture, cmap="gray", vmin=0, vmax=1)
        axes.set_title(_answer(found))
        axes.set_xticks([])
        axes.set_yticks([])
    for axes, kind in zip(panels[len(found.pictures) :], kinds, strict=True):
        _draw_curve(axes, found, kind)
    panels[-1].legend(fontsize="small", framealpha=0.9)


def _answer(found: Probe) -> str:
    """The class of the first window, and how probable it is."""
    klass, probability = found.top[0]
    single = ("no", "yes")[klass] if found.single else f"class {klass}"
    named = single if found.single or found.classes is None else found.classes[klass]
    return f"{'The' if found.images == 1 else 'First'} window: {named[:18]}, {probability:.2f}"


def _draw_curve(axes: Axes, found: Probe, kind: str) -> None:
    rows = found.curve(kind)
    title, label = LABELS[kind]
    amounts = [row.amount for row in rows]
    name = value_name(found)
    axes.plot(amounts, [row.agreement for row in rows], "--", color=ORANGE, marker=".", label="still first")
    axes.plot(amounts, [row.probability for row in rows], color=BLUE, marker="o", markersize=4, label=f"its {name}")
    axes.set_title(title)
    axes.set_xlabel(label)
    if found.activation != "none":
        axes.set_ylim(-0.03, 1.05)
    if kind == "scale":
        axes.axvline(1, color=GREY, linewidth=0.8, linestyle=":")
    _tidy(axes)


def _draw_layers(row: SubFigure, found: Probe) -> None:
    """How far each layer is from moving with the image."""
    axes = row.subplots()
    rows, floor = picked(found.layers), found.tolerance / BELOW
    places = np.arange(len(rows))
    series: list[tuple[str, str, str, list[float | None]]] = [
        ("by one pixel", GREY, "x", [layer.one_pixel for layer in rows]),
        ("by its step, with the border", ORANGE, "s", [layer.everywhere for layer in rows]),
        ("by its step, in the interior", BLUE, "o", [layer.interior for layer in rows]),
    ]
    for label, colour, mark, values in series:
        there = [(at, max(value, floor)) for at, value in zip(places, values, strict=True) if value is not None]
        if there:
            at, height = zip(*there, strict=True)
            axes.plot(at, height, mark, color=colour, label=label, markersize=6, alpha=0.9)
    axes.axhline(found.tolerance, color=GREEN, linewidth=1, linestyle="--")
    axes.text(
        len(rows) - 0.5,
        found.tolerance,
        "moves with the image, but for rounding ",
        color=GREEN,
        fontsize="small",
        ha="right",
        va="top",
    )
    axes.set_yscale("log")
    axes.set_ylim(floor / 2, 6)
    axes.set_ylabel("difference / spread of the map\n(none: at the bottom)")
    axes.set_title("Layers: the map of the moved image against the moved map, at the farthest position")
    axes.legend(fontsize="small", loc="center left", framealpha=0.9)
    _name_layers(axes, rows)
    _step_bands(axes, rows)


def _step_bands(axes: Axes, rows: Sequence[LayerShift]) -> None:
    """Shades where the step by which a map can move is another, and says it."""
    edges = [0, *(at for at in range(1, len(rows)) if rows[at].shift != rows[at - 1].shift), len(rows)]
    for number, (first, stop) in enumerate(pairwise(edges)):
        if number % 2:
            axes.axvspan(first - 0.5, stop - 0.5, color="#eef2f5", zorder=0)
        step = max(rows[first].shift)
        axes.text((first + stop - 1) / 2, 3, f"{step} px", ha="center", va="center", fontsize="small", color=GREY)
    axes.set_xlim(-0.5, len(rows) - 0.5)


def _draw_places(row: SubFigure, found: Probe) -> None:
    """How much each layer tells of the place, and where in the map."""
    pictured = [place for place in found.places if place.places.ndim == 2]
    heated = _spread_over(pictured, HEATED)
    left, *rest = row.subfigures(1, 2 if heated else 1, width_ratios=[1.15, 1] if heated else None, squeeze=False)[0]
    axes = left.subplots()
    rows = picked(found.places)
    at = np.arange(len(rows))
    axes.bar(at, [100 * place.reached for place in rows], color="#e3e7ea", width=0.9, label="padding may reach")
    axes.bar(at, [100 * place.share for place in rows], color=ORANGE, width=0.55, label="differ")
    axes.plot(at, [100 * place.largest for place in rows], "o", color=BLUE, markersize=4, label="farthest, % of spread")
    axes.set_title("Where a patch repeats: positions that tell their place")
    axes.set_ylabel("% of positions")
    axes.legend(fontsize="small", loc="upper left", framealpha=0.9)
    axes.set_xlim(-0.5, len(rows) - 0.5)
    axes.set_ylim(0, 1.25 * max([100.0, *(100 * place.largest for place in rows)]))
    _name_layers(axes, rows)
    if heated:
        _draw_heat(rest[0], heated)


def _draw_heat(part: SubFigure, heated: Sequence[LayerPlace]) -> None:
    columns = -(-len(heated) // 2) if len(heated) > 1 else 1
    panels = part.subplots(2 if len(heated) > 1 else 1, columns, squeeze=False).ravel()
    for axes in panels[len(heated) :]:
        axes.set_axis_off()
    for axes, place in zip(panels, heated, strict=False):
        shown = axes.imshow(place.places, cmap=HEAT, vmin=0, vmax=max(0.05, float(place.places.max())))
        axes.set_title(f"{_short(place)}\n{'×'.join(map(str, place.places.shape))}", fontsize="small")
        axes.set_xticks([])
        axes.set_yticks([])
        part.colorbar(shown, ax=axes, shrink=0.85)
    part.suptitle("How far each position is from the middle", fontsize="medium")


def _draw_pools(row: SubFigure, found: Probe) -> None:
    """Both measures of both poolings."""
    panels = row.subplots(1, 2)
    rows = picked(found.pools, 12)
    names = [
        f"{pool.layer}{f' ({pool.own})' if pool.own else ''}\n{_size(pool.kernel)}/{_size(pool.stride)}"
        for pool in rows
    ]
    shares = [[100 * value for value in each] for each in zip(*(_unchanged(pool) for pool in rows), strict=True)]
    changes = [list(each) for each in zip(*(_changes(pool) for pool in rows), strict=True)]
    _draw_bars(panels[0], names, shares, "Pooling, moved by one position: unchanged values", "% (more: holds better)")
    _draw_bars(panels[1], names, changes, "The same: mean change", "of the deviation (less: holds better)")
    panels[0].legend(fontsize="small", framealpha=0.9)


def _unchanged(pool: Any) -> tuple[float, float, float]:
    return pool.inputs_unchanged, pool.max_unchanged, pool.mean_unchanged


def _changes(pool: Any) -> tuple[float, float, float]:
    return pool.inputs_change, pool.max_change, pool.mean_change


def _draw_bars(axes: Axes, names: Sequence[str], groups: Sequence[Sequence[float]], title: str, label: str) -> None:
    at = np.arange(len(names))
    for number, (values, name, colour) in enumerate(
        zip(groups, ("not pooled", "max", "mean"), ("#c9ced3", BLUE, ORANGE), strict=True)
    ):
        axes.bar(at + 0.27 * (number - 1), values, 0.25, label=name, color=colour)
    axes.set_xticks(at, names, fontsize="small")
    axes.set_title(title)
    axes.set_ylabel(label)
    _tidy(axes)


def _name_layers(axes: Axes, rows: Sequence[Any]) -> None:
    step = -(-len(rows) // NAMED)
    at = range(0, len(rows), step)
    names = [_short(rows[place]) for place in at]
    axes.set_xticks(list(at), names, rotation=40, ha="right", fontsize="small", rotation_mode="anchor")
    _tidy(axes)


def _short(row: LayerShift | LayerPlace) -> str:
    """``add (in layer1.0)`` as ``layer1.0 add``; a number with its operation."""
    name, inside, path = row.layer.partition(" (in ")
    if inside:
        return f"{path.removesuffix(')')} {name}"
    return f"{name} {row.kind}" if name.replace(".", "").isdigit() else name


def _spread_over(rows: Sequence[LayerPlace], most: int) -> list[LayerPlace]:
    """Some of the layers from the first to the last; those that tell nothing are left out."""
    telling = [place for place in rows if place.share > 0]
    return picked(telling, most)


def _size(sizes: Sequence[int]) -> str:
    return "×".join(map(str, sizes)) if len(set(sizes)) > 1 else str(sizes[0])


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e6e9ec", linewidth=0.8)
    axes.set_axisbelow(True)
