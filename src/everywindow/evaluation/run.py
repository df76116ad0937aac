"""An evaluation from beginning to end."""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch

from everywindow.comparing import read_for
from everywindow.errors import ConversionError, EverywindowError, InputError
from everywindow.evaluation.boxes import Annotations, Box, checked, known_classes, read_boxes
from everywindow.evaluation.labels import (
    Item,
    Problem,
    class_indices,
    class_names,
    listed,
    order_notes,
)
from everywindow.evaluation.measure import Measured, Scan, measured, span
from everywindow.evaluation.needed import check_needed
from everywindow.evaluation.protocols import PROTOCOLS
from everywindow.evaluation.result import Evaluation, ImageResult
from everywindow.evaluation.settings import Settings
from everywindow.evaluation.state import State, check_folder, key_of
from everywindow.evaluation.summary import localisation, row
from everywindow.evaluation.turning import upright
from everywindow.graph import captured, digest, state_digest
from everywindow.io import Image, turn_of
from everywindow.models import Classifier
from everywindow.report import LeftOut, counted

STRIDE = "stride: "
"""Begins the problem of an image that is smaller than the stride."""


class Request(NamedTuple):
    """Where things are, and how to go about it.

    Attributes:
        source: labelled folder or CSV.
        boxes: folder of VOC XML files or COCO JSON file, or None.
        out: folder for what is measured and written, or None.
        strict: whether anything that would be left out is an error.
        progress: whether to show a bar; None where stderr is a terminal.
        facts: what else decides the scores, as plain data.
        overwrite: whether an evaluation of something else in ``out`` may be lost.
        told: what else a reader should know, as plain data.
        raw: whether values of the images are taken as they are.
    """

    source: str | Path
    boxes: str | Path | None = None
    out: str | Path | None = None
    strict: bool = False
    progress: bool | None = None
    facts: Any = None
    overwrite: bool = False
    told: Any = None
    raw: bool = False


class _Job(NamedTuple):
    known: Classifier
    settings: Settings
    scan: Scan
    indices: dict[str, int]
    annotations: Annotations | None
    sought: dict[str, int]
    raw: bool


class _Done(NamedTuple):
    """An image: what was measured, and the boxes that lie in it."""

    item: Item
    found: Measured
    boxes: tuple[Box, ...] | None


def evaluated(known: Classifier, request: Request, settings: Settings, scan: Scan) -> Evaluation:
    """Run all protocols on all images.

    Raises:
        InputError: images, labels, boxes or settings that cannot be used; with ``strict`` anything left out.
        ConversionError: a protocol that was asked for and has no conversion.
        DependencyError: there are boxes, and a library that evaluates them is not installed.
    """
    check_folder(request.out, request.source)
    if request.boxes is not None:
        _check_boxes_can_be_used(known)
    listing = listed(request.source, request.boxes is not None)
    annotations = None if request.boxes is None else read_boxes(request.boxes, listing.items)
    problems = [*listing.problems, *(annotations.problems if annotations else ())]
    notes = list(listing.notes)
    _refuse(problems, request.strict)
    settings, left_out, probe = _tried(known, settings, scan)
    indices = class_indices([item.label for item in listing.items if item.label], known.classes, len(probe))
    names = class_names(known.classes, indices, len(probe))
    notes += order_notes(known.classes, indices, names)
    sought: dict[str, int] = {}
    if annotations is not None:
        classes, more = known_classes(annotations, names, str(request.boxes))
        sought, notes = {name: names.index(name) for name in classes}, [*notes, *more]
    job = _Job(known, settings, scan, indices, annotations, sought, request.raw)
    if annotations is not None and not any(method.maps for method in settings.methods):
        notes.append("boxes are not looked at: no protocol makes a map; add exact, fcn or crops to protocols=")
    record = _settings_record(job, request)
    if request.out is not None and record["graph"] is None:
        notes.append("earlier results in out= are told from others by weights and a probe: the network has no graph")
    with State(request.out, record, probe, [item.name for item in listing.items], request.overwrite) as state:
        done = list(_images(job, request, state, listing.items, problems, notes))
        notes += _earlier(state, len(listing.items))
    _check_something_left(job, request, done, problems, [item.name for item in listing.items])
    notes += _small_note(done, settings)
    result = _summed(job, request, done, names, problems, notes, left_out)
    if request.out is not None:
        result.write(request.out)
    return result


