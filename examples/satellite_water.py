"""Train a small network on patches of a satellite image, for `everywindow scan` to map water, land and cloud.

    python examples/satellite_water.py RGB.byte.tif --out satellite-water
    everywindow scan RGB.byte.tif --model satellite-water/bundle --stride 4 --out water.zarr

The image is rasterio's RGB.byte.tif: islands of the Bahamas, 300 m a pixel, with a border that holds no data.

The labels are weak: nobody drew them. By the median colour of the middle 3×3 pixels a window is "cloud" where even its
darkest channel is bright, "water" where it is more blue than red, and else "land". So the network learns to imitate a
rule about colour, and the accuracy tells how well it does that, in the southern third of the image; learned is from the
rest. The rule errs where haze lies over land, and in the shadows of clouds. Windows whose middle holds no data have no
class; those that only reach into the border are learned from as they are, with 0 where there is nothing, and a scan
hands them to the network just so. Windows wholly in the border are left out by the scan.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import rasterio
import torch
from scipy import ndimage
from small_networks import Found, learned, network

import everywindow as ew

WINDOW = (16, 16)
CLASSES = ("water", "land", "cloud")
MEAN, STD = (0.17, 0.26, 0.27), (0.25, 0.23, 0.21)
BRIGHT = 0.45
"""Of the darkest channel of a cloud."""


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Pixels ``[H, W, 3]``, 0 to 1, and which of them hold data."""
    with rasterio.open(path) as file:
        pixels = np.moveaxis(file.read((1, 2, 3)), 0, -1)
        return pixels.astype(np.float32) / 255, file.dataset_mask() > 0


def weak_labels(image: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """The class of the window around each pixel; −1 without data."""
    smooth = ndimage.median_filter(image, (3, 3, 1))
    water = smooth[..., 2] > smooth[..., 0]
    labels = np.where(smooth.min(-1) > BRIGHT, 2, np.where(water, 0, 1))
    return np.where(valid, labels, -1).astype(np.int8)


def run(path: Path, out: Path, seed: int = 0, steps: int = 400) -> Found:
    """Train, write the bundle, and give how well it does in the south."""
    torch.manual_seed(seed)
    image, valid = read(path)
    clf = ew.Classifier(network(WINDOW, 3, len(CLASSES), (16, 32)), WINDOW, mean=MEAN, std=STD, classes=CLASSES)
    height, width = valid.shape
    cut = height * 2 // 3
    parts = (((0, cut), (0, width)), ((cut, height), (0, width)))
    found = learned(clf, image, weak_labels(image, valid), parts, steps, each=3000, seed=seed, flips=(2, 3))
    clf.save(out / "bundle")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("image", type=Path, help="rasterio's RGB.byte.tif")
    parser.add_argument("--out", type=Path, default=Path("satellite-water"), help="folder for the bundle")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    print(run(given.image, given.out, given.seed))


if __name__ == "__main__":
    main()
