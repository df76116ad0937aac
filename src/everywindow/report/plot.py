"""Heat maps: each cell on its window's centre, over the image."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from everywindow.errors import InputError
from everywindow.io import read_picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

    from everywindow.report.score_map import ScoreMap

COLOURS = "inferno"
Interval = tuple[float, float]


def figure(m: ScoreMap, image: Any, klass: int | str | None) -> Figure:
    """A figure of its own, without pyplot's global state; see :meth:`ScoreMap.plot`."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(7, 5.4) if len(m.counts) > 1 else (9, 3.2), dpi=120, layout="constrained")
    axes = drawn.add_subplot()
    shown = draw_map(m, axes, image, klass)
    drawn.colorbar(shown, ax=axes, label=_label(m), shrink=0.9)
    return drawn


def side_by_side(maps: Sequence[ScoreMap], image: Any, klass: int) -> Figure:
    """A figure of the maps of several scales; see :meth:`Pyramid.plot`."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(4.2 * len(maps) + 1, 4.4), dpi=120, layout="constrained")
    panels = drawn.subplots(1, len(maps), squeeze=False)[0]
    for m, axes in zip(maps, panels, strict=True):
        shown = draw_map(m, axes, image, klass)
        axes.set_title(f"{m.class_name(klass)}, scale {m.scale:g}")
    drawn.colorbar(shown, ax=list(panels), label=_label(maps[-1]), shrink=0.9)
    return drawn


def draw_map(
    m: ScoreMap, axes: Axes, image: Any = None, klass: int | str | None = None, peak: bool = False
) -> ScalarMappable:
    """Draw the heat map of a class on axes of one's own.

    Args:
        m: the map.
        axes: matplotlib axes; afterwards in pixels of the image before resizing.
        image: as for :meth:`ScoreMap.plot`.
        klass: name or index of the class; :meth:`ScoreMap.shown_class` by default.
        peak: draw the window of the strongest response as a box.

    Returns:
        What a colour bar needs.
    """
    m.scored()
    k = m.shown_class(klass)
    values = m.probabilities()[k].detach().float().cpu().numpy()
    draw = {1: _draw_line, 2: _draw_plane, 3: _draw_slice}.get(len(m.counts))
    if draw is None:
        raise InputError("plot", f"the map has {len(m.counts)} spatial axes", "draw a part with 1 to 3 axes")
    shown = draw(m, axes, values, image, k)
    if peak and len(m.counts) == 2:
        _draw_peak(m, axes, k)
    return shown


def cell_extent(m: ScoreMap, axis: int) -> Interval:
    """From where to where the map's cells reach on an axis, in pixels of the image before resizing.

    A cell lies on its window's centre and is one stride wide.
    """
    offsets, half_cell = m.offsets[axis], m.stride[axis] / 2
    centre = m.window[axis] / 2
    first, last = offsets[0] + centre - half_cell, offsets[-1] + centre + half_cell
    return m.to_given(axis, first), m.to_given(axis, last)


def _draw_plane(m: ScoreMap, axes: Axes, values: np.ndarray, image: Any, klass: int) -> ScalarMappable:
    under = _underlay(m, axes, image)
    shown = _cells(m, axes, values, (0, 1), under)
    axes.set_title(m.class_name(klass))
    return shown


def _draw_slice(m: ScoreMap, axes: Axes, values: np.ndarray, image: Any, klass: int) -> ScalarMappable:
    """A volume: the plane across the first axis in which the class responds most."""
    peak = m.strongest(klass)
    place = peak.centre[0]
    under = False
    if image is not None:
        volume = _array(image)
        top, bottom = m.to_given(0, 0.0), m.to_given(0, float(m.image_size[0]))
        at = int(np.clip((place - top) / (bottom - top) * len(volume), 0, len(volume) - 1))
        _show(m, axes, volume[at], (1, 2))
        under = True
    shown = _cells(m, axes, values[peak.index[0]], (1, 2), under)
    axes.set_title(f"{m.class_name(klass)}: the slice with the strongest response, at {place:g} px on axis 0")
    return shown


def _draw_line(m: ScoreMap, axes: Axes, values: np.ndarray, image: Any, klass: int) -> ScalarMappable:
    """A signal: the map as a strip of colour with the signal (or else the response) as a line."""
    low, high = _range(m, values)
    left, right = cell_extent(m, 0)
    shown = axes.imshow(
        values[None],
        cmap=COLOURS,
        vmin=low,
        vmax=high,
        aspect="auto",
        alpha=0.6,
        extent=(left, right, 0, 1),
        transform=axes.get_xaxis_transform(),
    )
    begin, end = m.to_given(0, 0.0), m.to_given(0, float(m.image_size[0])) if m.image_size else right
    if image is None:
        centres = m.to_given(0, np.asarray(m.offsets[0]) + m.window[0] / 2)
        axes.plot(centres, values, color="black", linewidth=1)
        axes.set_ylabel(_label(m))
        axes.set_ylim(low, high)
    else:
        signal = _array(image).squeeze()
        times = begin + (np.arange(len(signal)) + 0.5) * (end - begin) / len(signal)
        axes.plot(times, signal, color="black", linewidth=0.8)
        axes.relim()
        axes.autoscale(axis="y")
    axes.set_xlim(min(begin, left), max(end, right))
    axes.set_title(m.class_name(klass))
    return shown


def _cells(m: ScoreMap, axes: Axes, values: np.ndarray, plane: tuple[int, int], under: bool) -> ScalarMappable:
    """The map's cells; over an image they are the more opaque the stronger they are."""
    low, high = _range(m, values)
    (top, bottom), (left, right) = (cell_extent(m, axis) for axis in plane)
    alpha = np.nan_to_num(np.clip(0.25 + 0.6 * (values - low) / (high - low), 0, 1)) if under else None
    axes.imshow(
        values,
        cmap=COLOURS,
        vmin=low,
        vmax=high,
        alpha=alpha,
        interpolation="nearest",
        extent=(left, right, bottom, top),
    )
    if not under:
        axes.set_xlim(left, right)
        axes.set_ylim(bottom, top)
    return _scale(low, high)


