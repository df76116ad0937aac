"""The report of an evaluation: one page of HTML that needs no other file."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from everywindow.errors import InputError
from everywindow.evaluation.labels import grouped
from everywindow.evaluation.protocols import PROTOCOLS
from everywindow.evaluation.summary import Localisation, Row, Share
from everywindow.geometry import times
from everywindow.io import read_picture
from everywindow.report import Html, bullets, columns, counted, paragraph, section
from everywindow.report import page as document

if TYPE_CHECKING:
    from everywindow.evaluation.result import Evaluation, ImageResult

MOST_CHANGED, MOST_THUMBNAILS, MOST_PROBLEMS, THUMBNAIL_PX = 300, 60, 300, 96


def page(result: Evaluation) -> str:
    """The page."""
    return document("everywindow: evaluation", _parts(result))


def _parts(result: Evaluation) -> Iterator[str]:
    labelled, told = result.rows[0].labelled, result.settings
    yield (
        '<header><p class="eyebrow">An evaluation</p><h1>One crop, several crops, every window</h1>'
        f'<p class="soft">{escape(_about(told))}</p></header>'
    )
    yield section(
        "Methods",
        paragraph(
            f"{counted(len(result.images), 'image')}, {labelled:,} with a label, {len(result.classes):,} classes. "
            "Intervals are of a bootstrap over the images, 95\u00a0%. Seconds are those of the network, per image.",
            "soft",
        ),
        columns(_methods(result.rows), kind="cards"),
    )
    if result.localisation:
        yield _localised(result.localisation)
    yield from _noted(result)
    yield _changes(result)
    yield section("Settings", columns(_settings(told), left=2, kind="cards"))


def _about(told: dict[str, Any]) -> str:
    """Model, images, boxes, date and device."""
    parts = [told.get("model"), told.get("images"), told.get("date"), told.get("device")]
    boxes = f"boxes {told['boxes']}" if told.get("boxes") else None
    return " · ".join(str(part) for part in [*parts[:2], boxes, *parts[2:]] if part)


def _methods(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """The table, without the columns that are empty below their heading."""
    header = ("method", "top-1", "top-5", "points above the centre", "changed answers", "seconds")
    shares = [row.top1 for row in rows if row.top1 is not None]
    low = max(0.0, min((share.low for share in shares), default=0.0) - 0.02)
    high = min(1.0, max((share.high for share in shares), default=1.0) + 0.02)
    lines = [header, *(_method(row, rows[0], low, high) for row in rows)]
    return _filled(lines)


def _filled(lines: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    kept = [column for column in zip(*lines, strict=True) if any(column[1:])]
    return list(zip(*kept, strict=True))


def _method(row: Row, base: Row, low: float, high: float) -> tuple[str, ...]:
    about = PROTOCOLS[row.name.partition(",")[0]].about
    ratio = f"{row.seconds / base.seconds:.1f} times the centre's" if base.seconds and row is not base else ""
    gain = "" if row.gain is None else f"{100 * row.gain.value:+.1f}{_interval(row.gain)}"
    both = "" if row.gain is None else _small(f"{row.corrected} corrected, {row.spoilt} spoilt")
    return (
        Html(f"{escape(row.name)}{_small(about)}"),
        Html("" if row.top1 is None else f"<div>{_percent(row.top1)}{_bar(row.top1, low, high)}</div>"),
        Html(_div(_percent(row.top5))),
        Html(_div(gain)),
        Html("" if row is base else _div(f"{row.changed}{both}")),
        Html(_div(f"{row.seconds:.3g}{_small(ratio)}")),
    )


def _div(inside: str) -> str:
    return f"<div>{inside}</div>" if inside else ""


def _small(text: str) -> str:
    return f"<small>{escape(text)}</small>" if text else ""


def _percent(share: Share | None) -> str:
    return "" if share is None else f"{100 * share.value:.1f}\u00a0%{_interval(share)}"


def _interval(share: Share) -> str:
    return _small(f"{100 * share.low:.1f} to {100 * share.high:.1f}")


def _bar(share: Share, low: float, high: float) -> str:
    """A dot with its interval, on a scale that all rows have in common."""
    x, first, last = (6 + 128 * (value - low) / (high - low) for value in (share.value, share.low, share.high))
    return (
        "<svg width='140' height='16' aria-hidden='true'>"
        "<line x1='0' x2='140' y1='8' y2='8' stroke='var(--line)'/>"
        f"<line x1='{first:.1f}' x2='{last:.1f}' y1='8' y2='8' stroke='var(--accent)' stroke-width='3'/>"
        f"<circle cx='{x:.1f}' cy='8' r='5' fill='var(--accent)'/></svg>"
    )


def _localised(found: Sequence[Localisation]) -> str:
    overlaps = tuple(found[0].precision)
    rows = [("map, class", "images with it", "peak in its box", "ROC area", *(f"AP at {o:g}" for o in overlaps))]
    for each in found:
        numbers = (each.roc, *each.precision.values())
        shown = ("" if number is None else f"{number:.3f}" for number in numbers)
        peak = Html(_div(_percent(each.pointing)))
        rows.append((f"{each.name}, {each.klass}", f"{each.images:,}", peak, *shown))
    return section(
        "Where the maps point",
        paragraph(
            "Peak: the strongest window's centre lies in a box of the class. ROC area: by the windows' centres, "
            "averaged over the images. AP: average precision of the boxes, at intersections over union.",
            "soft",
        ),
        columns(_filled(rows), kind="cards"),
    )


def _noted(result: Evaluation) -> Iterator[str]:
    told = [*map(str, result.left_out), *result.notes]
    if told:
        yield section("Notes", bullets(told))
    if result.problems:
        parts: list[str] = []
        for line, some in grouped(result.problems):
            more = len(some) - MOST_PROBLEMS
            parts += [paragraph(line), bullets(map(str, some[:MOST_PROBLEMS]))]
            parts += [paragraph(f"and {more:,} more")] * (more > 0)
        yield section("Left out or changed", *parts)


def _changes(result: Evaluation) -> str:
    """The images on which the methods disagree."""
    names = [row.name for row in result.rows]
    changed = [image for image in result.images if len({image.answers[name].top[0] for name in names}) > 1]
    about = f"{len(changed):,} of {len(result.images):,} images get another answer than {names[0]}'s from some method."
    if not changed:
        return section("Changed answers", paragraph(about))
    more = f" The first {MOST_CHANGED} are shown; results.csv has all." if len(changed) > MOST_CHANGED else ""
    rows = [_changed(result, image, names, i < MOST_THUMBNAILS) for i, image in enumerate(changed[:MOST_CHANGED])]
    table = columns([("image", "label", "answers"), *rows], left=3, kind="cards")
    return section("Changed answers", paragraph(about + more), table)


def _changed(result: Evaluation, image: ImageResult, names: Sequence[str], picture: bool) -> tuple[str, ...]:
    """An image, its label, and which methods gave each answer; the centre crop's first."""
    by_answer: dict[int, list[str]] = {}
    for name in names:
        by_answer.setdefault(image.answers[name].top[0], []).append(name)
    answers = []
    for klass, methods in by_answer.items():
        answer = image.answers[methods[0]]
        kind = "" if answer.rank is None else "right" if answer.rank == 0 else "wrong"
        said = ", ".join(f"{name} {image.answers[name].probability:.2f}" for name in methods)
        answers.append(f'<div><span class="{kind}">{escape(result.classes[klass])}</span>{_small(said)}</div>')
    shown = _thumbnail(image.path) if picture else ""
    return Html(f"{shown}{escape(image.name)}"), image.label or "", Html(f"<div>{''.join(answers)}</div>")


def _thumbnail(path: Path) -> str:
    """The picture in small, in the page itself; nothing where it is no picture."""
    import PIL.Image

    try:
        small = PIL.Image.fromarray(read_picture(path))
    except InputError:
        return ""
    small.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=80)
    return f"<img alt='' src='data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}'>"


def _settings(told: dict[str, Any]) -> list[tuple[str, str]]:
    own = told.get("windows_every")
    unset = {
        "stride": f"{times(tuple(own))}, the network's" if own else "the network's",
        "resize": "as they are",
        "boxes": "none",
        "output": "the first",
    }
    rows = [(name, unset.get(name, "") if value is None else _plain(value)) for name, value in told.items()]
    return [("setting", "value"), *(row for row in rows if row[0] != "windows_every")]


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
