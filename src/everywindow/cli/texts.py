"""A score map in words and as plain data."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from everywindow.cli.words import as_options

if TYPE_CHECKING:
    from everywindow.report import Detection, Pyramid, ScoreMap

HOW = {"crops": "windows one by one", "fcn": "in one pass", "exact": "what windows share once"}


def map_text(m: ScoreMap, peak: Detection, boxes: Sequence[Detection] | None = None) -> str:
    """A short summary: the image's top classes, where the strongest response is, boxes, how it was computed."""
    unit = "score" if m.activation == "none" else "probability"
    width = max(len(name) for _, name, _ in m.top())
    top = [f"{name:<{width}}  {value:.4f}" for _, name, value in m.top()]
    lines = [
        ("image", _image(m)),
        (
            "windows",
            f"{_counted(m)} of {_times(m.window)} {_unit(m)} at stride {_times(m.stride)}{_scored(m)}",
        ),
        (f"mean {unit}", top[0]),
        *(("", line) for line in top[1:]),
        ("strongest", f"{peak.name}: {unit} {peak.probability:.4f} at {_box(peak)}"),
        *_boxes(unit, boxes),
        ("mode", f"{m.mode}: {m.verdict.summary()}"),
        *_computed(m),
        # Results that are written tile by tile do not hold it.
        *([("time", f"{m.seconds:.2f} s")] if m.seconds else []),
    ]
    return _table(lines)


def pyramid_text(several: Pyramid, klass: int, boxes: Sequence[Detection] | None) -> str:
    """The same of an image at several scales."""
    peak = several.strongest(klass)
    unit = "score" if several.maps[0].activation == "none" else "probability"
    scales = [f"{m.windows:,} ({_times(m.counts)}) at scale {m.scale:g}: {m.verdict.summary()}" for m in several]
    lines = [
        ("image", several.maps[0].path or "array"),
        *zip(["windows", *[""] * (len(scales) - 1)], scales, strict=True),
        ("strongest", f"{peak.name}: {unit} {peak.probability:.4f} at {_box(peak)}"),
        *_boxes(unit, boxes),
        ("time", f"{sum(m.seconds for m in several):.2f} s"),
    ]
    return _table(lines)


def pyramid_record(several: Pyramid, klass: int, boxes: Sequence[Detection] | None) -> dict[str, Any]:
    """The same for programs."""
    maps = [map_record(m, m.strongest(klass)) for m in several]
    return {
        "scales": list(several.scales),
        "strongest": _record(several.strongest(klass)),
        **_listed(boxes),
        "maps": maps,
    }


def map_record(m: ScoreMap, peak: Detection, boxes: Sequence[Detection] | None = None) -> dict[str, Any]:
    """The same for programs. Boxes are in pixels of the image as it was given, ``[start, exclusive stop]``."""
    return {
        "image": m.path,
        "image_size": list(m.image_size),
        "scale": m.scale,
        "windows": m.windows,
        "scored": int(m.scored().sum()),
        "counts": list(m.counts),
        "window": list(m.window),
        "stride": list(m.stride),
        "mode": m.mode,
        "exact": m.verdict.exact,
        "reasons": [list(reason) for reason in m.verdict.reasons],
        "activation": m.activation,
        "seconds": m.seconds,
        "top": [{"index": k, "class": name, "value": value} for k, name, value in m.top()],
        "strongest": _record(peak),
        **_listed(boxes),
        "plan": m.plan_record(),
    }


def _computed(m: ScoreMap) -> list[tuple[str, str]]:
    """Which engine ran and why, where sharing ended, and what else the plan notes; nothing where there is no plan."""
    plan = m.plan_record() or {}
    if "reason" not in plan:
        return []
    asked = plan["reason"] == "asked for"
    how = HOW[plan["engine"]] if asked else plan["reason"]
    ends = [f"sharing ends at layer {plan['ends']}"] if plan.get("ends") else []
    # In a terminal the engine has told its notes already.
    notes = () if sys.stderr.isatty() else plan.get("notes", ())
    lines = [how, *ends, *map(as_options, notes)]
    return [("computed", lines[0]), *(("", line) for line in lines[1:])]


def _scored(m: ScoreMap) -> str:
    number = int(m.scored().sum())
    return "" if number == m.windows else f", {number:,} of them scored"


def _image(m: ScoreMap) -> str:
    resized = "" if m.scale == 1 else f" (resized by {m.scale:g})"
    order = " (rows × columns)" if len(m.image_size) == 2 else ""
    return f"{m.path or 'array'}, {_times(m.image_size)} {_unit(m)}{order}{resized}"


def _unit(m: ScoreMap) -> str:
    return {1: "samples", 3: "voxels"}.get(len(m.image_size), "px")


def _record(found: Detection) -> dict[str, Any]:
    return {
        "index": found.klass,
        "class": found.name,
        "cell": list(found.index),
        "start": list(found.start),
        "exclusive_stop": list(found.stop),
        "score": found.score,
        "probability": found.probability,
        "windows": found.windows,
    }


def _listed(boxes: Sequence[Detection] | None) -> dict[str, Any]:
    return {} if boxes is None else {"boxes": [_record(box) for box in boxes]}


def _boxes(unit: str, boxes: Sequence[Detection] | None) -> list[tuple[str, str]]:
    """A line for each box; nothing where they were not asked for."""
    if boxes is None:
        return []
    found = [f"{unit} {box.probability:.4f} at {_box(box)}" for box in boxes] or ["none"]
    return [("boxes", found[0]), *(("", line) for line in found[1:])]


def _box(found: Detection) -> str:
    """The box in pixels of the image as it was given, x first."""
    from everywindow.geometry import axis_names

    named = zip(axis_names(len(found.start)), found.start, found.stop, strict=True)
    spans = [f"{name} {_position(a)} to {_position(b)}" for name, a, b in named]
    return ", ".join(reversed(spans))


def _position(pixels: float) -> str:
    """A tenth of a pixel at most, and all digits before the point: recordings have positions of eight.

    >>> _position(20_046_376.0), _position(931.679)
    ('20046376', '931.7')
    """
    return f"{pixels:.1f}".removesuffix(".0")


def _counted(m: ScoreMap) -> str:
    """How many windows, and how many per axis where there are several."""
    return f"{m.windows:,}" if len(m.counts) == 1 else f"{m.windows:,} ({_times(m.counts)})"


def _table(lines: Sequence[tuple[str, str]]) -> str:
    label = max(len(name) for name, _ in lines)
    return "\n".join(f"{name + ':' if name else '':<{label + 2}}{text}" for name, text in lines)


def _times(numbers: tuple[int, ...]) -> str:
    return "×".join(str(number) for number in numbers)
