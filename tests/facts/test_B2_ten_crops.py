"""B2: several crops go through the network in one batch and are averaged; ten are the corners, the centre, mirrored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

import everywindow as ew
import labelled


def by_hand(pixels: torch.Tensor, window: int) -> torch.Tensor:
    """Four corners and the centre, and their mirrors: ``[10, 3, window, window]``."""
    height, width = pixels.shape[1:]
    low, right = height - window, width - window
    starts = [(0, 0), (0, right), (low, 0), (low, right), (round(low / 2), round(right / 2))]
    plain = [pixels[:, row : row + window, column : column + window] for row, column in starts]
    return torch.stack([*plain, *(crop.flip(2) for crop in plain)])


def test_ten_crops_are_averaged_in_one_batch(tmp_path: Path) -> None:
    classifier = labelled.classifier()
    images = labelled.folder(tmp_path, sizes=((20, 26), (17, 15)), each=2)
    result = ew.evaluate(classifier, images, protocols=["five", "ten"], progress=False)
    assert [row.name for row in result.rows] == ["centre", "five", "ten"]
    for image in result.images:
        pixels = torch.tensor(np.array(Image.open(image.path)) / 255, dtype=torch.float32).permute(2, 0, 1)
        pixels = (pixels - torch.tensor(labelled.MEAN)[:, None, None]) / torch.tensor(labelled.STD)[:, None, None]
        batch = by_hand(pixels, 12)
        assert len(batch) == 10
        with torch.no_grad():
            probabilities = classifier.module(batch).softmax(1)
        for name, mean in (("ten", probabilities.mean(0)), ("five", probabilities[:5].mean(0))):
            assert image.answers[name].top[0] == int(mean.argmax())
            assert abs(image.answers[name].probability - float(mean.max())) < 1e-5


def test_the_map_replaces_them() -> None:
    """The four corners and the centre are five of its cells."""
    classifier = labelled.classifier()
    image = torch.randn(3, 20, 26)
    scores = ew.scan(classifier, image, stride=1).scores
    with torch.no_grad():
        crops = classifier.module(by_hand(image, 12))[:5]
    cells = [scores[:, row, column] for row, column in ((0, 0), (0, 14), (8, 0), (8, 14), (4, 7))]
    assert torch.allclose(torch.stack(cells), crops, rtol=0, atol=1e-4)