def _check_boxes_can_be_used(known: Classifier) -> None:
    check_needed()
    if len(known.window) != 2:
        why = f"they are of pictures, and the classifier's images have {len(known.window)} spatial axes"
        raise InputError("boxes", why, "leave boxes= out")


def _check_something_left(
    job: _Job, request: Request, done: Sequence[_Done], problems: Sequence[Problem], tried: Sequence[str]
) -> None:
    """See that there are answers, and boxes where they were given; ``tried``: names of the images that were read.

    Raises:
        InputError: there are none.
    """
    if not done:
        wrong = [problem for problem in problems if problem.what in tried and problem.kind == "image"]
        first = wrong[0]
        if all(problem.why.startswith(STRIDE) for problem in wrong):
            raise InputError("stride", f"no image is as large, the first: {first}".replace(STRIDE, ""), "give less")
        why = f"no image can be used, the first because: {first}"
        raise InputError(str(request.source), why, "mend the images, or the arguments")
    known = [box for one in done for box in one.boxes or () if box.klass in job.sought]
    if job.annotations is not None and not known:
        boxes = [problem for problem in problems if problem.kind.startswith("box")]
        why = "none of the boxes can be used" + (f", the first because: {boxes[0]}" if boxes else "")
        raise InputError(str(request.boxes), why, "mend the boxes, or leave boxes= out")


def _earlier(state: State, images: int) -> list[str]:
    if state.began_anew:
        return ["this folder had an evaluation of something else: everything was measured anew"]
    if not state.reused:
        return []
    return [f"{state.reused:,} of {counted(images, 'image')} are as an earlier run measured them"]


def _refuse(problems: Sequence[Problem], strict: bool) -> None:
    if strict and problems:
        raise InputError(problems[0].what, problems[0].why, "mend it, or run without strict=True to leave it out")


def _tried(known: Classifier, settings: Settings, scan: Scan) -> tuple[Settings, tuple[LeftOut, ...], list[float]]:
    """Each mode on a window of noise: so it is known before any image what cannot run, and what scores there are."""
    pixels = torch.randn((known.channels, *known.window), generator=torch.Generator().manual_seed(0))
    noise = Image(pixels, None, None, 1.0, (0,) * len(known.window))
    scores = scan(noise, "crops", known.window).scores.flatten().double().tolist()
    left_out: list[LeftOut] = []
    for name in settings.protocols:
        try:
            if PROTOCOLS[name].mode:
                scan(noise, PROTOCOLS[name].mode, settings.stride)
        except ConversionError as error:
            if settings.asked:
                raise ConversionError(
                    error.what, f"{error.why}: no {name}", f"leave {name} out of protocols="
                ) from error
            left_out.append(LeftOut(name, error.layer, error.why))
            settings = settings.without(name)
    return settings, tuple(left_out), scores


def _settings_record(job: _Job, request: Request) -> dict[str, Any]:
    known, asked = job.known, job.settings._asdict()
    wanted = ("protocols", "reductions", "scales", "stride", "resize", "small")
    return {
        **{name: asked[name] for name in wanted},
        "window": known.window,
        "mean": known.mean,
        "std": known.std,
        "activation": known.activation,
        "boxes_of": job.sought,
        "weights": state_digest(known.module),
        "graph": _graph(known),
        "facts": request.facts,
        **({"raw": True} if request.raw else {}),
    }


def _graph(known: Classifier) -> str | None:
    """Digest of what the network computes, with its constants; None where it cannot be captured."""
    try:
        return digest(captured(known.module, known.window, known.channels))
    except EverywindowError:
        return None


