"""Train two face classifiers, store them, load them again, and find a face in a photograph in all three modes."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from everywindow import api
from everywindow.demo.data import WINDOW, carried
from everywindow.demo.picture import write_picture
from everywindow.demo.train import CLASSES, MEAN, STD, padded, train, unpadded

PHOTOGRAPH = "astronaut.png"
SCALE = 0.25
"""At a quarter of its size, the photograph's face is about as large as the window."""

Say = Callable[[str], None]
Build = Callable[[], nn.Sequential]


def run(out: str, seed: int = 0, say: Say = print) -> dict[str, Any]:
    """The whole demo; every number in it is computed now.

    Args:
        out: folder for the bundles, the photograph, the map and the heat map; made where there is none.
        seed: of the training.
        say: takes the lines for people.

    Returns:
        What was measured, as plain data: of the unpadded network, and under ``"padded"`` of the padded one.

    Raises:
        DependencyError: scikit-image, whose wheel carries the pictures, is not installed.
        InputError: ``out`` cannot be written.
    """
    folder = Path(out)
    photograph = carried(PHOTOGRAPH)
    folder.mkdir(parents=True, exist_ok=True)
    image = folder / PHOTOGRAPH
    shutil.copyfile(photograph, image)
    say("1. a network without padding")
    known, seconds = _trained(unpadded, seed, folder / "bundle", say)
    m, found = _searched(known, image, say)
    m.save(folder / "map.npz")
    write_picture(m, image, folder / "heatmap.png")
    say(f"written: {folder / 'heatmap.png'}, {folder / 'map.npz'}\n")
    say("2. a network that pads with zeros, at the border of each window, as most do")
    other, other_seconds = _trained(padded, seed, folder / "bundle-padded", say)
    _, other_found = _searched(other, image, say)
    return {
        "training_seconds": seconds,
        **found,
        "padded": {"training_seconds": other_seconds, **other_found},
        "files": [str(folder / name) for name in ("heatmap.png", "map.npz", "bundle", "bundle-padded")],
    }


def classifier(seed: int = 0, say: Say = lambda line: None, build: Build = unpadded) -> api.Classifier:
    """The face classifier of a seed, trained."""
    return api.Classifier(train(build, seed, say), window=WINDOW, channels=1, mean=[MEAN], std=[STD], classes=CLASSES)


def _trained(build: Build, seed: int, bundle: Path, say: Say) -> tuple[api.Classifier, float]:
    """A classifier, trained, stored and loaded again, and the seconds of its training."""
    say(f"training it on {WINDOW}×{WINDOW} pixels, faces and others (seed {seed})")
    started = time.perf_counter()
    trained = classifier(seed, lambda line: say(f"  {line}"), build)
    seconds = time.perf_counter() - started
    say(f"  {seconds:.1f} s")
    trained.save(bundle)
    say(f"stored as {bundle} and loaded again from its graph: no code, no trust needed\n")
    return api.load(bundle), seconds


def _searched(known: api.Classifier, image: Path, say: Say) -> tuple[api.ScoreMap, dict[str, Any]]:
    """The exact map, and what the modes and the strongest window are."""
    say(f"every window of {image} at scale {SCALE}, stride 1: one by one (crops), in one pass of the converted network")
    say("(fcn), and what windows share computed once (exact)\n")
    comparison = api.compare(known, image, stride=1, scale=SCALE)
    say(str(comparison))
    say(_in_words(comparison))
    m = api.scan(known, image, stride=1, scale=SCALE)
    peak = m.strongest("face")
    (top, left), (bottom, right) = peak.start, peak.stop
    say(
        f"\nthe face: x {left:g} to {right:g}, y {top:g} to {bottom:g} of the photograph, "
        f"probability {peak.probability:.4f}"
    )
    face = {"x": [left, right], "y": [top, bottom], "probability": peak.probability}
    return m, {"comparison": comparison.as_dict(), "face": face}


def _in_words(comparison: api.Comparison) -> str:
    """What the two fast modes are to the crops, in this network."""
    fcn, exact = comparison.run("fcn"), comparison.run("exact")
    assert fcn is not None
    assert exact is not None
    one_pass = "equal to the crops" if fcn.verdict.exact else "near the crops, not equal to them"
    return (
        f"fcn is {one_pass}, off by up to {fcn.relative_difference:.1g} of the spread between windows; "
        f"exact is equal to them, but for rounding ({exact.relative_difference:.0e})"
    )
