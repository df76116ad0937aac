"""Positions in the image as it was given, where its resized size was rounded."""

from __future__ import annotations

import numpy as np
from torch import nn

import everywindow as ew
from everywindow.evaluation.localise import _centres


def test_windows_cover_the_given_image_whatever_its_rounded_size() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 4), nn.Flatten())
    clf = ew.Classifier(net, window=4, mean=0, std=1)
    m = ew.scan(clf, np.zeros((30, 31), np.uint8), scale=0.15, stride=1, progress=False)  # 4 x 5 pixels
    assert m.counts == (1, 2)
    assert m.strongest(1).stop[0] == 30
    assert max(box.stop[1] for box in m.boxes(1, threshold=0, overlap=1)) == 31
    assert [float(axis[-1]) for axis in _centres(m)] == [15.0, 31 / 5 * 3]
    assert ew.pyramid(clf, np.zeros((30, 31), np.uint8), (0.15,), stride=1, progress=False).strongest(1).stop[0] == 30