def _images(
    job: _Job, request: Request, state: State, items: Sequence[Item], problems: list[Problem], notes: list[str]
) -> Iterator[_Done]:
    """Each image that can be used, measured or as it was measured before."""
    told: Counter[str] = Counter()
    for item in _with_bar(items, request.progress):
        with _counted_warnings(told, item):
            found, boxes, wrong = _one(job, state, item)
        problems += wrong
        _refuse(wrong, request.strict)
        if found is not None:
            yield _Done(item, found, boxes)
    notes += [f"{count} image{'s' * (count > 1)}: {text}" for text, count in told.items()]


def _one(job: _Job, state: State, item: Item) -> tuple[Measured | None, tuple[Box, ...] | None, list[Problem]]:
    """An image: what was measured, the boxes in it, and what is wrong."""
    label = None if item.label is None else job.indices[item.label]
    raw = None if job.annotations is None else job.annotations.images.get(item.name)
    raw = None if raw is None else upright(raw, turn_of(item.path))
    try:
        key = key_of(item.path, label, raw)
    except OSError as error:
        return None, None, [Problem(item.name, f"cannot be read ({error.strerror or error})")]
    known, kept = job.known, state.get(item.name, key)
    if isinstance(kept, str):
        return None, None, [Problem(item.name, kept)]
    if kept is not None:
        return kept, *checked(raw, kept.size, item.name)
    try:
        read = read_for(known, item.path, raw=job.raw)
        boxes, wrong = checked(raw, read.size, item.name)
        found = measured(read, label, boxes, job.sought, known, job.settings, job.scan)
    except InputError as error:
        whole = error.what != str(item.path) or "raw=" in error.remedy
        why = f"{error.why}; {error.remedy}" if whole else error.why
        why = f"{STRIDE}{error.why}" if error.what == "stride" else why
        state.put(item.name, key, why)
        return None, None, [Problem(item.name, why)]
    state.put(item.name, key, found)
    return found, boxes, wrong


@contextmanager
def _counted_warnings(told: Counter[str], item: Item) -> Iterator[None]:
    """What is said of many images is said once, with their number."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    told.update({str(warning.message).removeprefix(f"{item.path}: ") for warning in caught})


def _with_bar(items: Sequence[Item], shown: bool | None) -> Iterable[Item]:
    if not (sys.stderr.isatty() if shown is None else shown):
        return items
    from tqdm import tqdm

    return tqdm(items, desc="evaluate", unit="image", file=sys.stderr, dynamic_ncols=True)


def _small_note(done: Sequence[_Done], settings: Settings) -> list[str]:
    count = sum(one.found.small for one in done)
    made = "resized until they cover it" if settings.small == "resize" else "padded with the mean"
    return [f"{count} of {len(done)} images are smaller than the window, and were {made} (small=)"] if count else []


def _summed(
    job: _Job,
    request: Request,
    done: Sequence[_Done],
    names: tuple[str, ...],
    problems: Sequence[Problem],
    notes: Sequence[str],
    left_out: tuple[LeftOut, ...],
) -> Evaluation:
    settings = job.settings
    answers = {method.name: [one.found.answers[method.name] for one in done] for method in settings.methods}
    reference = answers[settings.methods[0].name]
    shown = settings._asdict()
    return Evaluation(
        rows=tuple(row(name, found, reference, len(names), settings.seed) for name, found in answers.items()),
        localisation=tuple(_localised(job, [one for one in done if one.boxes is not None])),
        images=tuple(
            ImageResult(one.item.name, one.item.path, one.item.label, one.found.answers, one.found.located)
            for one in done
        ),
        problems=tuple(problems),
        notes=tuple(notes),
        left_out=left_out,
        classes=names,
        settings={**(request.told or {}), **{name: shown[name] for name in shown if name != "asked"}},
    )


def _localised(job: _Job, done: Sequence[_Done]) -> Iterator[Any]:
    spans = dict.fromkeys(span(method.protocol, method.scales) for method in job.settings.methods if method.maps)
    for name in spans if done else ():
        for klass in job.sought:
            found = [one.found.located[name][klass] for one in done]
            truth = [[box for box in one.boxes or () if box.klass == klass] for one in done]
            yield localisation(name, klass, found, truth, job.settings.overlaps, job.settings.seed)
