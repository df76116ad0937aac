"""What the benchmarks are written against is right: networks made dense by hand give what the windows give."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

import oracle
from benchmarks.by_hand import ByHand, a_trous, fragments, shift_and_stitch
from benchmarks.measure import Row
from benchmarks.page import page
from benchmarks.plain_crops import PlainCrops, Setting
from benchmarks.results import Kept, keep, present_conditions, read
from benchmarks.workloads import WORKLOADS, lenet
from trial_weights import noise, with_trial_weights

WINDOW, OWN_STRIDE = 32, 4


@pytest.fixture(scope="module")
def chain() -> nn.Module:
    return with_trial_weights(lenet(), 3, (WINDOW, WINDOW))


@pytest.mark.parametrize("stride", [4, 2, 1])
@torch.no_grad()
def test_networks_made_dense_by_hand_give_the_windows_scores(chain: nn.Module, stride: int) -> None:
    image = noise((1, 3, 45, 39), seed=3)
    expected = oracle.crops(chain, image[0], (WINDOW, WINDOW), (stride, stride))
    dense = (OWN_STRIDE // stride).bit_length() - 1
    plain = a_trous(chain, 0)
    poolings = [layer for layer in plain if isinstance(layer, nn.MaxPool2d)]
    found = {
        "à trous": a_trous(chain, dense)(image)[0],
        "by layout": ByHand(a_trous(chain, dense), image[0], "channels_last").scores(),
        "fragments": fragments(list(plain), image, poolings[len(poolings) - dense :])[0],
        "shifts": shift_and_stitch(plain, image, OWN_STRIDE, stride)[0],
    }
    for name, scores in found.items():
        part = scores[:, : expected.shape[1], : expected.shape[2]]
        assert oracle.relative_difference(part, expected) <= oracle.TOLERANCE[torch.float64], name


def test_the_plain_script_samples_windows_of_the_whole_image(chain: nn.Module) -> None:
    image = noise((1, 3, 45, 39), seed=3)[0]
    script = PlainCrops(chain, image, WINDOW, 1, sample=10)
    expected = oracle.crops(chain, image, (WINDOW, WINDOW), (1, 1))
    assert (script.windows, len(script.cells)) == (14 * 8, 10)
    assert (script.cells[0], script.cells[-1]) == ((0, 0), (13, 7))
    rows, columns = (torch.tensor(cells) for cells in zip(*script.cells, strict=True))
    scores = script.scores(Setting(4, "channels_last"))
    assert oracle.relative_difference(scores, expected[:, rows, columns]) <= oracle.TOLERANCE[torch.float64]


def test_the_page_is_written_from_kept_rows(tmp_path: Path) -> None:
    row = Row(
        *(224, 32, 640, 196),
        script=45.0,
        setting="batch 8, channels_last",
        sample=32,
        crops=46.0,
        crops_windows=36,
        exact=12.5,
        fcn=2.0,
        by_hand={},
        macs={"crops": 45, "exact": 10, "fcn": 2},
        engines=["exact"],
        reason="shared",
        predicted=12.0,
        proved=False,
        differences={"crops": 1e-6, "exact": 2e-6, "fcn": 0.3},
    )
    assert read(tmp_path, "vgg16", Row) is None
    keep(tmp_path, "vgg16", Kept(row, present_conditions(3)))
    kept = read(tmp_path, "vgg16", Row)
    assert kept is not None
    assert kept.row == row
    text = page([(WORKLOADS[0], kept)], [])
    assert "| **3.60** | 3.68 | 4.50 | **0.80** | ≥ share 0.75 | yes, 0.80 | 2e-06 |" in text
    assert "3e-01 (padded)" in text
    assert json.loads((tmp_path / "vgg16.json").read_text())["conditions"]["rounds"] == 3
