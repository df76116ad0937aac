"""What the benchmarks are written against is right: networks made dense by hand give what the windows give."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import oracle
from benchmarks.by_hand import ByHand, a_trous, fragments, shift_and_stitch
from benchmarks.measure import Row
from benchmarks.page import page
from benchmarks.patches import LoaderSetting, Patches, loop
from benchmarks.plain_crops import PlainCrops, Setting
from benchmarks.results import Kept, keep, present_conditions, read
from benchmarks.section import PREDICTIONS, STREAMING, section_of, with_section, write_keeping_section
from benchmarks.streaming_page import FileRow, LoaderRow, section
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


def test_the_section_of_large_images_is_written_from_kept_rows(tmp_path: Path) -> None:
    file = FileRow("net", 64, 32, 1000, "Zarr", 900, 4, "exact", 10.0, 12.0, 8.0, 9.0, 7.0, 1.0, 0.02)
    patches = LoaderRow("net", 64, 16, 1000, 900, 90, "32, 1", 50.0, 5.0, "exact", 1e-6)
    keep(tmp_path, "file", Kept(file, present_conditions(2)))
    keep(tmp_path, "loader", Kept(patches, present_conditions(2)))
    one, other = read(tmp_path, "file", FileRow), read(tmp_path, "loader", LoaderRow)
    assert one is not None
    assert other is not None
    assert one.row == file
    assert (file.ratio, file.per_tile) == (0.8, 0.5)
    text = section([one], [other])
    assert "| **0.80** (below 0.9) | 0.75 | 7.0 s | 1.00 s | 500 ms | +2.0 % |" in text
    assert "| 50.0 s (90) | 32, 1 | 5.0 s | exact | **10.0** | 1e-06 |" in text


def test_a_page_that_is_written_anew_keeps_the_marked_parts(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(with_section(with_section("old\n", "p\n", PREDICTIONS), "s\n", STREAMING), encoding="utf-8")
    write_keeping_section(page, "new\n", STREAMING, PREDICTIONS)
    text = page.read_text("utf-8")
    assert text.startswith("new\n")
    assert "p\n" in section_of(text, PREDICTIONS)
    assert "s\n" in section_of(text, STREAMING)


def test_the_loop_over_patches_gives_the_windows_scores(chain: nn.Module, tmp_path: Path) -> None:
    pytest.importorskip("openslide")
    tifffile = pytest.importorskip("tifffile")
    values = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "x.tif", values, tile=(32, 32), photometric="rgb", compression="zlib")
    patches = Patches(tmp_path / "x.tif", 64, WINDOW, 16, None, 0.5, 0.25)
    image = (torch.from_numpy(values[:64, :64]).permute(2, 0, 1) / 255 - 0.5) / 0.25
    module = copy.deepcopy(chain).float()
    _, scores = loop(module, patches, LoaderSetting(4, 0))
    expected = oracle.crops(module, image, (WINDOW, WINDOW), (16, 16))
    assert patches.windows == 9
    torch.testing.assert_close(scores, expected.flatten(1), rtol=1e-4, atol=1e-4)