def _scale(low: float, high: float) -> ScalarMappable:
    """The colours without the image that shines through, for the colour bar."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    return ScalarMappable(Normalize(low, high), COLOURS)


def _underlay(m: ScoreMap, axes: Axes, image: Any) -> bool:
    """Draw the image, and say whether there was one."""
    if image is not None:
        _show(m, axes, _array(image), (0, 1))
    elif m.picture is not None:
        # The picture carries the padding, on both sides alike; without image_size it is taken whole.
        sizes = m.image_size or m.picture.shape[:2]
        pad = tuple((have - size) / 2 for have, size in zip(m.picture.shape, sizes, strict=False))
        _show(m, axes, m.picture, (0, 1), pad)
    return image is not None or m.picture is not None


def _show(
    m: ScoreMap, axes: Axes, pixels: np.ndarray, plane: tuple[int, int], pad: tuple[float, ...] = (0.0, 0.0)
) -> None:
    """Draw pixels over the whole scanned image, plus padding."""
    sizes = [m.image_size[axis] if m.image_size else pixels.shape[i] for i, axis in enumerate(plane)]
    (top, bottom), (left, right) = (
        (m.to_given(axis, -p), m.to_given(axis, size + p)) for axis, size, p in zip(plane, sizes, pad, strict=True)
    )
    extent = (left, right, bottom, top)
    axes.imshow(_gray(pixels), cmap="gray", extent=extent)
    axes.set_xlim(extent[0], extent[1])
    axes.set_ylim(extent[2], extent[3])


def _draw_peak(m: ScoreMap, axes: Axes, klass: int) -> None:
    from matplotlib.patches import Rectangle

    peak = m.strongest(klass)
    (top, left), (bottom, right) = peak.start, peak.stop
    axes.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor="cyan", linewidth=2))


def _range(m: ScoreMap, values: np.ndarray) -> Interval:
    """0 to 1 for probabilities, else the values' own range."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if m.activation != "none" or (low >= 0 and high <= 1):
        return 0.0, 1.0
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _label(m: ScoreMap) -> str:
    return "score" if m.activation == "none" else "probability"


def _array(image: Any) -> np.ndarray:
    """A picture file or an array as pixels to draw."""
    if isinstance(image, (str, os.PathLike)):
        return read_picture(image)
    return np.asarray(image)


def _gray(pixels: np.ndarray) -> np.ndarray:
    """Without colours, which would mix with those of the map."""
    if pixels.ndim < 3 or pixels.shape[-1] not in (3, 4):
        return pixels
    gray: np.ndarray = pixels[..., :3] @ np.array([0.299, 0.587, 0.114])
    return gray
