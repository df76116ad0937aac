"""Classifiers: what is given is checked and made uniform."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from everywindow.errors import InputError
from everywindow.graph import GraphNetwork
from everywindow.models import Classifier, as_classifier
from handmade import Lenet, lenet


@pytest.mark.parametrize(
    ("module", "axes"),
    [
        (nn.Sequential(nn.BatchNorm1d(2), nn.Conv1d(2, 3, 3)), 1),
        (nn.Sequential(nn.Conv2d(1, 3, 3), nn.Flatten(), nn.Unflatten(1, (3, 9)), nn.Conv1d(3, 1, 1)), 2),
        (nn.Sequential(nn.Conv3d(1, 3, 3)), 3),
        (nn.Linear(4, 2), 2),
    ],
)
def test_one_number_is_the_window_on_every_axis(module: nn.Module, axes: int) -> None:
    assert Classifier(module, window=9).window == (9,) * axes
    assert Classifier(module, window=np.int64(9)).window == (9,) * axes  # type: ignore[arg-type]


def test_everything_becomes_plain() -> None:
    classifier = Classifier(
        Lenet(), [12, 13], 2, mean=torch.tensor([0.25, 0.5]), std=np.array([1, 2]), classes=["a", "b"]
    )
    assert classifier.window == (12, 13)
    assert classifier.mean == (0.25, 0.5)
    assert classifier.std == (1.0, 2.0)
    assert classifier.classes == ("a", "b")
    assert classifier.activation is None
    assert Classifier(Lenet(), 12, 1, mean=0.5, std=0.25).std == (0.25,)


def test_it_cannot_be_changed_but_replaced() -> None:
    classifier = Classifier(Lenet(), 12, 1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        classifier.window = (3, 3)  # type: ignore[misc]
    assert dataclasses.replace(classifier, activation="sigmoid").activation == "sigmoid"


def test_its_text_is_short() -> None:
    text = repr(Classifier(Lenet(), 12, 1, classes=[str(i) for i in range(1000)]))
    assert text == "Classifier(Lenet, window=(12, 12), channels=1, classes=<1000 names>)"


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"module": "resnet18"}, "module: a str"),
        ({"window": 0}, "window: 0 is not a positive"),
        ({"window": (12, -1)}, "window: -1"),
        ({"window": 12.5}, "window: 12.5"),
        ({"window": True}, "window: True"),
        ({"window": "12"}, "window: '12'"),
        ({"window": (1, 2, 3, 4)}, "one to three axes"),
        ({"window": ()}, "one to three axes"),
        ({"window": None}, "window: the module does not say it"),
        ({"channels": 0}, "channels: 0"),
        ({"channels": "3"}, "channels: '3'"),
        ({"mean": [0.5]}, "mean: 1 numbers for 3 channels"),
        ({"mean": "abc"}, "mean: 'abc'"),
        ({"mean": [0.5, 0.5, float("nan")]}, "mean: .*finite"),
        ({"std": [0.5, 0.5]}, "std: 2 numbers"),
        ({"mean": [127] * 3, "std": [127] * 3}, "mean: .*not in units of 0 to 1.*; divide it by 255"),
        ({"mean": [0.5] * 3, "std": [60] * 3}, "std: .*not in units of 0 to 1.*; divide it by 255"),
        ({"mean": [0.5] * 3}, "mean: is given without std; give both; 1 per channel where there is no std"),
        ({"std": [0.5] * 3}, "std: is given without mean; give both; 0 per channel"),
        ({"std": [0.5, 0.5, 0.0]}, "std: .*not positive"),
        ({"std": [0.5, 0.5, -1]}, "std: .*not positive"),
        ({"classes": []}, "classes"),
        ({"classes": "cat"}, "classes: 'cat'"),
        ({"classes": [1, 2]}, "classes"),
        ({"classes": 3}, "classes: 3"),
        ({"activation": "relu"}, "activation: 'relu' is unknown; give one of softmax, sigmoid, none"),
    ],
)
def test_what_does_not_fit_is_refused(changed: dict[str, Any], match: str) -> None:
    fields: dict[str, Any] = {"module": nn.Conv2d(3, 4, 3), "window": 12}
    with pytest.raises(InputError, match=match):
        Classifier(**(fields | changed))


def test_a_graph_has_one_window() -> None:
    module = GraphNetwork(lenet())
    assert Classifier(module, 12, 1).window == (12, 12)
    with pytest.raises(InputError, match=r"window: .* takes no 13×13"):
        Classifier(module, 13, 1)
    assert Classifier(module, 12).channels == 1
    with pytest.raises(InputError, match=r"channels: .* takes no 3"):
        Classifier(module, 12, 3)


def test_bare_modules_become_classifiers() -> None:
    assert as_classifier(nn.Conv3d(4, 2, 3), window=8).channels == 4
    assert as_classifier(nn.Conv3d(4, 2, 3), window=8).window == (8, 8, 8)
    assert as_classifier(nn.Flatten(), window=(8, 9)).channels == 3
    assert as_classifier(nn.Flatten(), window=8, channels=2).channels == 2
    from_graph = as_classifier(GraphNetwork(lenet()))
    assert (from_graph.window, from_graph.channels) == ((12, 12), 1)


def test_a_classifier_stays_itself_unless_its_window_is_changed() -> None:
    classifier = Classifier(Lenet(), 12, 1, classes=["a", "b", "c"])
    assert as_classifier(classifier) is classifier
    changed = as_classifier(classifier, window=14)
    assert (changed.window, changed.classes) == ((14, 14), ("a", "b", "c"))


def test_what_is_no_classifier() -> None:
    with pytest.raises(InputError, match="window: the module does not say it"):
        as_classifier(Lenet())
    with pytest.raises(InputError, match=r"everywindow\.load"):
        as_classifier("vgg16", window=224)


@pytest.mark.parametrize(
    ("module", "mean", "channels"),
    [
        (nn.Conv2d(1, 2, 3), None, 1),
        (nn.Conv2d(5, 2, 3), [0.5] * 5, 5),
        (nn.Flatten(), [0.5] * 4, 4),
        (nn.Flatten(), None, 3),
    ],
)
def test_channels_are_told_by_the_first_convolution(module: nn.Module, mean: list[float] | None, channels: int) -> None:
    assert Classifier(module, 12, mean=mean, std=mean).channels == channels


def test_normalisation_of_other_channels_than_the_first_convolution_is_refused() -> None:
    with pytest.raises(InputError, match=r"mean: 3 numbers for 1 channels; .*channels="):
        Classifier(nn.Conv2d(1, 2, 3), 12, mean=[0.5] * 3)
