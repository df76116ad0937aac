"""The modes' maps of one class beside one another, and how far each is from the crops."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from everywindow.errors import InputError
from everywindow.report.comparison_text import place_text
from everywindow.report.plot import COLOURS, cell_extent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

    from everywindow.report.comparison import Comparison, Sample
    from everywindow.report.score_map import ScoreMap

REFERENCE = "crops"
SIGNED = "RdBu_r"
MARK = "black"


@dataclass(frozen=True)
class _Difference:
    """How far a mode is from the crops, in one class.

    Attributes:
        m: the mode's map.
        values: mode less crops, one per window that was compared.
        indices: places of these windows in the map, ``[windows, axes]``.
    """

    m: ScoreMap
    values: np.ndarray
    indices: np.ndarray

    @property
    def largest(self) -> float:
        """The largest difference; what is not finite counts most."""
        return float(self._sizes().max())

    @property
    def at(self) -> tuple[int, ...]:
        """Where that is, as a place in the map."""
        return tuple(int(i) for i in self.indices[int(self._sizes().argmax())])

    @property
    def bound(self) -> float:
        """Of a scale of colours around 0."""
        sizes = self._sizes()
        return float(max(sizes[np.isfinite(sizes)], default=0.0)) or 1.0

    def _sizes(self) -> np.ndarray:
        sizes: np.ndarray = np.nan_to_num(np.abs(self.values), nan=np.inf)
        return sizes


def figure(c: Comparison, klass: int | str | None) -> Figure:
    """See :meth:`Comparison.plot`."""
    from matplotlib.figure import Figure

    maps = list(c.maps.values())
    if len(maps) < (2 if c.sample is None else 1):
        raise InputError("plot", "there are no two maps to draw beside one another", "compare one image in two modes")
    axes = len(maps[0].counts)
    if axes > 3:
        raise InputError("plot", f"the maps have {axes} spatial axes", "draw a part with 1 to 3 axes")
    k = maps[-1].shown_class(klass)
    found = {mode: _difference(m, c, k) for mode, m in c.maps.items() if mode != REFERENCE}
    drawn = Figure(figsize=(0.6 + 4.2 * len(maps), 7.2 if axes > 1 else 5.0), dpi=110, layout="constrained")
    panels = drawn.subplots(2, len(maps), squeeze=False)
    _draw_maps(drawn, list(panels[0]), maps, k, _slice(found))
    for axes_below, mode in zip(panels[1], c.maps, strict=True):
        if mode == REFERENCE:
            _draw_picture(axes_below, c.maps[mode], found)
        else:
            _draw_difference(drawn, axes_below, found[mode], c.sample)
    drawn.suptitle(f"{Path(c.name).name}: {maps[0].class_name(k)}" if c.name else maps[0].class_name(k))
    return drawn


def _difference(m: ScoreMap, c: Comparison, klass: int) -> _Difference:
    scores = _scores(m, klass).ravel()
    if c.sample is None:
        reference, flat = _scores(c.maps[REFERENCE], klass).ravel(), np.arange(scores.size)
    else:
        reference, flat = c.sample.scores[klass].double().cpu().numpy(), np.array(c.sample.indices)
    with np.errstate(invalid="ignore"):
        apart = np.where(scores[flat] == reference, 0.0, scores[flat] - reference)
    return _Difference(m, apart, np.stack(np.unravel_index(flat, m.counts), axis=1))


def _slice(found: dict[str, _Difference]) -> int:
    """Of volumes: the plane across the first axis with the largest difference of the mode that is farthest off."""
    return max(found.values(), key=lambda one: one.largest).at[0]


def _scores(m: ScoreMap, klass: int) -> np.ndarray:
    scores: np.ndarray = m.scores[klass].detach().double().cpu().numpy()
    return scores


def _draw_maps(drawn: Figure, panels: list[Axes], maps: list[ScoreMap], klass: int, at: int) -> None:
    """All maps on one scale."""
    values = [_plane(_scores(m, klass), at) for m in maps]
    finite = np.concatenate([one[np.isfinite(one)] for one in values])
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    low, high = (low, high) if high > low else (low - 0.5, high + 0.5)
    for axes, m, one in zip(panels, maps, values, strict=True):
        shown = _draw(axes, m, one, COLOURS, (low, high))
        axes.set_title(f"{m.mode}: scores{_where(m, at)}")
        # One for each panel, though they have one scale: so all columns are as wide.
        if shown is not None:
            drawn.colorbar(shown, ax=axes, label="score" if axes is panels[-1] else "", shrink=0.9)


def _draw_difference(drawn: Figure, axes: Axes, found: _Difference, sample: Sample | None) -> None:
    """The map of differences, or the windows of a sample as dots; and a mark at the largest."""
    m, at, bound = found.m, found.at, found.bound
    if sample is None:
        values = _plane(found.values.reshape(m.counts), at[0])
        shown = _draw(axes, m, values, SIGNED, (-bound, bound))
    else:
        shown = _draw_dots(axes, found)
    if found.largest:
        _mark(axes, m, at, found)
        axes.set_title(f"{m.mode} less crops: up to {found.largest:.2g}\nat {place_text(_start(m, at))}")
    else:
        axes.set_title(f"{m.mode} less crops: 0 in every window")
    if shown is not None:
        bar = drawn.colorbar(shown, ax=axes, shrink=0.9)
        if not found.largest:
            bar.set_ticks([0.0])


def _draw(
    axes: Axes, m: ScoreMap, values: np.ndarray, colours: str, limits: tuple[float, float]
) -> ScalarMappable | None:
    """A plane in colours, or a row of numbers as a line; on the centres of the windows."""
    if values.ndim == 1:
        axes.plot(_centres(m, 0), values, color="black", linewidth=1, marker="." if values.size < 40 else None)
        room = 0.05 * (limits[1] - limits[0])
        axes.set_ylim(limits[0] - room, limits[1] + room)
        return None
    (top, bottom), (left, right) = (cell_extent(m, axis) for axis in _plane_axes(m))
    return axes.imshow(
        values,
        cmap=colours,
        vmin=limits[0],
        vmax=limits[1],
        interpolation="nearest",
        extent=(left, right, bottom, top),
    )


def _draw_dots(axes: Axes, found: _Difference) -> ScalarMappable | None:
    """The windows of a sample; of volumes those of all planes."""
    m, bound = found.m, found.bound
    if len(m.counts) == 1:
        axes.plot(_centres(m, 0)[found.indices[:, 0]], found.values, "k.")
        axes.set_xlim(*cell_extent(m, 0))
        return None
    rows, cols = (_centres(m, axis)[found.indices[:, axis]] for axis in _plane_axes(m))
    shown = axes.scatter(cols, rows, c=found.values, cmap=SIGNED, vmin=-bound, vmax=bound, edgecolors="grey", s=30)
    (top, bottom), (left, right) = (cell_extent(m, axis) for axis in _plane_axes(m))
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    axes.set_aspect("equal")
    return shown


def _mark(axes: Axes, m: ScoreMap, at: tuple[int, ...], found: _Difference) -> None:
    """A ring around the centre of the window."""
    centre = [_centres(m, axis)[i] for axis, i in enumerate(at)]
    if len(at) > 1:
        across, up = centre[-1], centre[-2]
    else:
        values = np.nan_to_num(found.values, nan=0.0, posinf=0.0, neginf=0.0)
        across, up = centre[0], float(values[found.indices[:, 0] == at[0]][0])
    for colour, width in (("white", 4), (MARK, 2)):
        axes.plot(
            across,
            up,
            "o",
            markersize=14,
            markerfacecolor="none",
            markeredgecolor=colour,
            markeredgewidth=width,
            clip_on=False,
            scalex=False,
            scaley=False,
        )


def _draw_picture(axes: Axes, m: ScoreMap, found: dict[str, _Difference]) -> None:
    """The image with the windows in which the modes are farthest off; nothing where it is no picture."""
    if m.picture is None or len(m.counts) != 2:
        axes.set_axis_off()
        return
    from matplotlib.patches import Rectangle

    height, width = (m.length_given(axis, have) for axis, have in enumerate(m.picture.shape[:2]))
    pads = [m.length_given(axis, (m.picture.shape[axis] - size) / 2) for axis, size in enumerate(m.image_size)]
    axes.imshow(m.picture, extent=(-pads[1], width - pads[1], height - pads[0], -pads[0]))
    apart = {mode: one for mode, one in found.items() if one.largest}
    for colour, (mode, one) in zip(("tab:red", "tab:cyan"), apart.items(), strict=False):
        top, left = _start(m, one.at)
        rows, cols = (m.length_given(axis, size) for axis, size in enumerate(m.window))
        box = Rectangle((left, top), cols, rows, fill=False, edgecolor=colour, linewidth=2, label=mode)
        axes.add_patch(box)
    if apart:
        axes.legend(loc="upper right", fontsize="small")
    axes.set_title("windows farthest off" if apart else "no window is off")


def _plane(values: np.ndarray, at: int) -> np.ndarray:
    """Of a volume one plane."""
    plane: np.ndarray = values[at] if values.ndim == 3 else values
    return plane


def _plane_axes(m: ScoreMap) -> tuple[int, int]:
    return len(m.counts) - 2, len(m.counts) - 1


def _where(m: ScoreMap, at: int) -> str:
    return f" at {place_text(_start(m, (at, 0, 0)))}".partition(",")[0] if len(m.counts) == 3 else ""


def _start(m: ScoreMap, at: tuple[int, ...]) -> tuple[float, ...]:
    """First pixel of a window, in the image as it was given."""
    return tuple(m.to_given(axis, float(m.offsets[axis][i])) for axis, i in enumerate(at))


def _centres(m: ScoreMap, axis: int) -> np.ndarray:
    centres: np.ndarray = m.to_given(axis, np.asarray(m.offsets[axis]) + m.window[axis] / 2)
    return centres
