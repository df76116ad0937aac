"""Heat maps: in the right place, with the right range, without global state."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from everywindow.errors import InputError
from everywindow.geometry.verdict import Verdict
from everywindow.report import ScoreMap, draw_map

EXACT = Verdict(exact=True)


def spike(
    counts: tuple[int, ...],
    at: tuple[int, ...],
    window: int = 6,
    stride: int = 2,
    pad: int = 0,
    **fields: object,
) -> ScoreMap:
    scores = torch.zeros((2, *counts))
    scores[(1, *at)] = 8.0
    base = ScoreMap(
        scores=scores,
        offsets=tuple(tuple(stride * i - pad for i in range(n)) for n in counts),
        window=(window,) * len(counts),
        stride=(stride,) * len(counts),
        mode="fcn",
        verdict=EXACT,
        classes=("ground", "cell"),
        image_size=tuple(stride * (n - 1) + window - 2 * pad for n in counts),
    )
    return replace(base, **fields)  # type: ignore[arg-type]


def cells(axes: Axes) -> AxesImage:
    return axes.images[-1]


def cell_box(image: AxesImage, row: int, col: int) -> tuple[float, float, float, float]:
    """Left, right, top, bottom of one cell, computed from what matplotlib was given."""
    rows, cols = np.shape(image.get_array())[:2]
    left, right, bottom, top = image.get_extent()
    width, height = (right - left) / cols, (bottom - top) / rows
    return left + col * width, left + (col + 1) * width, top + row * height, top + (row + 1) * height


@pytest.mark.parametrize(("pad", "scale"), [(0, 1.0), (3, 1.0), (0, 0.25), (3, 0.5)])
def test_a_cell_is_one_stride_wide_on_its_windows_centre(pad: int, scale: float) -> None:
    m = spike((4, 7), (2, 5), pad=pad, scale=scale)
    left, right, top, bottom = cell_box(cells(m.plot(klass="cell").axes[0]), 2, 5)
    row_centre, col_centre = (2 * 2 - pad + 3) / scale, (2 * 5 - pad + 3) / scale
    assert ((left + right) / 2, (top + bottom) / 2) == pytest.approx((col_centre, row_centre))
    assert (right - left, bottom - top) == pytest.approx((2 / scale, 2 / scale))


def test_a_bright_pixel_is_drawn_brightest_where_it_is() -> None:
    """The figure's own pixels, sought at the place of one bright pixel of the image."""
    image = torch.zeros(1, 1, 40, 60)
    image[0, 0, 25, 33] = 1
    kernel = torch.zeros(2, 1, 5, 5)
    kernel[1, 0, 2, 2] = 20
    scores = torch.nn.functional.conv2d(image, kernel)[0]
    m = ScoreMap(
        scores=scores,
        offsets=(tuple(range(36)), tuple(range(56))),
        window=(5, 5),
        stride=(1, 1),
        mode="fcn",
        verdict=EXACT,
        image_size=(40, 60),
    )
    figure = m.plot(np.zeros((40, 60)), klass=1)
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    drawn = np.asarray(canvas.buffer_rgba())[..., :3].astype(float)
    axes = figure.axes[0]
    box = axes.get_window_extent()
    inside = drawn[len(drawn) - int(box.y1) + 2 : len(drawn) - int(box.y0) - 2, int(box.x0) + 2 : int(box.x1) - 2]
    rows, cols = np.nonzero(inside.sum(-1) > 0.8 * inside.sum(-1).max())
    x, y = axes.transData.inverted().transform(
        (int(box.x0) + 2 + cols.mean() + 0.5, int(box.y1) - 2 - rows.mean() - 0.5)
    )
    assert (x, y) == pytest.approx((33.5, 25.5), abs=0.5)


def test_probabilities_have_the_fixed_range_and_scores_their_own() -> None:
    m = spike((3, 3), (1, 1))
    assert cells(m.plot(klass="cell").axes[0]).get_clim() == (0, 1)
    assert cells(replace(m, activation="sigmoid").plot(klass=0).axes[0]).get_clim() == (0, 1)
    assert cells(replace(m, activation="none").plot(klass="cell").axes[0]).get_clim() == (0, 8)
    flat = replace(m, activation="none", scores=torch.full_like(m.scores, -3))
    low, high = cells(flat.plot(klass="cell").axes[0]).get_clim()
    assert low < -3 < high


