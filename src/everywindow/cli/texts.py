"""A score map in words and as plain data."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from everywindow.cli.words import as_options

if TYPE_CHECKING:
    from everywindow.report import Peak, ScoreMap

HOW = {"crops": "windows one by one", "fcn": "in one pass", "exact": "what windows share once"}

AXES = {1: ("x",), 2: ("y", "x"), 3: ("z", "y", "x")}


def map_text(m: ScoreMap, peak: Peak) -> str:
    """A short summary: the image's top classes, where the strongest response is, how it was computed."""
    unit = "score" if m.activation == "none" else "probability"
    width = max(len(name) for _, name, _ in m.top())
    top = [f"{name:<{width}}  {value:.4f}" for _, name, value in m.top()]
    lines = [
        ("image", _image(m)),
        (
            "windows",
            f"{m.windows:,} ({_times(m.counts)}) of {_times(m.window)} px at stride {_times(m.stride)}",
        ),
        (f"mean {unit}", top[0]),
        *(("", line) for line in top[1:]),
        ("strongest", f"{peak.name}: {unit} {peak.probability:.4f} at {_box(m, peak)}"),
        ("mode", f"{m.mode}: {m.verdict.summary()}"),
        *_computed(m),
        ("time", f"{m.seconds:.2f} s"),
    ]
    label = max(len(name) for name, _ in lines)
    return "\n".join(f"{name + ':' if name else '':<{label + 2}}{text}" for name, text in lines)


def map_record(m: ScoreMap, peak: Peak) -> dict[str, Any]:
    """The same for programs. Boxes are in pixels of the image as it was given, ``[start, exclusive stop]``."""
    start, stop = peak.original_box(m.scale)
    return {
        "image": m.path,
        "image_size": list(m.image_size),
        "scale": m.scale,
        "windows": m.windows,
        "counts": list(m.counts),
        "window": list(m.window),
        "stride": list(m.stride),
        "mode": m.mode,
        "exact": m.verdict.exact,
        "reasons": [list(reason) for reason in m.verdict.reasons],
        "activation": m.activation,
        "seconds": m.seconds,
        "top": [{"index": k, "class": name, "value": value} for k, name, value in m.top()],
        "strongest": {
            "index": peak.klass,
            "class": peak.name,
            "cell": list(peak.index),
            "start": list(start),
            "exclusive_stop": list(stop),
            "score": peak.score,
            "probability": peak.probability,
        },
        "plan": m.plan_record(),
    }


def _computed(m: ScoreMap) -> list[tuple[str, str]]:
    """Which engine ran and why, where sharing ended, and what else the plan notes; nothing where there is no plan."""
    plan = m.plan_record() or {}
    if not plan:
        return []
    asked = plan["reason"] == "asked for"
    how = HOW[plan["engine"]] if asked else plan["reason"]
    ends = [f"sharing ends at {plan['ends']}"] if plan.get("ends") else []
    # In a terminal the engine has told its notes already.
    notes = () if sys.stderr.isatty() else plan.get("notes", ())
    lines = [how, *ends, *map(as_options, notes)]
    return [("computed", lines[0]), *(("", line) for line in lines[1:])]


def _image(m: ScoreMap) -> str:
    resized = "" if m.scale == 1 else f" (resized by {m.scale:g})"
    return f"{m.path or 'array'}, {_times(m.image_size)} px{resized}"


def _box(m: ScoreMap, peak: Peak) -> str:
    """The window in pixels of the image as it was given, x first."""
    start, stop = peak.original_box(m.scale)
    names = AXES.get(len(start), tuple(f"axis {i} " for i in range(len(start))))
    spans = [f"{name} {a:g} to {b:g}" for name, a, b in zip(names, start, stop, strict=True)]
    return ", ".join(reversed(spans))


def _times(numbers: tuple[int, ...]) -> str:
    return "×".join(str(number) for number in numbers)
