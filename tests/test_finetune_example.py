"""The example that fine-tunes on whole images: it runs in a short form, and whole images help."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
import torch

import everywindow as ew
from example_modules import example_module


@pytest.fixture(scope="module")
def example() -> ModuleType:
    return example_module("finetune_dense")


@pytest.mark.slow
def test_whole_images_help(example: ModuleType) -> None:
    with torch.random.fork_rng(devices=[]):
        clf, tests, (windows, dense, as_crops) = example.run(seed=0, quick=True)
    before, _, after = tests.values()
    assert after[0] > before[0] + 0.1
    assert after[1] < before[1] / 2
    assert (windows, dense < as_crops / 2) == (1936, True)
    assert ew.convolutionalize(clf).verdict.exact


def test_held_out_photographs_are_shown_to_nobody(example: ModuleType) -> None:
    shown, held = (example.photographs(held_out) for held_out in (False, True))
    assert len(shown) > len(held) > 10
    assert not any(one.shape == other.shape and np.array_equal(one, other) for one in shown for other in held)


def test_labels_are_those_of_the_windows(example: ModuleType) -> None:
    labels = example.labels(np.array([[8, 10]]), (6, 6))
    assert labels[2, 2] == labels[2, 3] == 1
    assert labels[2, 1] == labels[3, 4] == example.IGNORED
    assert labels[0, 5] == labels[5, 5] == 0
