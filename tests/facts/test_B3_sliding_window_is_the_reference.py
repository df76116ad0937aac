"""B3: the sliding window with the original network is the reference that the one pass is compared with."""

from __future__ import annotations

import torch

import everywindow as ew
import oracle
from facts_networks import article
from laws import EQUAL
from trial_weights import noise


def test_mode_crops_is_the_original_network_on_each_window_by_itself() -> None:
    module, image = article(), noise((1, 1, 50, 61), 1)[0]
    scan = ew.scan(module, image, window=32, stride=(7, 5), mode="crops", dtype=torch.float64)
    expected = oracle.crops(module, image, (32, 32), (7, 5))
    assert scan.mode == "crops"
    assert scan.verdict.exact
    assert oracle.relative_difference(scan.scores, expected) <= EQUAL


def test_the_others_are_compared_with_it() -> None:
    found = ew.compare(article(), noise((1, 1, 48, 40), 1)[0], window=32, dtype=torch.float64, progress=False)
    assert [run.mode for run in found.runs] == ["crops", "fcn", "exact"]
    assert found.run("fcn").agreement == 1
