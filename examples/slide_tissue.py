"""Train a small network on patches of a stained slide, for `everywindow scan` to map nuclei on it.

    python examples/slide_tissue.py SLIDE.svs --out slide-tissue
    everywindow scan SLIDE.svs --model slide-tissue/bundle --stride 16 --out tissue.zarr

The labels are weak: no pathologist drew them. Colour deconvolution (Ruifrok and Johnston 2001, as scikit-image has it)
tells how much haematoxylin, the blue stain of nuclei, a pixel holds; a window is called "nuclei" where at least 30 % of
its middle 32×32 pixels hold more than Otsu's threshold, "background" where most of them are pale, and else "other
tissue". So the network learns to imitate a rule about colour, and the accuracy tells how well it does that, on the
lower third of the slide; learned is from the rest. Keratin, which takes up the stain as well, is "nuclei" here.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import openslide
import torch
from scipy import ndimage
from skimage.color import rgb2hed
from skimage.filters import threshold_otsu
from small_networks import Found, learned, network

import everywindow as ew

WINDOW, MIDDLE = (64, 64), 32
CLASSES = ("background", "other tissue", "nuclei")
MEAN, STD = (0.83, 0.72, 0.80), (0.19, 0.28, 0.20)
NUCLEI, PALE = 0.3, 0.06
"""Share of a window's middle that is stained; saturation of the glass."""


def read(path: Path) -> tuple[np.ndarray, float | None]:
    """The slide's finest level, 0 to 1, and micrometres per pixel."""
    with openslide.OpenSlide(path) as slide:
        pixels = np.asarray(slide.read_region((0, 0), 0, slide.dimensions).convert("RGB"))
        spacing = slide.properties.get(openslide.PROPERTY_NAME_MPP_X)
    return pixels.astype(np.float32) / 255, None if spacing is None else float(spacing)


def weak_labels(image: np.ndarray) -> np.ndarray:
    """The class of the window around each pixel."""
    high = image.max(-1)
    matter = (high - image.min(-1)) > PALE * np.maximum(high, 1e-6)
    stain = rgb2hed(image)[..., 0]
    strong = np.minimum(stain, np.quantile(stain[matter], 0.99))  # ink is beyond all stains
    nuclei = matter & (stain > threshold_otsu(strong[matter]))
    share_matter, share_nuclei = (
        ndimage.uniform_filter(mask.astype(np.float32), MIDDLE, mode="nearest") for mask in (matter, nuclei)
    )
    return np.where(share_nuclei >= NUCLEI, 2, share_matter >= 0.5).astype(np.int8)


def run(path: Path, out: Path, seed: int = 0, steps: int = 150) -> Found:
    """Train, write the bundle, and give how well it does on the lower third."""
    torch.manual_seed(seed)
    image, spacing = read(path)
    module = network(WINDOW, 3, len(CLASSES))
    clf = ew.Classifier(module, WINDOW, mean=MEAN, std=STD, classes=CLASSES, spacing_um_px=spacing)
    height, width = image.shape[:2]
    cut = height * 2 // 3
    parts = (((0, cut), (0, width)), ((cut, height), (0, width)))
    found = learned(clf, image, weak_labels(image), parts, steps, each=1000, seed=seed, flips=(2, 3))
    clf.save(out / "bundle")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("slide", type=Path, help="a stained slide that OpenSlide opens, small enough for memory")
    parser.add_argument("--out", type=Path, default=Path("slide-tissue"), help="folder for the bundle")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    print(run(given.slide, given.out, given.seed))


if __name__ == "__main__":
    main()