def test_title_names_the_class_and_the_bar_its_unit() -> None:
    figure = spike((3, 3), (1, 1)).plot(klass="cell")
    assert figure.axes[0].get_title() == "cell"
    assert figure.axes[1].get_ylabel() == "probability"
    plain = replace(spike((3, 3), (1, 1)), activation="none", classes=None).plot()
    assert plain.axes[0].get_title() == "class 1"
    assert plain.axes[1].get_ylabel() == "score"


def test_the_scanned_picture_lies_under_the_map_with_its_padding() -> None:
    m = spike((4, 7), (2, 5), pad=3, scale=0.5)
    padded = np.zeros((m.image_size[0] + 6, m.image_size[1] + 6, 3), np.uint8)
    under = replace(m, picture=padded).plot(klass=1).axes[0].images[0]
    assert under.get_extent() == [-6, 2 * m.image_size[1] + 6, 2 * m.image_size[0] + 6, -6]


def test_a_given_image_covers_the_scanned_one_whatever_its_resolution(tmp_path: Path) -> None:
    m = spike((4, 7), (2, 5), scale=0.5)
    fine = np.zeros((m.image_size[0] * 8, m.image_size[1] * 8, 3), np.uint8)
    from PIL import Image

    Image.fromarray(fine).save(tmp_path / "fine.png")
    for image in (fine, tmp_path / "fine.png"):
        axes = m.plot(image, klass=1).axes[0]
        assert axes.images[0].get_extent() == [0, 2 * m.image_size[1], 2 * m.image_size[0], 0]


def test_peak_box_is_the_window() -> None:
    figure = Figure()
    axes = figure.add_subplot()
    draw_map(spike((4, 7), (2, 5), scale=0.5), axes, klass="cell", peak=True)
    (box,) = axes.patches
    assert box.get_bbox().bounds == (20, 8, 12, 12)  # type: ignore[attr-defined]


def test_a_signal_is_a_strip_over_the_line() -> None:
    m = spike((9,), (4,))
    axes = m.plot(np.sin(np.arange(22)), klass="cell").axes[0]
    left, right, _, _ = cell_box(cells(axes), 0, 4)
    assert (left + right) / 2 == 4 * 2 + 3
    assert len(axes.lines) == 1
    assert axes.get_xlim() == (0, 22)
    assert axes.get_ylim()[0] < -0.9
    assert axes.get_ylim()[1] > 0.9
    response = m.plot(klass="cell").axes[0].lines[0]
    assert np.argmax(response.get_ydata()) == 4
    assert response.get_xdata()[4] == 11


def test_a_volume_shows_the_slice_with_the_strongest_response() -> None:
    m = spike((5, 4, 6), (3, 1, 2))
    volume = np.zeros(m.image_size)
    volume[9] = 1
    axes = m.plot(volume, klass="cell").axes[0]
    assert "slice" in axes.get_title()
    assert "9 px" in axes.get_title()
    assert np.asarray(axes.images[0].get_array()).min() == 1
    assert np.unravel_index(np.argmax(cells(axes).get_array()), (4, 6)) == (1, 2)
    assert m.plot(klass="cell").axes[0].images


def test_png_is_written_without_pyplot(tmp_path: Path) -> None:
    sys.modules.pop("matplotlib.pyplot", None)
    spike((4, 7), (2, 5)).save(tmp_path / "map.png")
    from PIL import Image

    with Image.open(tmp_path / "map.png") as picture:
        assert picture.format == "PNG"
        assert picture.size[0] > 400
    assert "matplotlib.pyplot" not in sys.modules


def test_four_axes_cannot_be_drawn() -> None:
    with pytest.raises(InputError, match="4 spatial axes"):
        spike((2, 2, 2, 2), (0, 0, 0, 0)).plot()
