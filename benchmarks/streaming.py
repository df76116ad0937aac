"""Images larger than memory: from a file to the map on disk, against pixels in memory and a loader of patches.

``make streaming``, or ``python -m benchmarks.streaming --only "LeNet" --out docs/benchmarks.md``: rows are kept in
``build/bench`` as they come, and the section is written from all that are there.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

import everywindow as ew
from benchmarks.patches import SETTINGS, Patches, loop
from benchmarks.results import FOLDER, QUICK_FOLDER, Kept, keep, present_conditions, read
from benchmarks.section import STREAMING, with_section
from benchmarks.streaming_page import FileRow, LoaderRow, file_line, loader_line, section
from benchmarks.timed_images import LargeImage
from benchmarks.timing import seconds
from benchmarks.workloads import lenet, torchvision_model
from everywindow.engines import Settings, TileEngine, prepare
from everywindow.geometry import Span, WindowGrid
from everywindow.io import open_source, region_of
from torchvision_shim import make_importable

MEAN, STD, MEMORY = 0.5, 0.25, "6GiB"
TRIAL = 128
"""Patches on which the loader's settings are tried."""


def small_padded() -> nn.Module:
    """Three padded convolutions and two linear layers, for windows of 64×64."""
    layers: list[nn.Module] = []
    for inputs, outputs in ((3, 8), (8, 16), (16, 16)):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(1024, 32), nn.ReLU(), nn.Linear(32, 2))


@dataclass(frozen=True)
class Case:
    """A network over the upper left part of the picture; lengths in pixels."""

    name: str
    title: str
    build: Callable[[], nn.Module]
    window: int
    stride: int
    part: int


@dataclass(frozen=True)
class FileCase(Case):
    """From a file; ``tile`` in windows."""

    suffix: str = "zarr"
    tile: int | None = None


@dataclass(frozen=True)
class LoaderCase(Case):
    """From the TIFF; of more windows than ``most`` the loader takes so many."""

    most: int


_R18 = torchvision_model("resnet18")

FILES = (
    FileCase("file-lenet", "LeNet", lenet, 32, 4, 12288),
    FileCase("file-small", "small padded CNN", small_padded, 64, 32, 12288),
    FileCase("file-small-tif", "small padded CNN", small_padded, 64, 32, 6144, suffix="tif"),
    FileCase("file-resnet18-112", "ResNet-18", _R18, 224, 112, 3584),
    FileCase("file-tiles", "small padded CNN", small_padded, 64, 32, 3072, tile=8),
)
LOADERS = (
    *(LoaderCase(f"loader-small-{s}", "small padded CNN", small_padded, 64, s, 2048, 4096) for s in (64, 32, 16, 8)),
    *(LoaderCase(f"loader-resnet18-{s}", "ResNet-18", _R18, 224, s, 896, 128) for s in (224, 112, 56, 28)),
)
CASES: tuple[FileCase | LoaderCase, ...] = (*FILES, *LOADERS)
NAMES = [case.name for case in CASES]


def measured_file(case: FileCase, image: LargeImage, rounds: int) -> FileRow:
    """The three sides in turns; each keeps the best of its rounds."""
    clf, file = _classifier(case.build, case.window), _file(image, case.suffix)
    pixels = _pixels(clf, file, case.part)
    with TemporaryDirectory(dir=file.parent) as folder:
        out = Path(folder) / "map.zarr"

        def streamed(part: int = case.part, tile: int | None = case.tile) -> ew.Streamed:
            return ew.stream(
                clf,
                file,
                out,
                stride=case.stride,
                roi=[(0, part)] * 2,
                tile=tile,
                memory=MEMORY,
                progress=False,
                overwrite=True,
            )

        def scanned() -> ew.ScoreMap:
            return ew.scan(clf, pixels, stride=case.stride, memory=MEMORY, progress=False)

        streamed(case.window)  # captures the network
        start = min(seconds(lambda: streamed(case.window)) for _ in range(rounds))
        best: dict[str, tuple[float, float]] = {}
        for _ in range(rounds):
            _turn(best, "file", streamed)
            tiles = _Tiles(clf, pixels, case.stride, out)
            _turn(best, "tiles", tiles.scored)
            _turn(best, "memory", scanned)
        whole = tiles.macs([tuple((0, n) for n in tiles.counts)])
        return FileRow(
            case.title,
            case.window,
            case.stride,
            case.part,
            "Zarr" if case.suffix == "zarr" else "TIFF",
            prod(tiles.counts),
            len(tiles.every),
            tiles.engine,
            *best["file"],
            *best["memory"],
            best["tiles"][0],
            start,
            None if whole is None else tiles.macs(tiles.every) / whole - 1,
        )


