"""Train a small network on blocks of a magnetic resonance volume, for `everywindow scan` to map kinds of tissue.

    python examples/mri_head.py someones_anatomy.nii.gz --out mri-head
    everywindow scan someones_anatomy.nii.gz --model mri-head/bundle --stride 1 --out head.zarr

The volume is nibabel's someones_anatomy.nii.gz, 57×67×56 voxels of 2.75 mm.

The labels are weak: no anatomist drew them. Otsu's two thresholds split the volume's brightness, after a median over
3×3×3 voxels, in three: "dark" (air, bone and the midst of fluid), "medium" (skin, the rim of fluid and of grey matter)
and "bright" (nearly all of the brain, grey matter too, and fat); a window has the class of its middle. So the network
learns to imitate thresholds, and the accuracy tells how well it does that, in the last third along the second axis;
learned is from the rest.

Values are taken as they are in the file, in its own units: a scan does not scale those of NIfTI. So mean and deviation
of the classifier are 0 and 1, and the network begins by normalising.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import nibabel
import numpy as np
import torch
from scipy import ndimage
from skimage.filters import threshold_multiotsu
from small_networks import Found, learned, network

import everywindow as ew

WINDOW = (8, 8, 8)
CLASSES = ("dark", "medium", "bright")


def read(path: Path) -> np.ndarray:
    """Voxels ``[X, Y, Z, 1]`` in the file's units."""
    return np.asarray(nibabel.load(path).dataobj, np.float32)[..., None]


def weak_labels(image: np.ndarray) -> np.ndarray:
    """The class of the window around each voxel."""
    smooth = ndimage.median_filter(image[..., 0], 3)
    return np.digitize(smooth, threshold_multiotsu(smooth, classes=len(CLASSES))).astype(np.int8)


def run(path: Path, out: Path, seed: int = 0, steps: int = 300) -> Found:
    """Train, write the bundle, and give how well it does in the last third."""
    torch.manual_seed(seed)
    image = read(path)
    clf = ew.Classifier(network(WINDOW, 1, len(CLASSES), (16, 32)), WINDOW, mean=0, std=1, classes=CLASSES)
    wide, long, high = image.shape[:3]
    cut = long * 2 // 3
    parts = (((0, wide), (0, cut), (0, high)), ((0, wide), (cut, long), (0, high)))
    found = learned(clf, image, weak_labels(image), parts, steps, each=4000, seed=seed, flips=(2,))
    clf.save(out / "bundle")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("volume", type=Path, help="nibabel's someones_anatomy.nii.gz")
    parser.add_argument("--out", type=Path, default=Path("mri-head"), help="folder for the bundle")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    print(run(given.volume, given.out, given.seed))


if __name__ == "__main__":
    main()
