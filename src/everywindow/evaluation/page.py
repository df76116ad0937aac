"""The report of an evaluation: one page of HTML that needs no other file."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from everywindow.errors import InputError
from everywindow.evaluation.protocols import PROTOCOLS
from everywindow.evaluation.summary import Localisation, Row, Share
from everywindow.io import read_picture

if TYPE_CHECKING:
    from everywindow.evaluation.result import Evaluation, ImageResult

MOST_CHANGED, MOST_THUMBNAILS, MOST_PROBLEMS, THUMBNAIL_PX = 300, 60, 300, 96

STYLE = """
:root { --ink: #1d2733; --soft: #5d6b7a; --line: #dde3ea; --paper: #ffffff; --band: #f5f7fa; --main: #2563a8;
  --good: #1a7f4b; --bad: #b3372f; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e9ef; --soft: #9aa7b5; --line: #36414d; --paper: #171c22;
  --band: #1f262e; --main: #7db4ee; --good: #65c796; --bad: #ef8a80; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 70rem; color: var(--ink); background: var(--paper);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .3rem; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .5rem; }
p, li { max-width: 46rem; } .soft { color: var(--soft); }
.wide { overflow-x: auto; border: 1px solid var(--line); border-radius: .5rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .92rem; }
th, td { padding: .45rem .7rem; text-align: right; white-space: nowrap; border-top: 1px solid var(--line); }
tr:first-child > * { border-top: 0; } th { background: var(--band); font-weight: 600; color: var(--soft); }
th:first-child, td:first-child { text-align: left; } tbody tr:hover { background: var(--band); }
td.text { text-align: left; white-space: normal; min-width: 8rem; } td small { color: var(--soft); display: block; }
.right { color: var(--good); } .wrong { color: var(--bad); } svg { display: block; }
img { display: block; max-width: 6rem; max-height: 4rem; border-radius: .25rem; }
"""


def page(result: Evaluation) -> str:
    """The page."""
    labelled = result.rows[0].labelled
    parts = [
        "<h1>One crop, several crops, every window</h1>",
        f"<p class='soft'>{len(result.images)} images, {labelled} with a label, {len(result.classes)} classes. "
        "Intervals are of a bootstrap over the images, 95 %. Seconds are those of the network, per image.</p>",
        *_methods(result.rows),
        *_localised(result.localisation),
        *_noted(result),
        *_changes(result),
        *_settings(result),
    ]
    head = (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>everywindow: evaluation</title>"
        f"<meta name='viewport' content='width=device-width, initial-scale=1'><style>{STYLE}</style></head>"
    )
    return f"{head}<body>{''.join(parts)}</body></html>\n"


def _table(header: Sequence[str], rows: Iterable[str]) -> str:
    cells = "".join(f"<th>{escape(name)}</th>" for name in header)
    return f"<div class='wide'><table><thead><tr>{cells}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"


def _methods(rows: Sequence[Row]) -> list[str]:
    header = ("method", "top-1", "", "top-5", "points more than the centre", "corrected / spoilt", "changed",
              "seconds", "times the centre")  # fmt: skip
    shares = [row.top1 for row in rows if row.top1 is not None]
    low = max(0.0, min((share.low for share in shares), default=0.0) - 0.02)
    high = min(1.0, max((share.high for share in shares), default=1.0) + 0.02)
    return ["<h2>Methods</h2>", _table(header, (_method(row, rows[0], low, high) for row in rows))]


def _method(row: Row, base: Row, low: float, high: float) -> str:
    protocol = row.name.partition(",")[0]
    times = f"{row.seconds / base.seconds:.1f}" if base.seconds else ""
    gain = "" if row.gain is None else f"{100 * row.gain.value:+.1f}{_interval(row.gain)}"
    cells = (
        f"<td>{escape(row.name)}<small>{escape(PROTOCOLS[protocol].about)}</small></td>",
        _cell(_percent(row.top1)),
        _cell("" if row.top1 is None else _bar(row.top1, low, high)),
        _cell(_percent(row.top5)),
        _cell(gain),
        _cell("" if row.gain is None else f"{row.corrected} / {row.spoilt}"),
        _cell("" if row is base else str(row.changed)),
        _cell(f"{row.seconds:.3g}"),
        _cell(times),
    )
    return f"<tr>{''.join(cells)}</tr>"


def _cell(content: str) -> str:
    return f"<td>{content}</td>"


def _percent(share: Share | None) -> str:
    return "" if share is None else f"{100 * share.value:.1f} %{_interval(share)}"


def _interval(share: Share) -> str:
    return f"<small>{100 * share.low:.1f} to {100 * share.high:.1f}</small>"


def _bar(share: Share, low: float, high: float) -> str:
    """A dot with its interval, on a scale that all rows have in common."""
    x, first, last = (6 + 128 * (value - low) / (high - low) for value in (share.value, share.low, share.high))
    return (
        "<svg width='140' height='16' aria-hidden='true'>"
        "<line x1='0' x2='140' y1='8' y2='8' stroke='var(--line)'/>"
        f"<line x1='{first:.1f}' x2='{last:.1f}' y1='8' y2='8' stroke='var(--main)' stroke-width='3'/>"
        f"<circle cx='{x:.1f}' cy='8' r='5' fill='var(--main)'/></svg>"
    )


def _localised(found: Sequence[Localisation]) -> list[str]:
    if not found:
        return []
    overlaps = tuple(found[0].precision)
    header = ("map", "class", "images with it", "peak in its box", "ROC area", *(f"AP at {o:g}" for o in overlaps))
    rows = []
    for each in found:
        numbers = (each.roc, *each.precision.values())
        shown = "".join(_cell("" if number is None else f"{number:.3f}") for number in numbers)
        names = f"<td>{escape(each.name)}</td><td>{escape(each.klass)}</td>"
        rows.append(f"<tr>{names}<td>{each.images}</td>{_cell(_percent(each.pointing))}{shown}</tr>")
    about = (
        "<p class='soft'>Peak: the strongest window's centre lies in a box of the class. ROC area: by the windows' "
        "centres, averaged over the images. AP: average precision of the boxes, at intersections over union.</p>"
    )
    return ["<h2>Where the maps point</h2>", _table(header, rows), about]


def _noted(result: Evaluation) -> list[str]:
    parts = []
    told = [*map(str, result.left_out), *result.notes]
    if told:
        parts += ["<h2>Notes</h2><ul>", *(f"<li>{escape(line)}</li>" for line in told), "</ul>"]
    if result.problems:
        lines = [f"<li>{escape(str(problem))}</li>" for problem in result.problems[:MOST_PROBLEMS]]
        more = len(result.problems) - len(lines)
        lines += [f"<li>and {more} more</li>"] * (more > 0)
        parts += [f"<h2>Left out ({len(result.problems)})</h2><ul>", *lines, "</ul>"]
    return parts


def _changes(result: Evaluation) -> list[str]:
    """The images on which the methods disagree."""
    reference, names = result.rows[0].name, [row.name for row in result.rows]
    tops = {image.name: [image.answers[name].top[0] for name in names] for image in result.images}
    changed = [image for image in result.images if len(set(tops[image.name])) > 1]
    about = f"{len(changed)} of {len(result.images)} images get another answer than {reference}'s from some method."
    if not changed:
        return ["<h2>Changed answers</h2>", f"<p>{about}</p>"]
    more = f" The first {MOST_CHANGED} are shown; results.csv has all." if len(changed) > MOST_CHANGED else ""
    rows = (_changed(result, image, names, i < MOST_THUMBNAILS) for i, image in enumerate(changed[:MOST_CHANGED]))
    return ["<h2>Changed answers</h2>", f"<p>{about}{more}</p>", _table(("image", "", "label", *names), rows)]


def _changed(result: Evaluation, image: ImageResult, names: Sequence[str], picture: bool) -> str:
    cells = [f"<td class='text'>{escape(image.name)}</td>", _cell(_thumbnail(image.path) if picture else "")]
    cells.append(_cell(escape(image.label or "")))
    for name in names:
        answer = image.answers[name]
        kind = "" if answer.rank is None else "right" if answer.rank == 0 else "wrong"
        cells.append(
            f"<td class='{kind}'>{escape(result.classes[answer.top[0]])}<small>{answer.probability:.2f}</small></td>"
        )
    return f"<tr>{''.join(cells)}</tr>"


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


def _settings(result: Evaluation) -> list[str]:
    rows = (
        f"<tr><td>{escape(name)}</td><td class='text'>{escape(_plain(value))}</td></tr>"
        for name, value in result.settings.items()
    )
    return ["<h2>Settings</h2>", _table(("setting", "value"), rows)]


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else "" if value is None else str(value)
