"""The demo's picture: the photograph, and the heat map over it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from everywindow.io import atomic_path, read_picture
from everywindow.report import draw_map

if TYPE_CHECKING:
    from everywindow.report import ScoreMap


def write_picture(m: ScoreMap, photograph: Path, target: Path) -> None:
    """Photograph and heat map side by side; the window of the strongest response is drawn in both."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    pixels = read_picture(photograph)
    figure = Figure(figsize=(9.6, 4.5), dpi=100, layout="constrained")
    left, right = figure.subplots(1, 2)
    left.imshow(pixels, extent=(0, pixels.shape[1], pixels.shape[0], 0))
    shown = draw_map(m, right, pixels, "face", peak=True)
    box = right.patches[0]
    assert isinstance(box, Rectangle)
    left.add_patch(
        Rectangle(box.get_xy(), box.get_width(), box.get_height(), fill=False, edgecolor="cyan", linewidth=2)
    )
    left.set_title("the photograph, and the window with the strongest response", fontsize=10)
    right.set_title(f"probability of “face” in each of {m.windows:,} windows", fontsize=10)
    for axes in (left, right):
        axes.set_axis_off()
    figure.colorbar(shown, ax=right, label="probability", shrink=0.9)
    with atomic_path(target) as scratch:
        figure.savefig(scratch, format="png")
