"""All sides of a workload, timed in turns in one process."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

import everywindow as ew
from benchmarks.alone import seconds_alone
from benchmarks.by_hand import LAYOUTS, ByHand
from benchmarks.plain_crops import PlainCrops, Setting
from benchmarks.timing import best_seconds, seconds
from benchmarks.workloads import Workload
from everywindow import Classifier, ScoreMap
from everywindow.errors import ConversionError
from everywindow.graph import captured
from everywindow.sharing import build, program_macs
from trial_weights import noise, with_trial_weights

FINALISTS = 3
"""Settings of the plain script that are timed again after all were tried once."""

EQUAL = 1e-4
"""Difference, relative to the scores' spread between windows, up to which float32 scores count as equal."""

ALONE = "by hand, alone"
"""The side that runs in a process of its own."""

PART_SAMPLE = 8
"""Windows whose scores by the engine ``crops`` are compared, where it runs on a part of the image."""


@dataclass(frozen=True)
class Row:
    """What was measured on one workload: plain data.

    Attributes:
        window, stride, image_size, windows: what was scored.
        script: seconds of the plain script, scaled from ``sample`` windows to all.
        setting: at what batch size and memory format it is fastest.
        sample: windows that it ran.
        crops: seconds of the engine ``crops``, scaled from ``crops_windows`` to all.
        crops_windows: windows that it ran.
        exact: seconds of ``mode="exact"``.
        fcn: seconds of ``mode="fcn"``; None where the network has no plain conversion.
        by_hand: seconds of the network made dense by hand, per memory format.
        alone: the same in a process of its own, in the better format; None where nothing is made by hand.
        macs: mult-adds of ``crops``, of ``exact`` where all is shared that can be, and of ``fcn``.
        engines: what ``exact`` took, one after another without repetition.
        reason: why so.
        predicted: seconds that the plan predicted.
        proved: whether the one pass is proved to equal the crops.
        differences: largest to the script's scores, per side, relative to the scores' spread between windows.
    """

    window: int
    stride: int
    image_size: int
    windows: int
    script: float
    setting: str
    sample: int
    crops: float
    crops_windows: int
    exact: float
    fcn: float | None
    by_hand: dict[str, float]
    macs: dict[str, int]
    engines: list[str]
    reason: str
    predicted: float | None
    proved: bool
    differences: dict[str, float]
    alone: float | None = None

    @property
    def bound(self) -> float:
        """Of the windows one by one, the mult-adds over those of ``exact``."""
        return self.macs["crops"] / self.macs["exact"]

    @property
    def share(self) -> float:
        """Of the speed-up that the mult-adds allow, what ``exact`` reaches over the script."""
        return self.script / self.exact / self.bound

    @property
    def best_by_hand(self) -> float:
        """Seconds of the network made dense by hand, in its better memory format."""
        return min(self.by_hand.values())


def measure(workload: Workload, rounds: int) -> Row:
    """Time the plain script and the modes in turns; keep each one's best."""
    trial = Trial(workload)
    maps = trial.maps()
    best = best_seconds(trial.sides(list(maps)), rounds)
    setting = min(trial.finalists, key=best.__getitem__)
    scale = workload.windows / workload.crops_windows
    return Row(
        *(workload.window, workload.stride, workload.image_size, workload.windows),
        script=best[setting],
        setting=str(setting),
        sample=len(trial.script.cells),
        crops=best["crops"] * scale,
        crops_windows=workload.crops_windows,
        exact=best["exact"],
        fcn=best.get("fcn"),
        by_hand={layout: best[side] for layout, side in trial.by_hand_sides().items()},
        macs=trial.macs(),
        engines=trial.engines,
        reason=trial.plan.reason,
        predicted=trial.plan.predicted_seconds,
        proved="fcn" in maps and maps["fcn"].verdict.exact,
        differences=trial.differences(maps, setting),
        alone=best.get(ALONE),
    )


