"""Numbers of ``ew.evaluate`` where a simple way to them goes wrong: saturation, indices, names, other classifiers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import everywindow as ew
from everywindow.evaluation.measure import answer
from everywindow.geometry import Verdict
from everywindow.report import ScoreMap


class Saturated(nn.Module):
    """Logits 20, 20 + 30 · mean, 0: two sigmoids that are both 1 in single precision."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        m = x.mean((1, 2, 3))
        return torch.stack([20 + 0 * m, 20 + 30 * m, 0 * m], 1)


def grey(path: Path, value: int, size: int = 8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((size, size, 3), value, np.uint8)).save(path)


def score_map(logits: list[list[float]], activation: Any) -> ScoreMap:
    """Of windows in a row: a list of logits for each window."""
    return ScoreMap(
        scores=torch.tensor(logits).T.contiguous(),
        offsets=(tuple(range(len(logits))),),
        window=(1,),
        stride=(1,),
        mode="crops",
        verdict=Verdict(exact=True),
        activation=activation,
    )


def test_sigmoids_that_round_to_one_are_told_apart(tmp_path: Path) -> None:
    clf = ew.Classifier(Saturated(), window=8, mean=0, std=1, classes=list("xyz"), activation="sigmoid")
    grey(tmp_path / "x" / "0.png", 0)
    for i in range(3):
        grey(tmp_path / "y" / f"{i}.png", 255)
    result = ew.evaluate(clf, tmp_path, protocols=["centre", "mirrored", "exact"], scales=[1, 2])
    assert len(result.rows) == 2 + 6
    assert [row.top1.value for row in result.rows if row.top1] == [1.0] * 8  # of black, 20 and 20: the first
    white = ew.scan(clf, np.full((8, 8, 3), 255, np.uint8), progress=False)
    assert [name for _, name, _ in white.top(2)] == ["y", "x"]


@pytest.mark.parametrize("reduction", ["mean_probability", "mean_score", "max"])
def test_softmax_probabilities_that_round_to_zero_are_ranked(reduction: str) -> None:
    one = [-1000.0, *[-900.0] * 5, -150.0, 0.0]
    for maps in ([one], [one, one, one]):
        found = answer([score_map(maps, "softmax")] * 2, reduction, 6)
        assert (found.rank, found.top[:2], found.probability) == (1, (7, 6), 1.0)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_order_is_that_of_the_mean_probability(activation: str) -> None:
    """Against the plain mean, where nothing saturates."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        logits = rng.normal(0, 3, (2, 4, 5))
        plain = (
            np.exp(logits) / np.exp(logits).sum(2, keepdims=True)
            if activation == "softmax"
            else 1 / (1 + np.exp(-logits))
        )
        mean = plain.mean((0, 1))
        maps = [score_map(one, activation) for one in logits.tolist()]
        found = answer(maps, "mean_probability", int(mean.argmin()))
        assert found.top == tuple(np.argsort(-mean))
        assert found.rank == 4
        assert math.isclose(found.probability, mean.max(), rel_tol=1e-6)


def one_logit(classes: list[str] | None) -> ew.Classifier:
    net = nn.Sequential(nn.Conv2d(3, 1, 8), nn.Flatten())
    nn.init.constant_(net[0].weight, 0.1)
    nn.init.constant_(net[0].bias, 5.0)
    return ew.Classifier(net, window=8, mean=0, std=1, classes=classes)


def listing(root: Path, labels: list[str]) -> Path:
    for i in range(len(labels)):
        grey(root / f"{i}.png", 200)
    file = root / "list.csv"
    file.write_text("path,label\n" + "".join(f"{i}.png,{label}\n" for i, label in enumerate(labels)))
    return file


@pytest.mark.parametrize(
    ("classes", "labels", "top1"),
    [
        (["face"], ["1", "1"], 1.0),
        (["face"], ["0", "1"], 0.5),
        (["face"], ["0", "0"], 0.0),
        (["face"], ["other", "1", "face"], 2 / 3),
        (["0"], ["1", "0"], 0.5),  # a name, not an index: 1 is "not 0"
        (["face"], ["7", "face"], 0.5),
    ],
)
def test_one_logit_with_a_name_and_labels_as_indices(
    classes: list[str], labels: list[str], top1: float, tmp_path: Path
) -> None:
    """Each of the images is said to be the named class."""
    result = ew.evaluate(one_logit(classes), listing(tmp_path, labels), protocols=["centre"])
    share = result.rows[0].top1
    assert share is not None
    assert share.value == pytest.approx(top1)


def test_labels_that_are_no_index_of_one_logit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ew.InputError, match=r"1 of 2 are none of the classifier's: 2"):
        ew.evaluate(one_logit(["face"]), listing(tmp_path, ["1", "2"]), protocols=["centre"])


class Tenth(nn.Module):
    """Of ten outputs the one that the first pixel's value says."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return -(torch.arange(10) - 25.5 * x[:, 0, 0, 0, None]).abs()


def test_numbers_from_one_are_outputs_in_the_order_of_their_size(tmp_path: Path) -> None:
    for i in range(10):
        grey(tmp_path / "all" / str(i + 1) / "0.png", 10 * i)
        if i < 9:
            grey(tmp_path / "some" / str(i + 1) / "0.png", 10 * i)
    clf = ew.Classifier(Tenth(), window=8, mean=0, std=1)
    result = ew.evaluate(clf, tmp_path / "all", protocols=["centre"])
    assert result.rows[0].top1 is not None
    assert result.rows[0].top1.value == 1
    assert result.classes == tuple(map(str, range(1, 11)))
    assert any("in this order, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10" in note for note in result.notes)
    indices = ew.evaluate(clf, tmp_path / "some", protocols=["centre"])
    assert any("counted from 0: no label is 0" in note for note in indices.notes)
    named = ew.Classifier(Tenth(), window=8, mean=0, std=1, classes=[str(i) for i in range(1, 11)])
    grey(tmp_path / "some" / "0" / "0.png", 0)
    with pytest.raises(ew.InputError, match=r"none of the classifier's: 0 "):
        ew.evaluate(named, tmp_path / "some", protocols=["centre"])


def test_two_labels_of_one_class_are_told(tmp_path: Path) -> None:
    result = ew.evaluate(one_logit(["face"]), listing(tmp_path, ["1", "face"]), protocols=["centre"])
    assert any("the labels 1 and face are one class, face" in note for note in result.notes)


class Bright(nn.Module):
    """A plain attribute that only shows where an image is dark."""

    def __init__(self, g: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net, self.g = nn.Sequential(nn.Conv2d(3, 2, 8), nn.Flatten()), g

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.net(x)
        return torch.where((x.amin((1, 2, 3)) < 0)[:, None], y * 0, y * self.g)


def test_results_of_another_network_with_the_same_weights_are_not_taken(tmp_path: Path) -> None:
    for name in "ab":
        grey(tmp_path / "images" / name / "0.png", 200)
    one, other = (ew.Classifier(Bright(g), window=8, mean=0, std=1, classes=list("ab")) for g in (1.0, -1.0))
    options: dict[str, Any] = {"protocols": ["centre"], "out": tmp_path / "out"}
    ew.evaluate(one, tmp_path / "images", **options)
    assert any("2 of 2 images are as" in note for note in ew.evaluate(one, tmp_path / "images", **options).notes)
    with pytest.raises(ew.InputError, match=r"another classifier"):
        ew.evaluate(other, tmp_path / "images", **options)