def measured_loader(case: LoaderCase, image: LargeImage, rounds: int) -> LoaderRow:
    """The loop at its best setting and the run, in turns; and how far their scores are apart."""
    clf, file = _classifier(case.build, case.window), image.tif
    module = clf.module

    def patches(most: int) -> Patches:
        return Patches(file, case.part, case.window, case.stride, most, MEAN, STD)

    with TemporaryDirectory(dir=file.parent) as folder:
        out = Path(folder) / "map.zarr"

        def streamed(part: int = case.part) -> ew.Streamed:
            options: dict[str, Any] = {"memory": MEMORY, "progress": False, "overwrite": True}
            return ew.stream(clf, file, out, stride=case.stride, roi=[(0, part)] * 2, **options)

        streamed(case.window)
        tried = {setting: loop(module, patches(min(TRIAL, case.most)), setting)[0] for setting in SETTINGS}
        setting = min(tried, key=tried.__getitem__)
        best, other = float("inf"), float("inf")
        for _ in range(rounds):
            began = time.perf_counter()
            done = streamed()
            best = min(best, time.perf_counter() - began)
            found, scores = loop(module, patches(case.most), setting)
            other = min(other, found)
        own = ew.ScoreMap.load(out).scores.flatten(1)[:, : scores.shape[1]]
        off = float((own - scores).abs().max() / scores.std(dim=1).max())
    return LoaderRow(
        *(case.title, case.window, case.stride, case.part, done.windows, scores.shape[1], str(setting)),
        *(other, best, done.plan.engine, off),
    )


def _turn(best: dict[str, tuple[float, float]], side: str, call: Callable[[], object]) -> None:
    """Least seconds of a side so far, and least seconds of all its threads on processors."""
    used = time.process_time()
    found = seconds(call), time.process_time() - used
    before = best.get(side, found)
    best[side] = min(before[0], found[0]), min(before[1], found[1])


class _Tiles:
    """The tiles of a run, of pixels in memory and into memory: what computing alone takes."""

    def __init__(self, clf: ew.Classifier, pixels: Tensor, stride: int, out: Path) -> None:
        job = json.loads((out / "run.json").read_text("utf-8"))
        prepared = prepare(clf.module, clf.window, clf.channels)
        self._pixels, self._grid = pixels, WindowGrid(tuple(pixels.shape[1:]), clf.window, (stride, stride))
        self.engine, self.counts = job["settings"]["engine"], tuple(job["counts"])
        self._engine = TileEngine(prepared, clf.window, (stride, stride), Settings(**job["settings"]), job["mode"])
        spans = [[(n, min(n + s, c)) for n in range(0, c, s)] for c, s in zip(job["counts"], job["tile"], strict=True)]
        self.every: list[tuple[Span, ...]] = [(rows, columns) for rows in spans[0] for columns in spans[1]]

    def scored(self) -> None:
        for windows in self.every:
            tile = self._engine.tile(self._grid, windows)
            part = self._pixels[(slice(None), *(slice(*span) for span in tile.pixels))]
            self._engine.scores(part, tile, self._grid)

    def macs(self, tiles: list[tuple[Span, ...]]) -> Any:
        return self._engine.plan(self._grid, tiles).macs


def _classifier(build: Callable[[], nn.Module], window: int) -> ew.Classifier:
    torch.manual_seed(0)
    return ew.Classifier(build().eval(), window=window, mean=[MEAN] * 3, std=[STD] * 3)


def _file(image: LargeImage, suffix: str) -> Path:
    return image.zarr if suffix == "zarr" else image.tif


def _pixels(clf: ew.Classifier, file: Path, part: int) -> Tensor:
    source = open_source(file, 3, 2)
    try:
        return region_of(source, channels=3, mean=clf.mean, std=clf.std).read(((0, part), (0, part)))
    finally:
        source.close()


def main() -> int:
    """Measure what was asked for, print each row as it comes, write the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="the page whose section is written")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, help="of torch, for all sides; by default as many as cores")
    parser.add_argument("--only", nargs="*", metavar="ROW", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--page", action="store_true", help="measure nothing, only write the section")
    parser.add_argument("--quick", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    make_importable()
    torch.set_num_threads(options.threads or torch.get_num_threads())
    folder = QUICK_FOLDER if options.quick else FOLDER
    if not options.page:
        image = LargeImage(folder / "streaming", *([1024] if options.quick else [])).make()
        for case in CASES:
            if not options.only or any(case.name.startswith(name) for name in options.only):
                _measure(case, image, options.rounds, options.quick, folder)
    if options.out is not None:
        files = [kept for case in FILES if (kept := read(folder, case.name, FileRow)) is not None]
        loaders = [other for case in LOADERS if (other := read(folder, case.name, LoaderRow)) is not None]
        page = options.out.read_text("utf-8") if options.out.exists() else ""
        options.out.write_text(with_section(page, section(files, loaders), STREAMING), encoding="utf-8")
    return 0


def _measure(case: FileCase | LoaderCase, image: LargeImage, rounds: int, quick: bool, folder: Path) -> None:
    if quick:
        case = replace(case, part=min(case.part, case.window + 2 * case.stride))
    if isinstance(case, FileCase):
        row = measured_file(case, image, rounds)
        keep(folder, case.name, Kept(row, present_conditions(rounds)))
        print(file_line(row), flush=True)
    else:
        other = measured_loader(case, image, rounds)
        keep(folder, case.name, Kept(other, present_conditions(rounds)))
        print(loader_line(other), flush=True)


if __name__ == "__main__":
    sys.exit(main())
