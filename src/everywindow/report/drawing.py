"""Small drawings as inline SVG: blocks for layers, bars for numbers."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import sqrt

TALLEST, WIDEST, LEAST = 96.0, 84.0, 7.0
"""Of a block's front, in pixels."""

SLANT = 0.34
"""How far a block's second axis runs to the back, in parts of its length."""


def block(height: float, width: float, colour: str, title: str) -> str:
    """A map of values as a block: a box whose front is as high as the map and as wide as it has channels.

    Args:
        height, width: 0 to 1, of the largest; areas grow less than the numbers do.
        colour: the name of one of the page's.
        title: shown where the pointer rests.
    """
    tall = LEAST + (TALLEST - LEAST) * sqrt(height)
    wide = LEAST + (WIDEST - LEAST) * sqrt(width)
    back = SLANT * tall
    full_width, full_height = wide + back, tall + back
    top = _polygon((0, back), (back, 0), (full_width, 0), (wide, back))
    side = _polygon((wide, back), (full_width, 0), (full_width, tall), (wide, full_height))
    fill = f'fill="var(--{colour})"'
    return (
        f'<svg width="{full_width:.0f}" height="{full_height:.0f}" viewBox="-1 -1 {full_width + 2:.1f} '
        f'{full_height + 2:.1f}" role="img"><title>{escape(title)}</title>'
        f'<g {fill} stroke="#fff" stroke-width="1" stroke-linejoin="round">'
        f'<rect x="0" y="{back:.1f}" width="{wide:.1f}" height="{tall:.1f}"/>'
        f"{top}{side}</g>"
        f'<g fill="#fff" fill-opacity=".35">{top}</g><g fill="#000" fill-opacity=".16">{side}</g></svg>'
    )


def bar(parts: Sequence[tuple[float, str]], height: int = 10, mark: float | None = None) -> str:
    """A bar of parts, each a share of the whole width and a colour's name; ``mark`` is a line across, at its share."""
    shapes, at = [], 0.0
    for share, colour in parts:
        shapes.append(f'<rect x="{100 * at:.2f}" width="{100 * share:.2f}" height="10" fill="var(--{colour})"/>')
        at += share
    if mark is not None:
        shapes.append(f'<rect x="{100 * mark:.2f}" y="-3" width=".4" height="16" fill="var(--ink)"/>')
    return (
        f'<svg height="{height}" viewBox="0 -1 100 12" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect width="100" height="10" fill="#eef0f2"/>{"".join(shapes)}</svg>'
    )


def windows_on_image(image: Sequence[int], window: Sequence[int], stride: Sequence[int]) -> str:
    """An image with its first window, and where the next ones begin. Of more than two axes the last two."""
    rows, cols = (1, *image)[-2:] if len(image) > 1 else (max(1, image[0] // 8), image[0])
    high, wide = (1, *window)[-2:] if len(window) > 1 else (rows, window[0])
    down, along = (1, *stride)[-2:] if len(stride) > 1 else (0, stride[0])
    unit = 200 / max(rows, cols)
    shifted = "".join(
        f'<rect x="{unit * step * along:.1f}" y="{unit * step * down:.1f}" width="{unit * wide:.1f}" '
        f'height="{unit * high:.1f}" fill="none" stroke="var(--exact)" stroke-opacity="{0.9 - 0.25 * step:.2f}"/>'
        for step in range(3)
        if high + step * down <= rows and wide + step * along <= cols
    )
    return (
        f'<svg width="{unit * cols + 4:.0f}" height="{unit * rows + 4:.0f}" '
        f'viewBox="-2 -2 {unit * cols + 4:.1f} {unit * rows + 4:.1f}" aria-hidden="true">'
        f'<rect width="{unit * cols:.1f}" height="{unit * rows:.1f}" fill="var(--back)" stroke="var(--soft)"/>'
        f'<rect width="{unit * wide:.1f}" height="{unit * high:.1f}" fill="var(--exact)" fill-opacity=".18"/>'
        f"{shifted}</svg>"
    )


def _polygon(*points: tuple[float, float]) -> str:
    return f'<polygon points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>'
