"""B1: training draws random crops and mirrors; testing takes the centre crop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

import everywindow as ew
import labelled


def test_random_crops_and_their_mirrors_are_cells_of_maps() -> None:
    """A training step on random crops is one on cells of the maps of the image and of its mirror."""
    classifier = labelled.classifier(padding=0)
    classifier.module.double()
    image = torch.randn(3, 20, 22, dtype=torch.float64)
    maps = [
        ew.scan(classifier, view, stride=1, mode="fcn", dtype=torch.float64).scores for view in (image, image.flip(2))
    ]
    generator = np.random.default_rng(0)
    for _ in range(5):
        row, column = generator.integers(0, 9), generator.integers(0, 11)
        crop = image[:, row : row + 12, column : column + 12]
        with torch.no_grad():
            scores = classifier.module(torch.stack([crop, crop.flip(2)]))
        assert torch.allclose(scores[0], maps[0][:, row, column], rtol=0, atol=1e-12)
        assert torch.allclose(scores[1], maps[1][:, row, 10 - column], rtol=0, atol=1e-12)


def test_testing_takes_the_centre_crop(tmp_path: Path) -> None:
    classifier = labelled.classifier()
    result = ew.evaluate(classifier, labelled.folder(tmp_path), protocols=["centre"], progress=False)
    assert [row.name for row in result.rows] == ["centre"]
    for image in result.images:
        pixels = torch.tensor(np.array(Image.open(image.path)) / 255, dtype=torch.float32).permute(2, 0, 1)
        pixels = (pixels - torch.tensor(labelled.MEAN)[:, None, None]) / torch.tensor(labelled.STD)[:, None, None]
        row, column = (round((n - 12) / 2) for n in pixels.shape[1:])
        with torch.no_grad():
            crop = classifier.module(pixels[None, :, row : row + 12, column : column + 12])[0].softmax(0)
        answer = image.answers["centre"]
        assert answer.top[0] == int(crop.argmax())
        assert abs(answer.probability - float(crop.max())) < 1e-5
