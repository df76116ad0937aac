"""Faces, and what is none, from the files that scikit-image carries. Nothing is downloaded."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import numpy as np
from PIL import Image

from everywindow.errors import DependencyError

WINDOW = 25
"""Extent of the faces, in pixels."""

FACES = 100
"""The first hundred pictures of ``lfw_subset`` are faces, the others are not."""

BACKGROUNDS = (
    *("brick.png", "cell.png", "chelsea.png", "clock_motion.png", "coffee.png", "coins.png", "color.png", "grass.png"),
    *("gravel.png", "horse.png", "hubble_deep_field.jpg", "ihc.png", "logo.png", "microaneurysms.png", "moon.png"),
    *("motorcycle_left.png", "page.png", "retina.jpg", "rocket.jpg", "text.png"),
)
"""Pictures without a human face. The astronaut, who is to be found, is not among them."""

SHRINK = (2, 4, 8)
"""The pictures are used at these fractions of their size: each then shows other structure per window."""


def carried(name: str) -> Path:
    """Path of a file that scikit-image's wheel carries.

    Raises:
        DependencyError: scikit-image is absent, or carries no such file.
    """
    remedy = "pip install scikit-image"
    try:
        path = Path(str(resources.files("skimage.data") / name))
    except ImportError as error:
        if (error.name or "skimage").partition(".")[0] != "skimage":
            why = f"installed, but cannot be imported ({error})"
            raise DependencyError("scikit-image", why, "install what it lacks, or it again") from error
        raise DependencyError("scikit-image", "not installed, and the demo's pictures come with it", remedy) from error
    if not path.is_file():
        raise DependencyError("scikit-image", f"this version does not carry {name}", remedy)
    return path


def labelled_windows() -> tuple[np.ndarray, np.ndarray]:
    """``lfw_subset`` as faces and others, each ``float32 [100, 25, 25]`` from 0 to 1."""
    pictures = np.load(carried("lfw_subset.npy"), allow_pickle=False).astype(np.float32)
    return pictures[:FACES], pictures[FACES:]


def backgrounds() -> list[np.ndarray]:
    """The gray photographs at all fractions of their size, ``float32`` from 0 to 1."""
    found = []
    for name in BACKGROUNDS:
        with Image.open(carried(name)) as picture:
            gray = picture.convert("L")
        for divisor in SHRINK:
            small = np.asarray(gray.reduce(divisor), np.float32) / 255
            if min(small.shape) >= WINDOW:
                found.append(small)
    return found
