"""Train a classifier of blood cells on small crops, and see on whole photographs where its maps point.

    python examples/blood_cells.py DATA --out blood-cells

DATA is the BCCD data set (https://github.com/Shenggan/BCCD_Dataset, MIT): 364 photographs of blood smears, with the
boxes of their cells as VOC XML. The crops of training are 128 pixels wide, four times reduced, from the photographs of
its training list; evaluated is on those of its test list:

1. Whole photographs: does the map of a class peak in a box of the class, and how good are the map's boxes? In the modes
   ``exact`` and ``fcn``, at several strides. The network pads with zeros, so the two differ.
2. Single cells, cut out with what is around them, somewhere in the picture and not in its middle: does one crop say
   which cell it is, do ten, do all windows?
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

import everywindow as ew

WINDOW, SCALE = 32, 0.25
"""A window covers 128 pixels of a photograph: a red cell and what is around it."""

CLASSES = ("nothing", "RBC", "WBC", "Platelets")
MEAN, STD = (0.66, 0.64, 0.72), (0.10, 0.16, 0.08)
JITTER_PX = 3
STRIDES = (8, 4, 2)
REGION_PX = 200
"""Side of the pictures of single cells."""


class Cell(NamedTuple):
    """A cell of a photograph: its class, and rows and columns of its box."""

    klass: str
    box: tuple[float, float, float, float]

    @property
    def centre(self) -> np.ndarray:
        top, left, bottom, right = self.box
        return np.array([(top + bottom) / 2, (left + right) / 2])


def network() -> nn.Module:
    """Three padded convolutions and two fully connected layers."""
    layers: list[nn.Module] = []
    for before, after in ((3, 16), (16, 32), (32, 48)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]
    head = (
        nn.Flatten(),
        nn.Linear(48 * (WINDOW // 8) ** 2, 64),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(64, len(CLASSES)),
    )
    return nn.Sequential(*layers, *head)


def names(data: Path, part: str) -> list[str]:
    """The photographs of a list: ``train``, ``val`` or ``test``."""
    return (data / "ImageSets" / "Main" / f"{part}.txt").read_text().split()


def cells(data: Path, name: str) -> list[Cell]:
    """The boxes of a photograph. Some are empty: they are left out."""
    root = ElementTree.parse(data / "Annotations" / f"{name}.xml").getroot()
    found = []
    for thing in root.findall("object"):
        top, left, bottom, right = (
            float(thing.findtext(f"bndbox/{at}", "0")) for at in ("ymin", "xmin", "ymax", "xmax")
        )
        if top < bottom and left < right:
            found.append(Cell(thing.findtext("name", ""), (top, left, bottom, right)))
    return found


def photograph(data: Path, name: str) -> Image.Image:
    return Image.open(data / "JPEGImages" / f"{name}.jpg").convert("RGB")


def crops(data: Path, rng: np.random.Generator, most: int) -> Iterator[tuple[np.ndarray, int]]:
    """Crops of the training photographs, a little larger than a window so that they can be moved, with their class."""
    side = WINDOW + 2 * JITTER_PX
    for name in names(data, "train")[:most]:
        whole = photograph(data, name)
        small = np.asarray(whole.reduce(round(1 / SCALE)))
        known = cells(data, name)
        places = [(cell.centre * SCALE, CLASSES.index(cell.klass)) for cell in known]
        places += [(place * SCALE, 0) for place in empty_places(known, whole.size, rng)]
        padded = np.pad(small, ((side, side), (side, side), (0, 0)), mode="reflect")
        for centre, klass in places:
            top, left = (round(at - side / 2) + side for at in centre)
            yield padded[top : top + side, left : left + side], klass


def empty_places(known: Sequence[Cell], size: tuple[int, int], rng: np.random.Generator) -> list[np.ndarray]:
    """Places whose surroundings hold the middle of no cell."""
    tries = rng.uniform(0, size[::-1], size=(12, 2))
    centres = np.array([cell.centre for cell in known]).reshape(-1, 2)
    return [place for place in tries if len(centres) == 0 or np.abs(centres - place).max(1).min() > 45]


def train(data: Path, seed: int, epochs: int, most: int) -> ew.Classifier:
    """A classifier of crops; the rare classes come as often as the common ones."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    pixels, labels = zip(*crops(data, rng, most), strict=True)
    images = torch.from_numpy(np.stack(pixels)).movedim(-1, 1).float() / 255
    wanted = torch.tensor(labels)
    share = 1 / torch.bincount(wanted, minlength=len(CLASSES)).clamp(min=1)
    clf = ew.Classifier(network(), WINDOW, mean=MEAN, std=STD, classes=CLASSES)
    steps = epochs * len(images) // 128
    optimizer = torch.optim.AdamW(clf.module.parameters(), 2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    clf.module.train()
    for _ in range(steps):
        picked = torch.multinomial(share[wanted], 128, replacement=True)
        optimizer.zero_grad()
        F.cross_entropy(clf.module(varied(images[picked])), wanted[picked]).backward()
        optimizer.step()
        schedule.step()
    clf.module.eval()
    return clf


def varied(images: Tensor) -> Tensor:
    """Moved, mirrored, and a little lighter or darker: all of a batch alike, but for the light."""
    top, left = torch.randint(2 * JITTER_PX + 1, (2,)).tolist()
    batch = images[:, :, top : top + WINDOW, left : left + WINDOW]
    axes = [axis for axis in (2, 3) if torch.rand(()) < 0.5]
    batch = batch.flip(axes) * (0.9 + 0.2 * torch.rand(len(batch), 1, 1, 1))
    batch = batch.transpose(2, 3) if torch.rand(()) < 0.5 else batch
    return (batch - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


def write_list(data: Path, out: Path, most: int) -> Path:
    """A CSV of the test photographs: no labels, for their boxes tell what is in them."""
    file = out / "photographs.csv"
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path"])
        writer.writerows([(data / "JPEGImages" / f"{name}.jpg").resolve()] for name in names(data, "test")[:most])
    return file


def write_cells(data: Path, out: Path, seed: int, most: int) -> Path:
    """A folder per class with pictures of single cells: all white ones, and as many others."""
    rng = np.random.default_rng(seed)
    for name in names(data, "test")[:most]:
        whole = photograph(data, name)
        known = cells(data, name)
        for klass in CLASSES[1:]:
            of_class = [cell for cell in known if cell.klass == klass]
            if of_class:
                cell = of_class[rng.integers(len(of_class))]
                corner = [corner_beside(cell, axis, whole.size[1 - axis], rng) for axis in (0, 1)]
                (out / klass).mkdir(parents=True, exist_ok=True)
                box = (corner[1], corner[0], corner[1] + REGION_PX, corner[0] + REGION_PX)
                whole.crop(box).save(out / klass / f"{name}.png")
    return out


def corner_beside(cell: Cell, axis: int, extent: int, rng: np.random.Generator) -> int:
    """Where a picture begins that holds the middle of a cell, not too near to its border."""
    near = rng.uniform(0.25, 0.75) * REGION_PX
    return int(np.clip(cell.centre[axis] - near, 0, extent - REGION_PX))


def run(data: Path, out: Path, seed: int = 0, epochs: int = 12, most: int = 1000) -> list[tuple[str, ew.Evaluation]]:
    """Train, and evaluate; gives what was found, with a heading for each."""
    started = time.perf_counter()
    clf = train(data, seed, epochs, most)
    print(f"trained in {time.perf_counter() - started:.0f} s")
    clf.save(out / "bundle")
    photographs, boxes = write_list(data, out, most), data / "Annotations"
    found = [
        (
            f"whole photographs, stride {stride} (of {WINDOW})",
            ew.evaluate(clf, photographs, ("exact", "fcn"), stride=stride, scales=(SCALE,), boxes=boxes,
                        reductions=("max",), out=out / f"photographs-{stride}"),
        )
        for stride in STRIDES
    ]  # fmt: skip
    single = write_cells(data, out / "cells", seed, most)
    return [*found, ("single cells, stride 4", ew.evaluate(clf, single, stride=4, scales=(SCALE,), out=out / "single"))]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path, help="folder of the BCCD data set")
    parser.add_argument("--out", type=Path, default=Path("blood-cells"), help="folder for the bundle and the reports")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    for heading, result in run(given.data, given.out, given.seed):
        print(f"\n{heading}\n{result}")


if __name__ == "__main__":
    main()
