"""The law of the exact engine, for one network at one stride on one image: its scores are those of the crops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import gcd, prod
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

import oracle
from exactly import CropsOnly, Exact, captured_network, exactly
from laws import EQUAL, native_scores
from random_networks import Example
from trial_weights import LEAST_SPREAD, noise

Draw = Callable[[st.SearchStrategy[Any]], Any]

WINDOWS = {1: (4, 16), 2: (2, 7), 3: (1, 4)}
"""Fewest and most windows per axis, by the number of axes; now and then there is one."""

UNMOVED = 1e-12
"""Change of a score, relative to the spread, that counts as none."""

MOVED = 1e-6
"""Change of a score, relative to the spread, that counts as one."""


@dataclass(frozen=True)
class Scan:
    """How an image is scanned.

    Attributes:
        stride: pixels between windows, per axis.
        image_size: pixels per axis.
        memory: the limit, as a share of what all windows as one rectangle take.
        share: the share of the calls that can be shared that are; None for all.
    """

    stride: tuple[int, ...]
    image_size: tuple[int, ...]
    memory: float
    share: float | None

    @property
    def seed(self) -> int:
        """For the image's pixels."""
        return sum(self.image_size) + sum(self.stride)


def _stride(draw: Draw, network_stride: int) -> int:
    """A divisor of the network's stride, a multiple, or one that is neither."""
    divisors = [step for step in range(1, network_stride + 1) if network_stride % step == 0]
    coprime = [step for step in range(1, network_stride + 4) if gcd(step, network_stride) == 1]
    return int(draw(st.sampled_from(draw(st.sampled_from([divisors, [network_stride, 2 * network_stride], coprime])))))


@st.composite
def scans(draw: Draw, example: Example) -> Scan:
    """Any stride, different per axis; an odd remainder of pixels; any limit; sharing up to any call."""
    stride = tuple(_stride(draw, step) for step in example.strides)
    least, most = WINDOWS[len(stride)]
    counts = [1 if draw(st.integers(0, 9)) == 5 else draw(st.integers(least, most)) for _ in stride]
    size = tuple(
        n + (count - 1) * step + draw(st.integers(0, step - 1))
        for n, step, count in zip(example.window, stride, counts, strict=True)
    )
    memory = draw(st.sampled_from([1.0, 1.0, 0.7, 0.5, 0.3, 0.1]))
    share = draw(st.sampled_from([None, None, None, None, 0.3, 0.6, 0.9]))
    return Scan(stride, size, memory, share)


@dataclass
class Tally:
    """What was tried, and the largest difference that was found.

    Attributes:
        networks: networks that the exact engine ran.
        sharing: those of them in whose scans some call ran on shared values.
        crops_only: networks that mode exact leaves to the crops.
        blind: networks that tell windows apart too little for a comparison to mean anything.
        scans: scans compared.
        shared: scans in which some call ran on shared values.
        rectangles: scans in several rectangles.
        outside, border: windows whose score stayed when a pixel outside changed, and moved with one on the border.
        difference: the largest over all scans, relative to the spread between windows.
    """

    networks: int = 0
    sharing: int = 0
    crops_only: int = 0
    blind: int = 0
    scans: int = 0
    shared: int = 0
    rectangles: int = 0
    outside: int = 0
    border: int = 0
    difference: float = 0.0
    why: list[str] = field(default_factory=list)


def check_network(draw: Draw, example: Example, tally: Tally, count: int = 1) -> None:
    """Draw some scans and compare each with the crops.

    Raises:
        AssertionError: a score differs.
    """
    try:
        captured_network(example.module, example.window, example.channels)
    except CropsOnly as reason:
        tally.crops_only += 1
        tally.why.append(str(reason))
        return
    _, native = native_scores(example.module, example.window, example.channels)
    spread = oracle.spread(native)
    if not torch.isfinite(native).all() or spread <= LEAST_SPREAD * float(native.abs().max()):
        tally.blind += 1
        return
    tally.networks += 1
    before = tally.shared
    for _ in range(count):
        check_scan(example, draw(scans(example)), spread, tally)
    tally.sharing += tally.shared > before


def check_scan(example: Example, scan: Scan, spread: float, tally: Tally) -> None:
    """Compare one scan with the crops, and move single pixels."""
    image = noise((1, example.channels, *scan.image_size), scan.seed)[0]
    expected = oracle.crops(example.module, image, example.window, scan.stride)
    scale = max(spread, oracle.spread(expected))
    found = _run(example.module, image, example.window, scan)
    difference = oracle.relative_difference(found.scores, expected, scale)
    tally.difference = max(tally.difference, difference)
    assert difference <= EQUAL, f"{difference:.1e} of the spread: {scan}"
    tally.scans += 1
    tally.shared += found.shares
    tally.rectangles += len(found.batches.rectangles) > 1
    check_pixels(example, scan, image, found.scores, scale, tally)


def _run(module: nn.Module, image: Tensor, window: Sequence[int], scan: Scan) -> Exact:
    return exactly(module, image, window, scan.stride, share=scan.share, memory=scan.memory)


def check_pixels(example: Example, scan: Scan, image: Tensor, scores: Tensor, scale: float, tally: Tally) -> None:
    """A pixel just outside a window leaves its score alone; one on its border moves it as it moves the crop's."""
    counts = scores.shape[1:]
    index = scan.seed % prod(counts)
    place = tuple(int(at) for at in torch.unravel_index(torch.tensor(index), counts))
    corner = [at * step for at, step in zip(place, scan.stride, strict=True)]
    axis = scan.seed % len(corner)
    inside = (slice(None), *(slice(first, first + n) for first, n in zip(corner, example.window, strict=True)))
    here: tuple[int | slice, ...] = (slice(None), *place)
    middle = [first + n // 2 for first, n in zip(corner, example.window, strict=True)]
    low, high = corner[axis], corner[axis] + example.window[axis] - 1
    pairs = [(low - 1, low), (high + 1, high)][:: 1 if scan.seed % 2 else -1]
    outside, border = next((pair for pair in pairs if 0 <= pair[0] < image.shape[1 + axis]), pairs[0])

    def moved(at: int) -> tuple[Tensor, Tensor]:
        """How far a pixel moves the window's score, and the crop's."""
        changed = image.clone()
        pixel: tuple[int | slice, ...] = (slice(None), *middle[:axis], at, *middle[axis + 1 :])
        changed[pixel] += 3
        after = _run(example.module, changed, example.window, scan).scores
        with torch.no_grad():
            crops = [example.module(one[inside].clone().unsqueeze(0)).reshape(-1) for one in (image, changed)]
        return (after - scores)[here] / scale, (crops[1] - crops[0]) / scale

    if 0 <= outside < image.shape[1 + axis]:
        most = float(moved(outside)[0].abs().max())
        assert most <= UNMOVED, (
            f"pixel {outside} of axis {axis} lies outside window {place}, and moves it by {most:.1e}"
        )
        tally.outside += 1
    found, due = moved(border)
    assert float((found - due).abs().max()) <= 2 * EQUAL, f"pixel {border} of axis {axis}, window {place}"
    tally.border += float(due.abs().max()) > MOVED
