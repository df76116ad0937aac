"""The README's list of what works, made of the zoo's rows."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.zoo.networks import LIBRARIES
from benchmarks.zoo.page import tried
from benchmarks.zoo.results import Results
from benchmarks.zoo.row import GAINS, KINDS, Row, of_library

SECTION = "make zoo"
"""The name of the README's marked part."""

TEXT = """\
Tried against their crops, in float64: {tried}.
`exact` gave the crops' scores for {equal} of the {scored} that were scored. Each network is a row of
[the zoo](docs/zoo.md), with its differences and with the layer where sharing ends. Its window there is the smallest
that it takes, mostly 64 pixels, where padding reaches far into it: larger ones share more.

| kind, and how many | `fcn`, one pass | `exact` | families |
|---|---|---|---|
"""


def readme_section(results: Results) -> str:
    """The text between the marks."""
    scored = [row for row in results.rows if not row.untried and not row.refused]
    head = TEXT.format(
        tried=" and ".join(tried(results, library) for library in LIBRARIES if of_library(results.rows, library)),
        equal=sum(row.equals for row in scored),
        scored=len(scored),
    )
    groups = [(kind, [row for row in results.rows if row.kind == kind]) for kind in KINDS]
    lines = [
        f"| {kind}: {len(rows)} | {_one_pass(rows)} | {_exact(rows)} | {_families(rows)} |"
        for kind, rows in groups
        if rows
    ]
    return head + "\n".join(lines) + "\n"


def _one_pass(rows: Sequence[Row]) -> str:
    converted = [row for row in rows if row.converts]
    if not converted:
        return "none"
    equal = [row for row in converted if row.exact]
    how = "the crops' scores" if equal else ""
    if len(equal) < len(converted):
        how = f"{len(equal)} equal, the others near" if equal else "near"
    return how


def _exact(rows: Sequence[Row]) -> str:
    scored = [row for row in rows if row.gain]
    if not scored:
        return "no scores"
    gains = sorted(row.gain for row in scored if row.gain > GAINS)
    if not gains:
        return "the crops"
    half = f", half of them {gains[len(gains) // 2]:.2f} or more" if len(gains) > 2 else ""
    span = f"{gains[0]:.2f}" + (f" to {gains[-1]:.2f}" if gains[-1] > gains[0] else "")
    most = f"{span} times fewer mult-adds{half}"
    return most if len(gains) == len(scored) else f"{len(gains)} share: {most}; the others are the crops"


def _families(rows: Sequence[Row]) -> str:
    return ", ".join(sorted({row.family.rpartition("/")[2] for row in rows}))
