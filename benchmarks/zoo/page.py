"""The page: what the rows say, in Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from benchmarks.zoo.networks import LIBRARIES
from benchmarks.zoo.results import Results
from benchmarks.zoo.row import CONTEXT, KINDS, PLAIN, TAKEN, Row, of_library

HEADER = """\
# The zoo

Known networks against their crops, in float64, with every weight drawn anew so that the scores tell windows apart:
{tried}.

Rows that are wrong: {wrong}. Made by `make zoo` (threads of each process: {threads}) from
[these rows](zoo.json).

| kind | what that is | {libraries} |
|---|---|{columns}|
"""

LEGEND = """
The exact engine gave the crops' scores for {equal} of {scored} networks that some mode scores. Kinds are told by what
was found, not by the network's name.

**Windows.** Each network has the smallest multiple of 32 pixels, from 64 on, that it takes and whose adaptive poolings
have equal bins; one of timm that is built for one size has that size.

**One pass.** The converted network is compared with the original at the window's size (`native`), and with the plain
sliding window on an image of one to two strides more (`larger`). Differences are the largest over all scores, relative
to the spread of the scores between windows: up to 1e-10 counts as equal. Where `proved` says no, `larger` is the
difference that one pass makes for this network with these weights; `crops : pass` are the mult-adds of the windows one
by one over those of the pass, on that image. `converts` says how: layer by layer, with the `context` of the window
around each position, or with `windows taken` from the map.

**Exact.** The exact engine, with everything shared that windows can share: `mode="exact"` takes crops instead where
that is predicted to be faster. Largest difference to the plain sliding window at the network's stride, at half of it
(for torchvision), and at a stride per axis that is coprime to it. `outside` is the change of a window's score as a
column of pixels just outside of that window changes; that one on its border moves it is checked too.
`crops : exact` are mult-adds, at the network's stride on an image of four times the window; there sharing ends at the
layer that the last column names, and what comes after runs window by window. `window` is in pixels, `M` in millions of
mult-adds for one.
"""

TIMM = """
One network of each family at least. A family is the file of timm that defines a network and the leading word of its
name; of each, the network with the fewest parameters is taken
([the list](../benchmarks/zoo/timm_families.json)), and none of timm's own tests (`test_resnet`) where there is another.
`make zoo ZOO=--all-timm` goes on to all names.
"""

COLUMNS = (
    *("network", "window", "M", "converts", "proved", "native", "larger", "crops : pass"),
    *("stride", "at it", "half", "coprime", "at that", "outside", "crops : exact", "seconds"),
    *("one pass differs, or there is none, because", "sharing ends at"),
)

SINGLE = "computes parts in float32, so up to 1e-06 counts as equal"

HOW = {PLAIN: "yes", CONTEXT: "context", TAKEN: "windows taken", "": "no"}


def page(results: Results) -> str:
    """The whole page."""
    rows = results.rows
    present = [library for library in LIBRARIES if of_library(rows, library)]
    head = HEADER.format(
        tried=" and ".join(tried(results, library) for library in present),
        wrong=sum(bool(row.wrong) for row in rows),
        threads=results.threads,
        libraries=" | ".join(present),
        columns="|".join("---" for _ in present),
    )
    scored = [row for row in rows if not row.untried and not row.refused]
    legend = LEGEND.format(equal=sum(row.equals for row in scored), scored=len(scored))
    parts = [_part(results, library) for library in present]
    return head + "\n".join(summary(rows, present)) + "\n" + legend + "".join(parts)


def tried(results: Results, library: str) -> str:
    """How many were tried of how many there are."""
    rows = of_library(results.rows, library)
    found = f"{len(rows):,} of the {results.there[library]:,} classifiers of {library} {results.versions[library]}"
    families = len({row.family for row in rows})
    return f"{found}, from {families} families" if library == "timm" else found


def summary(rows: Sequence[Row], libraries: Sequence[str]) -> list[str]:
    """A line for each kind: how many networks of each library are of it."""
    counts = {library: Counter(row.kind for row in of_library(rows, library)) for library in libraries}
    return [
        _cells([kind, meaning, *(str(counts[library][kind]) for library in libraries)])
        for kind, meaning in KINDS.items()
        if any(counts[library][kind] for library in libraries)
    ]


def _part(results: Results, library: str) -> str:
    rows = of_library(results.rows, library)
    head = f"\n## {library}\n{TIMM if library == 'timm' else ''}\n"
    return head + "\n".join([_cells(COLUMNS), _cells(["---"] * len(COLUMNS)), *map(line, rows)]) + "\n"


def line(row: Row) -> str:
    """One row of a library's table, in Markdown."""
    name = f"{row.name} ({row.family})" if row.library == "timm" else row.name
    seconds = f"{row.seconds:.0f}"
    if row.untried:
        return _cells([name, *[""] * (len(COLUMNS) - 4), seconds, f"not tried: {row.untried}", ""])
    coprime = "×".join(map(str, row.coprime)) if any(row.coprime) else ""
    cells = [name, str(row.window), f"{row.macs_window / 1e6:,.0f}" if row.macs_window else "", HOW[row.converts]]
    cells += [("yes" if row.exact else "no") if row.converts else "", _number(row.native), _number(row.larger)]
    cells += [_ratio(row.macs_crops / row.macs_fcn if row.macs_fcn else 0), str(row.stride or "")]
    cells += [_number(row.at_stride), _number(row.at_half), coprime, _number(row.at_coprime), _number(row.outside)]
    why = f"**WRONG: {row.wrong}** {row.reason}" if row.wrong else row.reason
    why += f"; {SINGLE}" if row.single else ""
    return _cells([*cells, _ratio(row.gain), seconds, why, row.ends])


def _cells(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.strip().replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.0e}"


def _ratio(value: float) -> str:
    return f"{value:.2f}" if value else ""
