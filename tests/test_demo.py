"""The demo: every seed finds the face, and everything in the folder can be used again."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import everywindow as ew
from everywindow import demo
from everywindow.demo import data, picture, train

FACE_X, FACE_Y = (175, 275), (60, 180)
"""The face in the photograph, in pixels, seen with one's eyes."""


def inside(peak: tuple[float, ...]) -> bool:
    y, x = peak
    return FACE_X[0] <= x <= FACE_X[1] and FACE_Y[0] <= y <= FACE_Y[1]


@pytest.mark.slow
@pytest.mark.parametrize("build", [demo.unpadded, demo.padded])
@pytest.mark.parametrize("seed", range(5))
def test_every_seed_finds_the_face(seed: int, build: Callable[[], nn.Sequential]) -> None:
    classifier = demo.classifier(seed, build=build)
    m = ew.scan(classifier, data.carried(demo.PHOTOGRAPH), stride=1, scale=demo.SCALE)
    peak = m.strongest("face")
    assert m.verdict.exact
    assert inside(peak.centre)
    assert peak.probability > 0.99


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A training far too short to find anything: for what does not depend on it."""
    monkeypatch.setattr(train, "ROUNDS", 2)
    monkeypatch.setattr(train, "STEPS", 3)
    monkeypatch.setattr(train, "CANDIDATES", 400)
    monkeypatch.setattr(train, "KEPT", 20)


@pytest.mark.usefixtures("quick")
def test_demo_leaves_a_bundle_a_photograph_a_map_and_a_picture(tmp_path: Path) -> None:
    lines: list[str] = []
    record = demo.run(str(tmp_path / "out"), 3, lines.append)
    text = "\n".join(lines)
    assert "10,816 windows" in text
    assert "fcn is equal to the crops" in text
    assert "fcn is near the crops, not equal to them" in text
    crops, fcn, exact = record["comparison"]["runs"]
    assert [crops["mode"], fcn["mode"], exact["mode"]] == ["crops", "fcn", "exact"]
    assert max(fcn["relative_difference"], exact["relative_difference"]) < 1e-4
    known = ew.load(tmp_path / "out/bundle")
    again = ew.scan(known, tmp_path / "out/astronaut.png", stride=1, scale=demo.SCALE)
    stored = ew.ScoreMap.load(tmp_path / "out/map.npz")
    torch.testing.assert_close(again.scores, stored.scores)
    assert stored.strongest("face").probability == pytest.approx(record["face"]["probability"])
    assert (tmp_path / "out/heatmap.png").stat().st_size > 50_000


@pytest.mark.usefixtures("quick")
def test_of_the_padded_network_exact_is_the_crops_and_fcn_is_not(tmp_path: Path) -> None:
    record = demo.run(str(tmp_path), 3, lambda line: None)["padded"]
    crops, fcn, exact = record["comparison"]["runs"]
    assert exact["exact"]
    assert exact["relative_difference"] < 1e-4
    assert exact["macs"] < crops["macs"] / 4
    assert not fcn["exact"]
    assert fcn["relative_difference"] > 0.01
    m = ew.scan(ew.load(tmp_path / "bundle-padded"), tmp_path / "astronaut.png", stride=1, scale=demo.SCALE)
    assert m.plan.engine == "exact"
    assert {layer.kind for layer in m.plan.layers} == {"strips", "per window"}


@pytest.mark.usefixtures("quick")
def test_the_same_seed_trains_the_same_network_and_leaves_the_random_state_alone() -> None:
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    first, again, other = (train.train(demo.padded, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_the_photograph_to_search_is_not_trained_on() -> None:
    assert demo.PHOTOGRAPH not in data.BACKGROUNDS
    assert len(set(data.BACKGROUNDS)) == len(data.BACKGROUNDS)
    for pixels in (*data.backgrounds(), *data.labelled_windows()):
        assert pixels.dtype == np.float32
        assert 0 <= pixels.min() <= pixels.max() <= 1


def test_variations_keep_shape_and_range() -> None:
    pixels = torch.rand(6, 1, 25, 25)
    varied = train.varied(pixels)
    assert varied.shape == pixels.shape
    assert 0 <= varied.min() <= varied.max() <= 1
    assert not torch.equal(varied, pixels)


def test_hard_negatives_are_those_with_the_highest_score_for_face() -> None:
    windows = torch.rand(train.KEPT + 100, 1, 25, 25)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(625, 2))
    kept = train.hardest(net, windows)
    scores = net(train.normalise(windows)).detach()
    bar = (scores[:, 1] - scores[:, 0]).sort().values[100]
    of_kept = net(train.normalise(kept)).detach()
    assert len(kept) == train.KEPT
    assert (of_kept[:, 1] - of_kept[:, 0]).min() >= bar - 1e-6


def test_without_scikit_image_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage", None)
    monkeypatch.setitem(sys.modules, "skimage.data", None)
    with pytest.raises(ew.DependencyError, match=r"not installed.*; pip install scikit-image"):
        data.carried("lfw_subset.npy")


def test_a_broken_scikit_image_is_not_called_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise ModuleNotFoundError("No module named 'lazy_loader'", name="lazy_loader")

    monkeypatch.setattr(data.resources, "files", broken)
    with pytest.raises(ew.DependencyError, match=r"installed, but cannot be imported .*lazy_loader"):
        data.carried("lfw_subset.npy")


def test_a_picture_that_the_wheel_lacks_is_not_fetched() -> None:
    with pytest.raises(ew.DependencyError, match="does not carry"):
        data.carried("eagle.png")


def test_picture_shows_photograph_and_map(tmp_path: Path) -> None:
    scores = torch.zeros(2, 104, 104)
    scores[1, 20, 40] = 9
    steps = tuple(range(104))
    verdict = ew.scan(torch.nn.Conv2d(1, 2, 5), torch.rand(1, 5, 5), window=5).verdict
    m = ew.ScoreMap(scores, (steps, steps), (25, 25), (1, 1), "fcn", verdict, classes=train.CLASSES,
                    image_size=(128, 128), scale=0.25)  # fmt: skip
    picture.write_picture(m, data.carried(demo.PHOTOGRAPH), tmp_path / "heatmap.png")
    assert (tmp_path / "heatmap.png").stat().st_size > 50_000
