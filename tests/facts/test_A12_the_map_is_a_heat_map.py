"""A12: the map is a heat map: it marks the place and extent of the object; each cell classifies its window."""

from __future__ import annotations

import torch

import everywindow as ew
import oracle
from facts_networks import cross_detector


def test_it_marks_the_place_and_the_extent() -> None:
    module, cross = cross_detector()
    image = 0.1 * torch.rand(1, 40, 52)
    image[0, 22:29, 13:20] += cross
    scan = ew.scan(ew.Classifier(module, window=7, channels=1, activation="softmax"), image)
    place = divmod(int(scan.scores[1].argmax()), scan.scores.shape[2])
    assert (scan.offsets[0][place[0]], scan.offsets[1][place[1]]) == (22, 13)
    found = scan.probabilities()[1] > 0.5
    assert bool(found[22, 13])
    assert int(found.sum()) <= 9
    (box,) = scan.boxes(1)
    assert (box.start, box.stop) == ((22, 13), (29, 20))


def test_each_cell_classifies_its_window() -> None:
    module, cross = cross_detector()
    image = 0.1 * torch.rand(1, 14, 16)
    image[0, 3:10, 5:12] += cross
    scan = ew.scan(module, image, window=7)
    assert torch.allclose(scan.scores, oracle.crops(module, image, (7, 7), (1, 1)), rtol=0, atol=1e-5)
