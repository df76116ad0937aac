"""One row: a network's conversion and its exact scores, each against the plain sliding window."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count as count_from
from math import gcd

import torch
from torch import Tensor, nn

import everywindow as ew
import oracle
from benchmarks.zoo.families import family_of
from benchmarks.zoo.networks import CHANNELS, build, smallest_window
from benchmarks.zoo.row import (
    APART,
    CONTEXT,
    MIXES,
    MOVED,
    PLAIN,
    STEADY,
    TAKEN,
    UNMOVED,
    Row,
    may_be_refused,
)
from benchmarks.zoo.subject import Subject, by_macs, made_ready
from everywindow.convert import FullyConvolutional
from everywindow.costing import crops_macs, fcn_macs
from everywindow.engines.prepare import Prepared
from everywindow.errors import CaptureError, ConversionError, EverywindowError, IndependenceError
from everywindow.geometry import WindowGrid
from everywindow.graph import records
from everywindow.ops.context import WHY as TAKES_CONTEXT
from everywindow.sharing import program_for, program_macs
from exactly import CropsOnly, captured_network, exactly
from trial_weights import (
    noise,
    sees_the_border,
    tells_windows_apart,
)

Counts = tuple[int, int]

COUNTS: Mapping[str, Mapping[int, tuple[Counts, Counts | None, Counts]]] = {
    "torchvision": {
        0: ((2, 3), (3, 4), (3, 5)),
        4 * 10**9: ((2, 2), (3, 1), (2, 3)),
        10**11: ((2, 1), (1, 2), (2, 1)),
    },
    "timm": {0: ((2, 3), None, (3, 4)), 3 * 10**8: ((2, 2), None, (2, 3)), 2 * 10**9: ((2, 1), None, (1, 2))},
}
"""Windows per axis at the network's stride, at half of it (None: not tried) and at one coprime to it; by the mult-adds
of a window from which so few are compared."""


def examine(library: str, name: str, exact: bool = True) -> Row:
    """One row of the table, with or without what the exact engine does."""
    start = time.process_time()
    row = Row(library, name, family_of(library, name))
    module = build(library, name).double()
    row = replace(row, window=smallest_window(module))
    try:
        tried = made_ready(row, module)
        row = replace(_compared(tried), stride=tried.stride, macs_window=tried.macs)
        row = _with_exact(row, tried) if exact else row
    except IndependenceError as error:
        expected = row.family.partition("/")[0] in MIXES
        row = replace(row, refused=True, reason=str(error), wrong="" if expected else "refused by every mode")
    except EverywindowError as error:
        row = replace(row, wrong=f"{type(error).__name__}: {error}")
    return replace(row, seconds=time.process_time() - start)


def _compared(subject: Subject) -> Row:
    """The row with what the conversion does."""
    row = subject.row
    try:
        converted = ew.convolutionalize(subject.classifier).eval()
    except IndependenceError:
        raise
    except (CaptureError, ConversionError) as error:
        unexpected = "" if may_be_refused(row.library, row.family) else "refused, and it has a conversion"
        return replace(row, reason=str(error), wrong=unexpected)
    return _converted(subject, converted)


def _converted(subject: Subject, converted: FullyConvolutional) -> Row:
    window, stride = subject.window, converted.geometry.stride
    image = noise((1, CHANNELS, window + 2 * stride[0] + 1, window + stride[1] + stride[1] // 2), 5)[0]
    native, scale, blind = _native(subject.module, converted, window)
    larger = _larger(subject.module, converted, image, window, scale)
    grid = WindowGrid((image.shape[1], image.shape[2]), (window, window), stride)
    network = subject.prepared.network
    assert network is not None
    exact = converted.verdict.exact
    return replace(
        subject.row,
        image_size=(image.shape[1], image.shape[2]),
        converts=how_it_converts(subject.prepared, converted),
        exact=exact,
        reason=_short(converted.verdict.reasons),
        native=native,
        larger=larger,
        macs_crops=crops_macs(network, grid),
        macs_fcn=fcn_macs(converted.maps, grid),
        wrong=blind or _wrong(native, larger, exact, subject.row.limit),
    )


def how_it_converts(prepared: Prepared, converted: FullyConvolutional) -> str:
    """Layer by layer, with context inside, or with windows taken from the map."""
    if prepared.network is None or records(prepared.network).unshared is None:
        return PLAIN
    return CONTEXT if any(reason.why == TAKES_CONTEXT for reason in converted.verdict.reasons) else TAKEN


def _with_exact(row: Row, subject: Subject) -> Row:
    """The row with what the exact engine does."""
    stride = subject.stride
    coprime = (_coprime(stride, 13), _coprime(stride, 7))
    counts = by_macs(COUNTS[row.library], subject.macs)
    strides = ((stride, stride), (max(1, stride // 2),) * 2, coprime)
    found = [_exact_difference(subject, step, count) for step, count in zip(strides, counts, strict=True)]
    differences = [difference for difference, _ in found if difference is not None]
    outside, border = _moved(subject) if subject.prepared.network is not None else (None, None)
    gain, ends = sharing_of(subject.module, subject.window, stride)
    wrong = row.wrong or ("" if subject.amplified <= STEADY else "these weights amplify roundings too much")
    wrong = wrong or ("" if all(apart for _, apart in found) else "these weights tell no windows apart")
    wrong = wrong or ("" if max(differences) <= row.limit else "the exact engine differs from the crops")
    wrong = wrong or ("" if border is None or border > MOVED else "the pixels on a window's border leave its score")
    wrong = wrong or ("" if (outside or 0) <= UNMOVED else "pixels outside a window move its score")
    return replace(
        row,
        coprime=coprime,
        at_stride=found[0][0],
        at_half=found[1][0],
        at_coprime=found[2][0],
        outside=outside,
        gain=gain,
        ends=ends,
        wrong=wrong,
    )


def sharing_of(module: nn.Module, window: int, stride: int) -> tuple[float, str]:
    """Mult-adds of the crops over those with sharing, on an image of four times the window, and where sharing ends."""
    try:
        network = captured_network(module, (window, window), CHANNELS)
    except CropsOnly as reason:
        return 1.0, f"windows one by one: {reason}"
    grid = WindowGrid((4 * window,) * 2, (window,) * 2, (stride,) * 2)
    program = program_for(network, grid.counts, grid.stride)
    ends = "" if program.ends is None else f"{program.ends.reason.layer}: {program.ends.reason.why}"
    return crops_macs(network, grid) / program_macs(program), ends


def _exact_scores(subject: Subject, image: Tensor, stride: Sequence[int]) -> Tensor:
    """Scores by the exact engine; by what mode exact does where that engine does not run the network."""
    try:
        return exactly(subject.module, image, (subject.window,) * 2, stride).scores
    except CropsOnly:
        return ew.scan(subject.classifier, image, stride=tuple(stride), mode="exact", progress=False).scores


def _coprime(stride: int, least: int) -> int:
    """The least number from ``least`` on that has no divisor in common with the stride."""
    return next(number for number in count_from(least) if gcd(number, stride) == 1)


def _exact_difference(
    subject: Subject, stride: tuple[int, int], counts: tuple[int, int] | None
) -> tuple[float | None, bool]:
    """Relative difference between the exact engine and the crops, on an image of so many windows; and whether the
    crops tell windows apart."""
    if counts is None:
        return None, True
    size = [subject.window + (count - 1) * step + step // 2 for count, step in zip(counts, stride, strict=True)]
    image = noise((1, CHANNELS, *size), 5)[0]
    expected = oracle.crops(subject.module, image, (subject.window,) * 2, stride)
    difference = oracle.relative_difference(_exact_scores(subject, image, stride), expected)
    return difference, tells_windows_apart(expected, APART)


def _moved(subject: Subject) -> tuple[float, float]:
    """How far a column of pixels moves the score of the left of two windows, that it lies just outside of, and of the
    right one, on whose border it lies; relative to the difference of the two scores."""
    window, stride = subject.window, subject.stride
    image = noise((1, CHANNELS, window, window + stride), 6)[0]

    def scores(column: int | None) -> Tensor:
        changed = image.clone()
        if column is not None:
            changed[:, :, column] += 3
        return _exact_scores(subject, changed, (stride, stride))[:, 0]

    before = scores(None)
    scale = oracle.spread(before)
    outside, border = scores(window)[:, 0] - before[:, 0], scores(stride)[:, 1] - before[:, 1]
    return float(outside.abs().max()) / scale, float(border.abs().max()) / scale


@torch.no_grad()
def _native(module: nn.Module, converted: nn.Module, window: int) -> tuple[float, float, str]:
    """Relative difference at the window's size, spread of the scores, and why they prove nothing if so."""
    images = noise((4, CHANNELS, window, window), 7)
    expected = torch.stack([module(image.unsqueeze(0))[0] for image in images], dim=1)
    scores = torch.stack([converted(image.unsqueeze(0))[0].flatten() for image in images], dim=1)
    blind = "" if tells_windows_apart(expected, APART) else "these weights tell no windows apart"
    if not sees_the_border(module, images[0]):
        blind = "these weights do not see the border"
    return oracle.relative_difference(scores, expected), oracle.spread(expected), blind


@torch.no_grad()
def _larger(module: nn.Module, converted: FullyConvolutional, image: Tensor, window: int, scale: float) -> float:
    expected = oracle.crops(module, image, (window, window), converted.geometry.stride)
    return oracle.relative_difference(converted(image.unsqueeze(0))[0], expected, max(scale, oracle.spread(expected)))


def _wrong(native: float, larger: float, exact: bool, limit: float) -> str:
    if not native <= limit:
        return "differs from the original at the window's size"
    if exact and not larger <= limit:
        return "called exact, and differs from the crops"
    if not larger < float("inf"):
        return "another number of scores than of windows, or not numbers"
    return ""


def _short(reasons: Sequence[tuple[str, str]]) -> str:
    if not reasons:
        return ""
    layer, why = reasons[0]
    return f"{layer}: {why}" + (f", and {len(reasons) - 1} more" if len(reasons) > 1 else "")
