"""The page of the benchmarks, from the rows that were measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain

from benchmarks.finer import FinerRow
from benchmarks.measure import EQUAL, Row
from benchmarks.results import Conditions, Kept
from benchmarks.workloads import Finer, Wanted, Workload

TEXT = """# Benchmarks

How long each mode takes, against a sliding window that a careful user writes by hand
([plain_crops.py](../benchmarks/plain_crops.py)): the original module under `torch.inference_mode`, at the fastest of
two memory formats and batch sizes of 1 to 32. That script shares no code with the package.

All sides of a row are timed in turns in one process, and each keeps the best of its rounds; in its turn a
short one is called several times. Compare the ratios:
seconds differ between machines, and between hours on one machine. The weights are drawn at random, so that the scores
tell windows apart. Modes are timed as `everywindow.scan` is called, from the image to the score map; a network is
captured, and converted, at its first scan, which is not timed.

## The crops' own numbers: `mode="exact"`

{exact}

- **script**, **crops**: seconds for all windows one by one, by the plain script at its best setting and by
  `mode="crops"`. Where they run only some of the windows, their number stands in brackets and the time is scaled up:
  the script takes windows spread over the image, `crops` a part of the image.
- **exact**: seconds of `mode="exact"`, and in brackets what the plan predicted. **ran**: the engine that the plan
  chose.
- **bound**: mult-adds of the windows one by one over those of `exact` where everything is shared that can be.
  **share**: the speed-up over the script, divided by the bound.
- **wanted**: that share; or, where little can be shared, the speed-up over `crops`; or the one over the network
  written by hand (below).
- **difference**: the largest to the script's scores on the windows that it ran, relative to the scores' spread
  between windows. Float32 scores that differ by more than {equal:.0e} would be wrong.

## One pass: `mode="fcn"`

{fcn}

Where a network pads with zeros one pass is not the crops, and its verdict says so (*padded*); **difference** is
how far off it is. A network that is missing here has no plain conversion.

## Against a dense network written by hand

{by_hand}

The network as convolutions only, each dilated so that the poolings can give every position
([by_hand.py](../benchmarks/by_hand.py)), from the image to the scores, in both memory formats. Its scores are the
script's (largest difference {by_hand_difference}). **times**: seconds by hand in the better format over those of the
mode. In this process that network gains too by the memory that the package keeps from call to call; **alone** it runs
in a process of its own, in the same rounds ([alone.py](../benchmarks/alone.py)).

## Strides finer than the network's

{finer}

One pass of the package against the same map by hand, each in its better memory format: **à trous** (dilation),
**fragments** (a pooling runs once for each of its offsets, and the maps are put together at the end) and **shift
and stitch** (the whole network once per shift). By hand the layers are PyTorch's own modules. À trous and fragments
give the same numbers as one pass, up to {finer_difference} of the scores' spread.

---

