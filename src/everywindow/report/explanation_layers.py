"""The sections of an explanation that go through a network layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import prod

from everywindow.costing import LayerCost
from everywindow.engines import Structure
from everywindow.geometry import times
from everywindow.report.cost import Cost, cost_rows
from everywindow.report.document import bar_rows, breakable, bullets, columns, folded, legend, paragraph, section
from everywindow.report.drawing import bar, block
from everywindow.report.text import counted, quantity

FAMILIES = {"conv": "convolution", "fc": "fully connected", "pool": "pooling", "other": "other"}
MODES = {
    "crops": "crops: each window by itself",
    "fcn": "fcn: the converted network in one pass",
    "exact": "exact: the crops' numbers, what windows share once",
}
SHARED = {
    "shared": "once for all windows",
    "strips": "the inside once, borders for each row and column of windows",
    "per window": "for each by itself",
    "mixed": "some each way",
}


def layer_blocks(rows: Sequence[LayerCost], channels: int, cost: Cost) -> str:
    """The layers as blocks."""
    maps = [(channels, cost.window), *(_map(row, cost.window) for row in rows)]
    most = max(count for count, _ in maps)
    names = [("image", "the window", "input", (channels, *cost.window))]
    names += [(row.layer, row.kind, row.family, row.shape) for row in rows]
    blocks = []
    for (layer, kind, family, sizes), (count, lengths) in zip(names, maps, strict=True):
        shape = "×".join(f"{size:,}" for size in sizes)
        drawn = block(_size(lengths, cost.window), count / most, family, f"{layer}: {shape}")
        blocks.append(
            f"<li>{drawn}<b>{breakable(layer)}</b><span>{breakable(kind)}</span><span>{escape(shape)}</span></li>"
        )
    families = [("input", "image"), *((name, text) for name, text in FAMILIES.items() if _has(rows, name))]
    return section(
        "Its layers, for one window",
        paragraph(
            "A block is the higher the larger its map of values, and the wider the more channels the map has; not to "
            "scale, but by square roots, so that small ones are seen."
            + (
                ""
                if len(rows) == len(cost.rows)
                else " Layers are summed up by modules: a block is the last one's map, in the colour of the most work."
            ),
            "soft",
        ),
        legend(families),
        f'<ul class="blocks">{"".join(blocks)}</ul>',
        folded("all layers as a table", columns(cost_rows(cost.rows), left=3)),
    )


def _has(rows: Sequence[LayerCost], family: str) -> bool:
    return any(row.family == family for row in rows)


def _map(row: LayerCost, window: Sequence[int]) -> tuple[int, tuple[int, ...]]:
    """Channels and lengths of a layer's output; of a vector no lengths, of rows of features those of a square of them.

    Channels stand first or last: there, where the lengths are then nearer to the window's over the stride so far.
    """
    axes = len(window)
    if len(row.shape) != axes + 1 or any(reach is None for reach in row.reach):
        *rows, features = [size for size in row.shape if size > 1] or [1]
        side = round(prod(rows) ** (1 / axes))
        return features, (side,) * axes if rows else ()
    expected = [size / step for size, step in zip(window, row.network_stride, strict=True)]

    def off(lengths: Sequence[int]) -> float:
        return sum(abs(length - size) for length, size in zip(lengths, expected, strict=True))

    first, last = row.shape[1:], row.shape[:-1]
    return (row.shape[0], first) if off(first) <= off(last) else (row.shape[-1], last)


def _size(lengths: Sequence[int], window: Sequence[int]) -> float:
    """How long a map is of the window, 0 to 1."""
    return max((min(1.0, length / size) for length, size in zip(lengths, window, strict=False)), default=0.0)


def receptive_field(rows: Sequence[LayerCost], known: Structure, cost: Cost) -> str:
    """How the receptive field grows."""
    field = known.receptive_field
    seen = [(row.layer, row.kind, row.receptive_field) for row in rows]
    seen += [("score", "of one pass", field)] if field is not None else []
    window = max(cost.window)
    most = max([window, *(max(sees) for *_, sees in seen)])

    def drawn(sees: Sequence[int]) -> str:
        inside = min(max(sees), window)
        beyond = max(sees) - inside
        return bar([(inside / most, "exact"), (beyond / most, "edge")], mark=window / most)

    beyond = most > window
    return section(
        "How far it sees",
        paragraph(
            "The receptive field: pixels of the image that one value of a layer depends on. The line is the window, "
            f"{times(cost.window)} px."
            + (
                " What lies beyond it is padding for a crop, and real image in one pass."
                if beyond
                else " No value sees beyond it."
            ),
            "soft",
        ),
        legend([("exact", "inside the window"), *([("edge", "beyond the window")] if beyond else [])]),
        bar_rows([(layer, kind, drawn(sees), [f"{times(tuple(sees))} px"]) for layer, kind, sees in seen]),
    )


def sharing(rows: Sequence[LayerCost], known: Structure, cost: Cost) -> str:
    """Where padding reaches, and what windows share."""
    counts = {how: sum(row.how == how for row in cost.rows) for how in SHARED}
    lines = [
        f"{how}: {count:,} {'layer' if count == 1 else 'layers'}, {SHARED[how]}"
        for how, count in counts.items()
        if count
    ]
    if known.alone:
        ended = f"Windows cannot share anything, not even a batch: {known.alone}."
    elif known.ends is not None:
        ended = f"Sharing ends at {known.ends.layer}: {known.ends.why}. What follows is computed for each window."
    else:
        ended = "Sharing does not end: every layer is shared, up to the scores."
    padded = any(reach not in (None, (0, 0)) for row in cost.rows for reach in row.reach)
    reached = [("edge", "depends on padding")] if padded else []
    return section(
        "Where padding reaches, and where sharing ends",
        paragraph(
            "Values that depend on padding belong to their window alone; the others are the same for all windows that "
            "cover them, and mode exact computes those once. "
            + ("A bar is the map of a window along its first axis." if padded else "Here no value depends on padding.")
        ),
        paragraph(ended),
        bullets(lines),
        legend([*reached, ("inside", "can be shared"), ("crops", "one window as a whole")]),
        bar_rows([(row.layer, row.kind, _reached(row, cost.window), [*_reach(row), row.how]) for row in rows]),
    )


def _reached(row: LayerCost, window: Sequence[int]) -> str:
    _, lengths = _map(row, window)
    reach = row.reach[0]
    if reach is None or not lengths:
        return bar([(1.0, "crops")])
    head, tail = (min(1.0, depth / lengths[0]) for depth in reach)
    tail = min(tail, 1 - head)
    return bar([(head, "edge"), (1 - head - tail, "inside"), (tail, "edge")])


def _reach(row: LayerCost) -> list[str]:
    reach = row.reach[0]
    if reach is None:
        return []
    return [f"{reach[0]} + {reach[1]} at the ends" if any(reach) else "no padding"]


def work(rows: Sequence[LayerCost], cost: Cost) -> str:
    """Mult-adds of each layer in each mode."""
    totals = cost.macs
    worked = [row for row in rows if row.macs]

    def drawn(row: LayerCost) -> str:
        return "".join(
            bar([(row.image_macs.get(mode, 0) / max(1, total), mode)], height=7) for mode, total in totals.items()
        )

    return section(
        "Where the work is",
        paragraph(
            f"Mult-adds for {counted(cost.windows, 'window')} of an image of {times(cost.image_size)} px. "
            "Each bar is the layer's share of its mode's total.",
            "soft",
        ),
        legend([(mode, MODES[mode]) for mode in totals]),
        bar_rows(
            [
                (
                    row.layer,
                    row.kind,
                    drawn(row),
                    [f"{mode} {quantity(row.image_macs.get(mode, 0))}" for mode in totals],
                )
                for row in worked
            ]
        ),
        folded("the numbers", columns([("layer", *totals), *_numbers(worked, cost)])),
    )


def _numbers(rows: Sequence[LayerCost], cost: Cost) -> list[tuple[str, ...]]:
    lines = [(row.layer, *(f"{row.image_macs.get(mode, 0):,}" for mode in cost.macs)) for row in rows]
    return [*lines, ("in all", *(f"{total:,}" for total in cost.macs.values()))]
