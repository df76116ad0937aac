"""Draws blocks.png for docs/design/exact.md, from the positions that the engine itself computes.

    python docs/images/draw_blocks.py

Three by three windows of 8×8 pixels, 2 pixels apart, behind a 3×3 convolution padded by 1.
"""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from everywindow.geometry import AxisRecord, LocalOp, Positions, Slabs, slabs

WINDOW, STRIDE, WINDOWS = 8, 2, 3
CONVOLUTION = LocalOp(kernel=3, pad_low=1, pad_high=1)
HEAD, BODY, TAIL = "#e08214", "#4393c3", "#5aae61"
KINDS = {"bodies": BODY, "strips": "#c2a5cf", "corners": "#d6604d"}
READ = "#222222"
MIDDLE = 1
"""The window whose pieces are shown."""


def parts(row: Positions) -> list[tuple[str, int, int]]:
    """Name, first position and length of each run, head and tail."""
    after_runs = row.runs * row.run
    after_heads = after_runs + row.windows * row.head
    return [
        *((f"run {i}", i * row.run, row.run) for i in range(row.runs)),
        *((f"head {i}", after_runs + i * row.head, row.head) for i in range(row.windows)),
        *((f"tail {i}", after_heads + i * row.tail, row.tail) for i in range(row.windows)),
    ]


def groups(row: Positions) -> list[tuple[int, int, str]]:
    """First position, length and name of all runs, all heads and all tails."""
    runs, heads, tails = row.runs * row.run, row.windows * row.head, row.windows * row.tail
    return [(0, runs, "run"), (runs, heads, "heads"), (runs + heads, tails, "tails")]


def cell(axes: Axes, x: float, y: float, width: float, height: float, colour: str, alpha: float = 1.0) -> None:
    """A filled box with a thin white edge."""
    axes.add_patch(Rectangle((x, y), width, height, facecolor=colour, edgecolor="white", linewidth=0.6, alpha=alpha))


def colour_of(name: str) -> str:
    """Of a part of a row."""
    return {"run": BODY, "head": HEAD, "tail": TAIL}[name.split()[0]]


def draw_row(axes: Axes, row: Positions) -> None:
    """Each window's positions where they lie in the image, and all together in the row."""
    for window in range(row.windows):
        y = 1.6 * window
        axes.text(-0.4, y + 0.5, f"window {window}", ha="right", va="center", fontsize=8)
        for inside, place in enumerate(row.table[window]):
            kind = HEAD if inside < row.head else TAIL if inside >= row.n - row.tail else BODY
            x = window * STRIDE + inside
            cell(axes, x, y, 1, 1, kind)
            axes.text(x + 0.5, y + 0.5, str(place), ha="center", va="center", fontsize=6, color="white")
    y = 1.6 * row.windows + 0.8
    axes.text(-0.4, y + 0.5, "the row", ha="right", va="center", fontsize=8)
    for name, first, length in parts(row):
        for x in range(first, first + length):
            cell(axes, x, y, 1, 1, colour_of(name))
            axes.text(x + 0.5, y + 0.5, str(x), ha="center", va="center", fontsize=6, color="white")
    for first, length, name in groups(row):
        axes.text(first + length / 2, y + 1.2, name, ha="center", va="top", fontsize=8)
    axes.set(xlim=(-3.6, row.length + 0.3), ylim=(y + 3.2, -0.6))
    axes.set_title("one axis: three windows, one row", fontsize=10)


def draw_product(axes: Axes, row: Positions, alpha: float = 1.0) -> None:
    """All positions of the 2-D value: the product of the row with itself."""
    for below, top, height in parts(row):
        for beside, left, width in parts(row):
            runs = [name.startswith("run") for name in (below, beside)]
            kind = "bodies" if all(runs) else "strips" if any(runs) else "corners"
            cell(axes, left, top, width, height, KINDS[kind], alpha)
    axes.set(xlim=(-2.6, row.length + 0.2), ylim=(row.length + 2.2, -0.6))


def name_parts(axes: Axes, row: Positions) -> None:
    """Names along both edges, and of the kinds of block."""
    for first, length, name in groups(row):
        axes.text(first + length / 2, row.length + 0.3, name, ha="center", va="top", fontsize=8)
        axes.text(-0.3, first + length / 2, name, ha="right", va="center", fontsize=8, rotation=90)
    inside, outside = row.run / 2, row.run + row.windows
    for x, y, label, colour, turned in (
        (inside, inside, "bodies: once\nfor the image", "white", 0),
        (outside, inside, "strips: for each\ncolumn of windows", "black", 90),
        (inside, outside, "strips: for each row of windows", "black", 0),
        (outside, outside, "corners: for\neach window", "white", 0),
    ):
        axes.text(x, y, label, ha="center", va="center", fontsize=7.5, color=colour, rotation=turned)
    axes.set_title(f"two axes: {row.length}×{row.length} positions in the place of 9 · 8×8", fontsize=10)


def draw_reads(axes: Axes, slab: Slabs, across: Slabs, colour: str) -> int:
    """Marks what is read for the piece of the middle window; gives how many positions a padding fills in."""
    rows, columns = slab.index[MIDDLE], across.index[min(MIDDLE, len(across.index) - 1)]
    for y in rows[rows >= 0]:
        for x in columns[columns >= 0]:
            axes.add_patch(Rectangle((x + 0.1, y + 0.1), 0.8, 0.8, facecolor=colour, edgecolor=READ, linewidth=0.7))
    return int(len(rows) * len(columns) - (rows >= 0).sum() * (columns >= 0).sum())


def main() -> None:
    """Write the picture beside this file."""
    first = AxisRecord.of_window(WINDOW).after(CONVOLUTION)
    second = first.after(CONVOLUTION)
    source, target = (Positions.of(record, WINDOWS, STRIDE) for record in (first, second))
    runs, borders = slabs(CONVOLUTION, source, target)[:2]
    figure = Figure(figsize=(12.6, 4.4), dpi=110, layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=[1.1, 1, 1])
    draw_row(left, source)
    draw_product(middle, source)
    name_parts(middle, source)
    draw_product(right, source, alpha=0.3)
    strip = draw_reads(right, borders, runs, KINDS["strips"])
    corner = draw_reads(right, borders, borders, KINDS["corners"])
    for first_at, length, name in groups(source):
        right.text(first_at + length / 2, -0.1, name, ha="center", va="bottom", fontsize=7)
    right.set_title("what the next 3×3 convolution reads", fontsize=10)
    right.text(
        source.length / 2 - 1,
        source.length + 0.4,
        f"for the head rows of window row {MIDDLE}: the strip reads all below “run”, and {strip} zeros;\n"
        f"its corner with the head columns of window column {MIDDLE} reads the red, and {corner} zeros",
        ha="center",
        va="top",
        fontsize=7.5,
    )
    for axes in (left, middle, right):
        axes.set_axis_off()
    for axes in (middle, right):
        axes.set_aspect("equal")
    figure.savefig(Path(__file__).with_name("blocks.png"))


if __name__ == "__main__":
    main()