Made by `make bench`; one row by `python -m benchmarks.bench --only {example} --out docs/benchmarks.md`.
{conditions}
"""

EXACT_HEAD = (
    *("network", "image", "windows", "script", "at", "crops", "exact", "ran", "script : exact", "crops : exact"),
    *("bound", "share", "wanted", "reached", "difference", "measured"),
)
FCN_HEAD = ("network", "image", "script : fcn", "fcn", "bound", "share", "difference")
BY_HAND_HEAD = (
    *("network", "image", "windows", "by hand, contiguous", "by hand, channels last", "fcn", "exact"),
    *("times (fcn)", "times (exact)", "wanted", "reached", "by hand, alone", "times (exact)"),
)
FINER_HEAD = (
    *("network", "image", "stride", "windows", "one pass", "à trous", "fragments", "shift and stitch", "measured"),
)


def page(rows: Sequence[tuple[Workload, Kept[Row]]], finer: Sequence[tuple[Finer, Kept[FinerRow]]]) -> str:
    """The whole page."""
    dense = [(work, kept) for work, kept in rows if kept.row.by_hand]
    return TEXT.format(
        equal=EQUAL,
        exact=_table(EXACT_HEAD, (_exact_cells(work, kept) for work, kept in rows)),
        fcn=_table(FCN_HEAD, (_fcn_cells(work, kept.row) for work, kept in rows if kept.row.fcn is not None)),
        by_hand=_table(BY_HAND_HEAD, (_by_hand_cells(work, kept.row) for work, kept in dense)),
        by_hand_difference=_most(
            value for _, kept in dense for side, value in kept.row.differences.items() if side.startswith("by hand")
        ),
        finer=_table(FINER_HEAD, (_finer_cells(work, kept) for work, kept in finer)),
        finer_difference=_most(kept.row.difference for _, kept in finer),
        example=rows[0][0].name if rows else "NAME",
        conditions=_all_conditions([kept.conditions for _, kept in rows] + [kept.conditions for _, kept in finer]),
    )


def summary(work: Workload, row: Row) -> str:
    """One line for the terminal."""
    wanted = _wanted_cells(row, work.wanted)
    verdict = f"wanted {wanted[0]}, reached {wanted[1]}" if work.wanted else ""
    fcn = "" if row.fcn is None else f", fcn {_seconds(row.fcn)}"
    return (
        f"{work.name}: script {_seconds(row.script)} ({row.setting}), crops {_seconds(row.crops)}, exact "
        f"{_seconds(row.exact)} by {_engines(row)}{fcn}; {row.script / row.exact:.2f} of {row.bound:.2f}: share "
        f"{row.share:.2f}; {verdict}; difference {row.differences['exact']:.0e}".replace("*", "")
    )


def finer_summary(work: Finer, row: FinerRow) -> str:
    """One line for the terminal."""
    hands = ", ".join(f"{name} {_seconds(one)} ({row.layouts[name]})" for name, one in row.by_hand.items())
    return f"{work.name}: one pass {_seconds(row.fcn)}, {hands}; difference {row.difference:.0e}"


def _exact_cells(work: Workload, kept: Kept[Row]) -> list[str]:
    row = kept.row
    difference = row.differences["exact"]
    return [
        *_facts(work.title, row),
        f"{row.windows:,}",
        _seconds(row.script) + _some(row.sample, row.windows),
        row.setting,
        _seconds(row.crops) + _some(row.crops_windows, row.windows),
        _seconds(row.exact) + ("" if row.predicted is None else f" ({row.predicted:.3g})"),
        _engines(row),
        f"**{row.script / row.exact:.2f}**",
        f"{row.crops / row.exact:.2f}",
        f"{row.bound:.2f}",
        f"**{row.share:.2f}**",
        *_wanted_cells(row, work.wanted),
        f"{difference:.0e}" if difference <= EQUAL else f"**WRONG: {difference:.0e}**",
        _measured(kept.conditions),
    ]


def _fcn_cells(work: Workload, row: Row) -> list[str]:
    assert row.fcn is not None
    gain, bound = row.script / row.fcn, row.macs["crops"] / row.macs["fcn"]
    return [
        *_facts(work.title, row),
        f"**{gain:.1f}**",
        _seconds(row.fcn),
        f"{bound:.1f}",
        f"**{gain / bound:.2f}**",
        f"{row.differences['fcn']:.0e}" + ("" if row.proved else " (padded)"),
    ]


def _by_hand_cells(work: Workload, row: Row) -> list[str]:
    assert row.fcn is not None
    return [
        *_facts(work.title, row),
        f"{row.windows:,}",
        *(_seconds(row.by_hand[layout]) for layout in ("contiguous", "channels_last")),
        _seconds(row.fcn),
        _seconds(row.exact),
        f"**{row.best_by_hand / row.fcn:.2f}**",
        f"**{row.best_by_hand / row.exact:.2f}**",
        *_wanted_cells(row, work.wanted),
        *(["", ""] if row.alone is None else [_seconds(row.alone), f"**{row.alone / row.exact:.2f}**"]),
    ]


def _finer_cells(work: Finer, kept: Kept[FinerRow]) -> list[str]:
    row = kept.row
    hands = (_seconds(row.by_hand[name]) if name in row.by_hand else "" for name in ("trous", "fragments", "shift"))
    return [
        f"{work.title}, window {row.window}",
        f"{row.image_size}×{row.image_size}",
        str(row.stride),
        f"{row.windows:,}",
        _seconds(row.fcn),
        *hands,
        _measured(kept.conditions),
    ]


def _wanted_cells(row: Row, wanted: Wanted | None) -> list[str]:
    """What is wanted, and what was reached."""
    if wanted is None:
        return ["", ""]
    kinds: dict[str, tuple[str, Callable[[], float]]] = {
        "bound": ("share {}", lambda: row.share),
        "crops": ("{} of crops", lambda: row.crops / row.exact),
        "by hand": ("{} times by hand", lambda: row.best_by_hand / max(row.exact, row.fcn or 0.0)),
    }
    text, value = kinds[wanted.of]
    reached = value()
    return [
        f"≥ {text.format(wanted.least)}",
        f"yes, {reached:.2f}" if reached >= wanted.least else f"**no, {reached:.2f}**",
    ]


def _facts(title: str, row: Row) -> list[str]:
    return [f"{title}, window {row.window}, stride {row.stride}", f"{row.image_size}×{row.image_size}"]


def _engines(row: Row) -> str:
    """The engine that ran; several where the plan learned from the first scans."""
    return ", then ".join(row.engines)


def _measured(conditions: Conditions) -> str:
    return f"{conditions.date}, {conditions.rounds} round{'' if conditions.rounds == 1 else 's'}"


def _seconds(value: float) -> str:
    return f"{value:.0f} s" if value >= 100 else f"{value:.3g} s"


def _some(ran: int, windows: int) -> str:
    return f" ({ran})" if ran < windows else ""


def _most(values: Iterable[float]) -> str:
    return f"{max(values, default=0.0):.0e}"


def _all_conditions(conditions: Sequence[Conditions]) -> str:
    """Each machine once."""
    return "\n".join(dict.fromkeys(f"Machine: {one}." for one in conditions))


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in chain([head, ["---"] * len(head)], lines))