class Trial:
    """A workload with its weights and its image, and the script's fastest settings."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        window, size, channels = workload.window, workload.image_size, workload.channels
        self.module = with_trial_weights(workload.build(), channels, (window, window), dtype=torch.float32)
        self.image = noise((1, channels, size, size), seed=7, dtype=torch.float32)[0]
        self.part = self.image[:, : workload.crops_size, : workload.crops_size].clone()
        self.classifier = Classifier(self.module, window=window, channels=channels)
        self.script = self._script(self.image, workload.sample)
        self.engines: list[str] = []
        dense = workload.by_hand(copy.deepcopy(self.module)) if workload.by_hand else None
        self.by_hand = {layout: ByHand(dense, self.image, layout) for layout in LAYOUTS} if dense else {}
        tried = {setting: self.script.seconds(setting) for setting in self.script.settings()}
        self.finalists = sorted(tried, key=tried.__getitem__)[:FINALISTS]

    def _script(self, image: Tensor, sample: int) -> PlainCrops:
        return PlainCrops(copy.deepcopy(self.module), image, self.workload.window, self.workload.stride, sample)

    def scan(self, mode: str) -> ScoreMap:
        """One call of the package, as a user makes it."""
        image = self.part if mode == "crops" else self.image
        result = ew.scan(self.classifier, image, stride=self.workload.stride, mode=mode, progress=False)
        if mode == "exact":
            self.plan = result.plan
            if self.engines[-1:] != [self.plan.engine]:
                self.engines.append(self.plan.engine)
        return result

    def maps(self) -> dict[str, ScoreMap]:
        """The score map of each mode that the network has; all is captured, converted and tuned then.

        The engine ``crops`` is scanned with twice: it tries its settings on the windows themselves.
        """
        found = {mode: self.scan(mode) for mode in ("crops", "crops", "exact")}
        with suppress(ConversionError):
            found["fcn"] = self.scan("fcn")
        return found

    def sides(self, modes: list[str]) -> dict[Setting | str, Callable[[], float]]:
        """What is timed: the script at its best settings, the modes, the network made dense by hand."""
        sides: dict[Setting | str, Callable[[], float]] = {}
        for setting in self.finalists:
            sides[setting] = partial(self.script.seconds, setting)
        for mode in modes:
            sides[mode] = partial(seconds, partial(self.scan, mode))
        for layout, side in self.by_hand_sides().items():
            sides[side] = self.by_hand[layout].seconds
        if self.by_hand:
            sides[ALONE] = partial(seconds_alone, self.workload)
        return sides

    def by_hand_sides(self) -> dict[str, str]:
        """The name among the sides of each memory format of the network made dense by hand."""
        return {layout: f"by hand, {layout}" for layout in self.by_hand}

    def macs(self) -> dict[str, int]:
        """Mult-adds of each mode; of ``exact`` with everything shared that can be."""
        work, (_, *size) = self.workload, self.image.shape
        macs = ew.cost(self.classifier, image_size=size, stride=work.stride).macs
        network = captured(self.classifier.module, self.classifier.window, self.classifier.channels)
        counts = tuple((one - work.window) // work.stride + 1 for one in size)
        return {**macs, "exact": program_macs(build(network, counts, (work.stride, work.stride)))}

    def differences(self, maps: dict[str, ScoreMap], setting: Setting) -> dict[str, float]:
        """Of each side to the script.

        Raises:
            ValueError: the network made dense by hand gives other scores.
        """
        truth = self.script.scores(setting)
        spread = float((truth.amax(dim=1) - truth.amin(dim=1)).max())
        small = self._script(self.part, PART_SAMPLE)
        small_truth = small.scores(Setting(1, setting.layout))
        found = {"crops": _difference(small_truth, maps["crops"].scores, small) / spread}
        for mode in maps.keys() - {"crops"}:
            found[mode] = _difference(truth, maps[mode].scores, self.script) / spread
        for layout, by_hand in self.by_hand.items():
            found[f"by hand, {layout}"] = other = _difference(truth, by_hand.scores(), self.script) / spread
            if not other <= EQUAL:
                raise ValueError(f"{self.workload.name}: by hand, {layout}: differs from the windows by {other:.0e}")
        return found


def _difference(truth: Tensor, scores: Tensor, script: PlainCrops) -> float:
    """Largest difference of a score map from the script's scores."""
    rows, columns = (torch.tensor(cells) for cells in zip(*script.cells, strict=True))
    return float((scores[:, rows, columns] - truth).abs().max())
