"""The story of a network as the sections of a page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from math import prod

from everywindow.costing import LayerCost
from everywindow.engines import Structure, Turned
from everywindow.geometry import times
from everywindow.report.cost import Cost, cost_rows
from everywindow.report.document import (
    bar_rows,
    breakable,
    bullets,
    columns,
    facts,
    folded,
    legend,
    paragraph,
    section,
)
from everywindow.report.drawing import bar, block, windows_on_image
from everywindow.report.modules import grouped
from everywindow.report.text import amount, quantity

MOST = 40
"""Blocks and bars that a section has at most; layers of longer networks are summed up by modules."""

NAMED = 3
"""Reasons that are read at once; the others are there on demand."""

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


def story(name: str, channels: int, classes: tuple[str, ...] | None, known: Structure, cost: Cost) -> Iterator[str]:
    """The sections, from the verdict to the price."""
    rows = grouped(cost.rows, MOST)
    yield _header(name, channels, classes, known, cost)
    yield _verdict(known)
    yield _layers(rows, channels, cost)
    yield _conversion(known)
    yield _receptive_field(rows, known, cost)
    yield _sharing(rows, known, cost)
    yield _work(rows, cost)
    yield _image(cost)
    yield paragraph(
        "All of this follows from the network's graph, before anything runs. A mult-add is one multiplication and one "
        "addition; convolutions, fully connected layers and matrix products are counted.",
        "soft small",
    )


def _header(name: str, channels: int, classes: tuple[str, ...] | None, known: Structure, cost: Cost) -> str:
    scores = f"{len(classes):,}" if classes else times(known.scores)
    window = [
        ("window", f"{times(cost.window)} px"),
        ("channels", f"{channels:,}"),
        ("classes" if classes else "scores per window", scores),
        ("parameters", quantity(cost.params)),
        ("of them fully connected", f"{100 * cost.fc_share:.1f} %"),
        ("mult-adds for one window", quantity(sum(row.macs for row in cost.rows))),
    ]
    named = f'<p class="soft">{escape(_listed(classes))}</p>' if classes else ""
    return f'<header><p class="eyebrow">A network explained</p><h1>{escape(name)}</h1>{named}{facts(window)}</header>'


def _listed(names: Sequence[str], most: int = 6) -> str:
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _verdict(known: Structure) -> str:
    if known.refusal is not None:
        return section(
            "There is no single pass for this network",
            paragraph(f"{known.refusal.layer}: {known.refusal.why}."),
            paragraph(
                "So it has no equal among convolutional networks. Modes crops and exact score every window of an "
                "image all the same."
            ),
            kind="verdict",
            tone="none",
        )
    if known.verdict.exact:
        return section(
            "One pass equals the crops",
            paragraph(
                "Converted to convolutions, the network gives in one pass over an image the score of every window, "
                "and it is the one that the window cut out by itself would get. That is proved from the network's "
                "graph, for every image."
            ),
            kind="verdict",
            tone="good",
        )
    reasons = [f"{reason.layer}: {reason.why}" for reason in known.verdict.reasons]
    more = reasons[NAMED:]
    return section(
        "One pass differs from the crops",
        paragraph(
            "Converted to convolutions, the network scores every window in one pass, but near the windows' borders it "
            "sees the image where a window cut out by itself sees something else. The reasons:"
        ),
        bullets(reasons[:NAMED]),
        folded(f"{len(more)} more", bullets(more)) if more else "",
        paragraph("Mode exact gives the crops' own numbers, and computes once what windows share."),
        kind="verdict",
        tone="mixed",
    )


def _layers(rows: Sequence[LayerCost], channels: int, cost: Cost) -> str:
    maps = [(channels, cost.window), *(_map(row, cost.window) for row in rows)]
    most = max(count for count, _ in maps)
    names = [("image", "the window", "input", (channels, *cost.window))]
    names += [(row.layer, row.kind, row.family, row.shape) for row in rows]
    blocks = []
    for (layer, kind, family, sizes), (count, lengths) in zip(names, maps, strict=True):
        shape = " × ".join(f"{size:,}" for size in sizes)
        drawn = block(_size(lengths, cost.window), count / most, family, f"{layer}: {shape}")
        blocks.append(
            f"<li>{drawn}<b>{breakable(layer)}</b><span>{breakable(kind)}</span><span>{escape(shape)}</span></li>"
        )
    families = [("input", "image"), *((name, text) for name, text in FAMILIES.items() if _has(rows, name))]
    return section(
        "Its layers, for one window",
        paragraph(
            "Each block is as high as its map of values and as wide as the map has channels."
            + (
                ""
                if len(rows) == len(cost.rows)
                else " Layers are summed up by modules: a block is the last one's map, in the colour of what multiplies most."
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
        side = round(prod(row.shape[:-1]) ** (1 / axes))
        return row.shape[-1], (side,) * axes if side > 1 else ()
    expected = [size / step for size, step in zip(window, row.network_stride, strict=True)]

    def off(lengths: Sequence[int]) -> float:
        return sum(abs(length - size) for length, size in zip(lengths, expected, strict=True))

    first, last = row.shape[1:], row.shape[:-1]
    return (row.shape[0], first) if off(first) <= off(last) else (row.shape[-1], last)


def _size(lengths: Sequence[int], window: Sequence[int]) -> float:
    """How long a map is of the window, 0 to 1."""
    return max((min(1.0, length / size) for length, size in zip(lengths, window, strict=False)), default=0.0)


def _conversion(known: Structure) -> str:
    if known.refusal is not None:
        ended = f"Into nothing else: there is no conversion, because of {known.refusal.layer} ({known.refusal.why})."
        return section(
            "What each layer turns into",
            paragraph(ended),
            folded(
                "all layers as they are", columns([("layer", "is"), *((t.layer, t.before) for t in known.layers)], 2)
            ),
        )
    changed = [layer for layer in known.layers if layer.changed]
    return section(
        "What each layer turns into",
        paragraph(
            "In one pass a fully connected layer is a convolution whose kernel is as large as the map that it takes, "
            "and what is a mean over the window is a pooling with a kernel of the window's map. Its weights stay. "
            + ("These layers change:" if changed else "Here no layer changes: the network is convolutional already."),
            "soft",
        ),
        _turned(changed) if changed else "",
        folded("all layers", _turned(known.layers)),
    )


def _turned(layers: Sequence[Turned]) -> str:
    rows = [(layer.layer, layer.before, layer.after or "nothing to compute") for layer in layers]
    return columns([("layer", "from", "to"), *rows], left=3)


def _receptive_field(rows: Sequence[LayerCost], known: Structure, cost: Cost) -> str:
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


def _sharing(rows: Sequence[LayerCost], known: Structure, cost: Cost) -> str:
    counts = {how: sum(row.how == how for row in cost.rows) for how in SHARED}
    lines = [
        f"{count:,} {'layer' if count == 1 else 'layers'} {how}: {SHARED[how]}"
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
    return section(
        "Where padding reaches, and where sharing ends",
        paragraph(
            "Values that depend on padding belong to their window alone; the others are the same for all windows that "
            "cover them, and mode exact computes those once. "
            + ("A bar is the map of a window along its first axis." if padded else "Here no value depends on padding.")
        ),
        paragraph(ended),
        bullets(lines),
        legend(
            [("edge", "depends on padding"), ("inside", "can be shared"), ("crops", "belongs to one window as a whole")]
        ),
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


def _work(rows: Sequence[LayerCost], cost: Cost) -> str:
    totals = cost.macs
    worked = [row for row in rows if row.macs]

    def drawn(row: LayerCost) -> str:
        return "".join(
            bar([(row.image_macs.get(mode, 0) / max(1, total), mode)], height=7) for mode, total in totals.items()
        )

    return section(
        "Where the work is",
        paragraph(
            f"Mult-adds for the {cost.windows:,} windows of an image of {times(cost.image_size)} px. Each bar is the "
            "layer's share of its mode's total.",
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


def _image(cost: Cost) -> str:
    most = max(cost.macs.values())
    drawn = bar_rows(
        [
            (
                mode,
                "",
                bar([(macs / max(1, most), mode)], height=14),
                [f"{quantity(macs)} mult-adds", _less(cost, mode)],
            )
            for mode, macs in cost.macs.items()
        ]
    )
    table = [("mode", "mult-adds", "seconds", "speed-up", "memory"), *_modes(cost)]
    exact = cost.modes["exact"]
    notes = [f"In mode exact: {exact.reason}."] if exact.reason else []
    if not cost.predicted:
        notes.append(
            "Seconds are left out: how fast this device is has not been measured yet. ew.cost(..., predict=True) or "
            "the command cost does that once."
        )
    return section(
        f"An image of {times(cost.image_size)} px",
        paragraph(f"{cost.windows:,} windows of {times(cost.window)} px, one every {times(cost.stride)} px."),
        f'<div class="picture">{windows_on_image(cost.image_size, cost.window, cost.stride)}{drawn}</div>',
        columns(table),
        *map(paragraph, notes),
        (paragraph("What would cost less:") + bullets(map(str, cost.advice))) if cost.advice else "",
    )


def _less(cost: Cost, mode: str) -> str:
    macs = cost.macs[mode]
    return "" if mode == "crops" or not macs else f"{cost.macs['crops'] / macs:,.1f} times fewer"


def _modes(cost: Cost) -> Iterator[tuple[str, ...]]:
    for mode in cost.modes.values():
        gain = cost.speed_up(mode.mode)
        yield (
            mode.mode,
            f"{mode.macs:,}",
            "–" if mode.seconds is None else f"{mode.seconds:,.2f}",
            "–" if gain is None else f"{gain:,.1f}",
            "too little" if mode.peak_bytes is None else amount(mode.peak_bytes),
        )
