"""The measurements on a network as tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from everywindow.geometry import times
from everywindow.report.text import counted, table

if TYPE_CHECKING:
    from everywindow.report.probe import AnswerRow, Probe

Row = TypeVar("Row")
Cells = tuple[str, ...]

MOST = 40
"""Rows of a table that are shown; of longer ones as many in even steps."""

UNITS = {"shift": " px", "rotation": "°", "scale": "×"}
TITLES = {"shift": "shifted by", "rotation": "turned by", "scale": "enlarged by"}


class Table(NamedTuple):
    """A table with what it shows.

    Attributes:
        heading: in a few words.
        about: how to read it.
        rows: the header first.
        left: columns of text before those of numbers.
    """

    heading: str
    about: str
    rows: list[Cells]
    left: int


def probe_text(found: Probe) -> str:
    """All of it for people."""
    parts = [headline(found)]
    for each in tables(found):
        parts += ["", f"{each.heading}: {each.about}", table(each.rows, each.left)]
    if found.notes:
        parts += ["", *(f"- {note}" for note in found.notes)]
    return "\n".join(parts)


def headline(found: Probe) -> str:
    """The network, and what it was measured on."""
    on = counted(found.images, "image") if found.source == "images" else f"noise ({counted(found.images, 'image')})"
    return f"{found.name}: windows of {times(found.window)} px, measured on {on}"


def value_name(found: Probe) -> str:
    """What the answers' numbers are."""
    return "score" if found.activation == "none" else "probability"


def amount_text(row: AnswerRow) -> str:
    """``4 px``, ``45°`` or ``0.8×``."""
    return f"{row.amount:g}{UNITS[row.kind]}"


def tables(found: Probe) -> Iterator[Table]:
    """The tables that there are."""
    if found.answers:
        yield _answers(found)
    if found.layers:
        yield _layers(found)
    if found.pools:
        yield _pools(found)
    if found.places:
        yield _places(found)


def _answers(found: Probe) -> Table:
    name = value_name(found)
    rows: list[Cells] = [("the window", name, "still first")]
    for row in (row for kind in TITLES for row in found.curve(kind)):
        rows.append(
            (f"{TITLES[row.kind]} {amount_text(row)}", f"{row.probability:.3f}", f"{100 * row.agreement:.0f} %")
        )
    about = f"the {name} of the class that comes first for the window as it is; means over images and directions"
    return Table("The answer", about, rows, 1)


def _layers(found: Probe) -> Table:
    rows: list[Cells] = [
        ("layer", "operation", "map", "sees", "moved", "interior", "everywhere", "by 1 px", "moves with the image")
    ]
    for row in picked(found.layers):
        rows.append(
            (
                row.layer,
                row.kind,
                times(row.positions),
                f"{_once(row.sees)} px",
                f"{_once(row.shift)} px",
                number(row.interior),
                number(row.everywhere),
                number(row.one_pixel),
                row.says(found.tolerance),
            )
        )
    about = (
        "how far the map of the moved image is from the moved map, at the farthest position, over the map's spread"
        f"{_of(found.layers)}"
    )
    return Table("Layers under shifts", about, rows, 2)


def _pools(found: Probe) -> Table:
    rows: list[Cells] = [
        ("before", "kernel", "stride", "unchanged: inputs", "max", "mean", "change: inputs", "max", "mean")
    ]
    for row in found.pools:
        own = f"{row.layer} ({row.own})" if row.own else row.layer
        shares = (f"{100 * share:.1f} %" for share in (row.inputs_unchanged, row.max_unchanged, row.mean_unchanged))
        changes = (f"{change:.3f}" for change in (row.inputs_change, row.max_change, row.mean_change))
        rows.append((own, times(row.kernel), times(row.stride), *shares, *changes))
    about = (
        "the values moved by one position; the share that stays as it is, and the mean change over the standard "
        "deviation. The two measures may rank them differently"
    )
    return Table("Max against mean pooling", about, rows, 1)


def _places(found: Probe) -> Table:
    rows: list[Cells] = [("layer", "operation", "padding may reach", "positions that differ", "at most", "mean")]
    for row in picked(found.places):
        shares = (f"{100 * share:.1f} %" for share in (row.reached, row.share))
        rows.append((row.layer, row.kind, *shares, number(row.largest), number(row.mean)))
    about = (
        "a patch repeats over the window, so all that differs from the middle is the place; over the map's "
        "spread on the image itself"
        f"{_of(found.places)}"
    )
    return Table("What padding tells about the place", about, rows, 2)


def picked(rows: Sequence[Row], most: int = MOST) -> list[Row]:
    """The rows that are shown; the last one always."""
    if len(rows) <= most:
        return list(rows)
    return [rows[round(at * (len(rows) - 1) / (most - 1))] for at in range(most)]


def number(value: float | None) -> str:
    """A relative difference, with two digits.

    >>> number(0.1234), number(3e-8), number(None)
    ('0.12', '3e-08', '–')
    """
    return "–" if value is None else f"{value:.2g}"


def _of(rows: Sequence[object]) -> str:
    return f"; {MOST} of {len(rows)} layers" if len(rows) > MOST else ""


def _once(sizes: Sequence[int]) -> str:
    return times(tuple(sizes) if len(set(sizes)) > 1 else tuple(sizes)[:1])
