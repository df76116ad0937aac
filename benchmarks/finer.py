"""Strides finer than the network's: the package's one pass against what is written by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

import everywindow as ew
from benchmarks.by_hand import LAYOUTS, ByHand, Method, a_trous, fragments, shift_and_stitch
from benchmarks.measure import EQUAL
from benchmarks.timing import best_seconds, seconds
from benchmarks.workloads import Finer, windows_in
from everywindow import Classifier
from trial_weights import noise, with_trial_weights

MOST_SHIFTS = 16
"""Shift-and-stitch is left out where it would run the network more often."""


@dataclass(frozen=True)
class FinerRow:
    """What was measured at one stride: plain data.

    Attributes:
        window, stride, image_size, windows: what was scored.
        fcn: seconds of ``mode="fcn"``.
        by_hand: seconds of each method in its better memory format.
        layouts: which one that is.
        difference: largest of à trous and fragments to ``fcn``, relative to the scores' spread between windows.
    """

    window: int
    stride: int
    image_size: int
    windows: int
    fcn: float
    by_hand: dict[str, float]
    layouts: dict[str, str]
    difference: float


def measure_finer(work: Finer, rounds: int) -> FinerRow:
    """Time all sides in turns; keep each one's best.

    Raises:
        ValueError: what is written by hand gives other scores than the package.
    """
    window, size = work.window, work.image_size
    module = with_trial_weights(work.build(), work.channels, (window, window), dtype=torch.float32)
    image = noise((1, work.channels, size, size), seed=7, dtype=torch.float32)[0]
    classifier = Classifier(module, window=window, channels=work.channels)
    scan = partial(ew.scan, classifier, image, stride=work.stride, mode="fcn", progress=False)
    truth = scan().scores
    hands = _by_hand(work, module, image)
    difference = max(_difference(truth, hand.scores()) for (name, _), hand in hands.items() if name != "shift")
    if not difference <= EQUAL:
        raise ValueError(f"{work.name}: by hand: differs from one pass by {difference:.0e}")
    sides: dict[tuple[str, str], Callable[[], float]] = {("fcn", ""): partial(seconds, scan)}
    best = best_seconds({**sides, **{key: hand.seconds for key, hand in hands.items()}}, rounds)
    layouts = {name: min(LAYOUTS, key=lambda layout: best[name, layout]) for name, _ in hands}
    return FinerRow(
        *(window, work.stride, size, windows_in(size, window, work.stride)),
        fcn=best["fcn", ""],
        by_hand={name: best[name, layout] for name, layout in layouts.items()},
        layouts=layouts,
        difference=difference,
    )


def _by_hand(work: Finer, module: nn.Module, image: Tensor) -> dict[tuple[str, str], ByHand]:
    """By method and memory format."""
    plain = a_trous(module, 0)
    chains: dict[str, tuple[nn.Sequential, Method | None]] = {"trous": (a_trous(module, work.dense), None)}
    if work.dense:
        chains["fragments"] = (plain, partial(_in_fragments, work.dense))
    if 1 < (work.own_stride // work.stride) ** 2 <= MOST_SHIFTS:
        chains["shift"] = (plain, partial(_shifted, work.own_stride, work.stride))
    return {
        (name, layout): ByHand(chain, image, layout, method)
        for name, (chain, method) in chains.items()
        for layout in LAYOUTS
    }


def _in_fragments(dense: int, chain: nn.Sequential, image: Tensor) -> Tensor:
    layers = list(chain.children())
    poolings = [layer for layer in layers if isinstance(layer, nn.MaxPool2d)]
    return fragments(layers, image, poolings[len(poolings) - dense :])


def _shifted(own_stride: int, stride: int, chain: nn.Sequential, image: Tensor) -> Tensor:
    return shift_and_stitch(chain, image, own_stride, stride)


def _difference(truth: Tensor, scores: Tensor) -> float:
    """Largest difference in the positions that have a window, relative to the scores' spread between windows."""
    _, rows, columns = truth.shape
    flat = truth.flatten(1)
    spread = (flat.amax(dim=1) - flat.amin(dim=1)).max()
    return float((scores[:, :rows, :columns] - truth).abs().max() / spread)
