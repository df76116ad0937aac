"""The story of a network as the sections of a page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from everywindow.convert import Turned
from everywindow.engines import Structure
from everywindow.geometry import times
from everywindow.report.cost import Cost
from everywindow.report.document import bar_rows, bullets, columns, facts, folded, paragraph, section
from everywindow.report.drawing import bar, windows_on_image
from everywindow.report.explanation_layers import layer_blocks, receptive_field, sharing, work
from everywindow.report.modules import grouped
from everywindow.report.text import amount, counted, quantity, rough, seconds_text

MOST = 40
"""Blocks and bars that a section has at most; layers of longer networks are summed up by modules."""

NAMED = 3
"""Reasons that are read at once; the others are there on demand."""


def story(name: str, channels: int, classes: tuple[str, ...] | None, known: Structure, cost: Cost) -> Iterator[str]:
    """The sections, from the verdict to the price."""
    rows = grouped(cost.rows, MOST)
    yield _header(name, channels, classes, known, cost)
    yield _verdict(known)
    yield layer_blocks(rows, channels, cost)
    yield _conversion(known)
    yield receptive_field(rows, known, cost)
    yield sharing(rows, known, cost)
    yield work(rows, cost)
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
    return columns([("layer", "from", "to"), *rows], left=3, kind="stacked")


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
    notes += [f"{line[0].upper()}{line[1:]}." for line in rough(len(cost.window)) if cost.predicted]
    if not cost.predicted:
        notes.append(
            "Seconds are left out: how fast this device is has not been measured yet. ew.cost(..., predict=True) or "
            "the command cost does that once."
        )
    return section(
        f"An image of {times(cost.image_size)} px",
        paragraph(f"{counted(cost.windows, 'window')} of {times(cost.window)} px, one every {times(cost.stride)} px."),
        f'<div class="picture">{windows_on_image(cost.image_size, cost.window, cost.stride)}{drawn}</div>',
        columns(table, kind="cards"),
        *map(paragraph, notes),
        (paragraph("What would cost less:") + bullets(map(str, cost.advice))) if cost.advice else "",
    )


def _less(cost: Cost, mode: str) -> str:
    gain = cost.macs["crops"] / max(1, cost.macs[mode])
    if mode == "crops" or f"{gain:.1f}" == "1.0":
        return ""
    return f"{gain:,.1f} times fewer" if gain > 1 else f"{1 / gain:,.1f} times as many"


def _modes(cost: Cost) -> Iterator[tuple[str, ...]]:
    for mode in cost.modes.values():
        gain = cost.speed_up(mode.mode)
        yield (
            mode.mode,
            f"{mode.macs:,}",
            "–" if mode.seconds is None else seconds_text(mode.seconds),
            "–" if gain is None else f"{gain:,.1f}",
            "too little" if mode.peak_bytes is None else amount(mode.peak_bytes),
        )
