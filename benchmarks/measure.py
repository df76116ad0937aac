"""Both sides of a workload, timed in turns in one process."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass

import torch
from torch import Tensor

import everywindow as ew
from benchmarks.plain_crops import PlainCrops, Setting
from benchmarks.workloads import Workload
from everywindow import Classifier, ScoreMap
from trial_weights import noise, with_trial_weights

FINALISTS = 3
"""Settings of the plain script that are timed again after all were tried once."""


@dataclass(frozen=True)
class Row:
    """What was measured on one workload: best seconds of each side, and how far the numbers differ."""

    workload: Workload
    script: float
    setting: Setting
    crops: float
    fcn: float
    macs_ratio: float
    crops_difference: float
    fcn_difference: float
    exact: bool

    @property
    def share_of_bound(self) -> float:
        """Of the speed-up that the mult-adds allow, the share that one pass reaches."""
        return self.script / self.fcn / self.macs_ratio


def measure(workload: Workload, rounds: int) -> Row:
    """Time the plain script, the engine ``crops`` and the engine ``fcn`` in turns; keep each one's best."""
    trial = Trial(workload)
    crops, fcn = trial.scan("crops"), trial.scan("fcn")
    best = trial.best_seconds(rounds)
    setting = min(trial.finalists, key=best.__getitem__)
    truth = trial.script.scores(setting)
    scale = workload.windows / trial.script.windows
    return Row(
        workload,
        script=best[setting] * scale,
        setting=setting,
        crops=best["crops"] * scale,
        fcn=best["fcn"],
        macs_ratio=trial.macs_ratio(),
        crops_difference=_difference(truth, crops, trial.script),
        fcn_difference=_difference(truth, fcn, trial.script),
        exact=fcn.verdict.exact,
    )


class Trial:
    """A workload with its weights and its image, and the script's fastest settings."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        window, size, channels = workload.window, workload.image_size, workload.channels
        module = with_trial_weights(workload.build(), channels, (window, window), dtype=torch.float32)
        whole = noise((1, channels, size, size), seed=7, dtype=torch.float32)[0]
        part = whole[:, : workload.crops_size, : workload.crops_size].clone()
        self.images = {"crops": part, "fcn": whole}
        self.classifier = Classifier(module, window=window, channels=channels)
        self.script = PlainCrops(copy.deepcopy(module), part, window, workload.stride)
        tried = {setting: self.script.seconds(setting) for setting in self.script.settings()}
        self.finalists = sorted(tried, key=tried.__getitem__)[:FINALISTS]

    def scan(self, mode: str) -> ScoreMap:
        """One call of the package, as a user makes it."""
        return ew.scan(self.classifier, self.images[mode], stride=self.workload.stride, mode=mode)

    def macs_ratio(self) -> float:
        """Mult-adds of all windows one by one over those of one pass."""
        size = tuple(self.images["fcn"].shape[1:])
        macs = ew.cost(self.classifier, image_size=size, stride=self.workload.stride).macs
        return float(macs["crops"] / macs["fcn"])

    def best_seconds(self, rounds: int) -> dict[Setting | str, float]:
        """Least seconds of each side, over rounds in which every side has its turn."""
        best: dict[Setting | str, float] = {}
        for _ in range(rounds):
            for setting in self.finalists:
                best[setting] = min(best.get(setting, float("inf")), self.script.seconds(setting))
            for mode in self.images:
                best[mode] = min(best.get(mode, float("inf")), self._seconds(mode))
        return best

    def _seconds(self, mode: str) -> float:
        start = time.perf_counter()
        self.scan(mode)
        return time.perf_counter() - start


def _difference(truth: Tensor, result: ScoreMap, script: PlainCrops) -> float:
    """Largest difference from the script's scores, relative to their spread between windows."""
    rows, columns = (torch.tensor(cells) for cells in zip(*script.cells, strict=True))
    spread = (truth.amax(dim=1) - truth.amin(dim=1)).max()
    return float((result.scores[:, rows, columns] - truth).abs().max() / spread)
