"""Train a face classifier, store it, load it again, and find a face in a photograph in one pass."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from everywindow import api
from everywindow.demo.data import WINDOW, carried
from everywindow.demo.picture import write_picture
from everywindow.demo.train import CLASSES, MEAN, STD, train

PHOTOGRAPH = "astronaut.png"
SCALE = 0.25
"""At a quarter of its size, the photograph's face is about as large as the window."""

Say = Callable[[str], None]


def run(out: str, seed: int = 0, say: Say = print) -> dict[str, Any]:
    """The whole demo; every number in it is computed now.

    Args:
        out: folder for the bundle, the photograph, the map and the heat map; made where there is none.
        seed: of the training.
        say: takes the lines for people.

    Returns:
        What was measured, as plain data.

    Raises:
        DependencyError: scikit-image, whose wheel carries the pictures, is not installed.
        InputError: ``out`` cannot be written.
    """
    folder = Path(out)
    photograph = carried(PHOTOGRAPH)
    folder.mkdir(parents=True, exist_ok=True)
    trained, seconds = _train(seed, say)
    trained.save(folder / "bundle")
    shutil.copyfile(photograph, folder / PHOTOGRAPH)
    known = api.load(folder / "bundle")
    say(f"\nstored as {folder / 'bundle'} and loaded again from its graph: no code, no trust needed\n")
    return {"training_seconds": seconds, **_find(known, folder, say)}


def classifier(seed: int = 0, say: Say = lambda line: None) -> api.Classifier:
    """The trained face classifier of a seed."""
    return api.Classifier(train(seed, say), window=WINDOW, channels=1, mean=[MEAN], std=[STD], classes=CLASSES)


def _train(seed: int, say: Say) -> tuple[api.Classifier, float]:
    say(f"training a classifier of {WINDOW}×{WINDOW} pixels on faces and others (seed {seed})")
    started = time.perf_counter()
    trained = classifier(seed, lambda line: say(f"  {line}"))
    seconds = time.perf_counter() - started
    say(f"  {seconds:.1f} s")
    return trained, seconds


def _find(known: api.Classifier, folder: Path, say: Say) -> dict[str, Any]:
    """Scan in both modes, and draw the map of the one pass."""
    image = folder / PHOTOGRAPH
    say(f"every window of {image} at scale {SCALE}, stride 1: one by one (crops) and in one pass (fcn)\n")
    comparison = api.compare(known, image, stride=1, scale=SCALE)
    say(str(comparison))
    m = api.scan(known, image, stride=1, scale=SCALE, mode="fcn")
    peak = m.strongest("face")
    (top, left), (bottom, right) = peak.original_box(m.scale)
    say(
        f"\nthe face: x {left:g} to {right:g}, y {top:g} to {bottom:g} of the photograph, "
        f"probability {peak.probability:.4f}"
    )
    m.save(folder / "map.npz")
    write_picture(m, image, folder / "heatmap.png")
    say(f"written: {folder / 'heatmap.png'}, {folder / 'map.npz'}")
    return {
        "comparison": comparison.as_dict(),
        "files": [str(folder / n) for n in ("heatmap.png", "map.npz", "bundle")],
        "face": {"x": [left, right], "y": [top, bottom], "probability": peak.probability},
    }
