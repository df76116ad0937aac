"""Draws the pictures of docs/slides.md, satellite.md, signals.md and volumes.md: maps over the files they were made of.

    python docs/images/draw_maps.py shared/data [slide satellite signal volume]

Each network is trained by its script under examples/, and scans its file in exact mode.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import everywindow as ew

HOME = Path(__file__).resolve().parent
sys.path.insert(0, str(HOME.parents[1] / "examples"))

ORANGE, BLUE = "#d55e00", "#0072b2"
BLUES = LinearSegmentedColormap.from_list("medium", [(0, "#56b4e900"), (0.5, "#56b4e955"), (1, "#0072b2a6")])
ORANGES = LinearSegmentedColormap.from_list("sure", [(0, "#e69f0000"), (0.5, "#e69f0055"), (1, "#d55e00a6")])
PART = (slice(1000, 1500), slice(900, 1650))
BEATS = (1560, 1580)
"""Seconds of the recording: with premature beats, and long after those that were learned from."""

SLICES = (16, 26, 38)


def scanned(clf: ew.Classifier, path: Path, work: Path, **options: Any) -> ew.ScoreMap:
    """The map of a file."""
    ew.stream(clf, path, work / "map.zarr", progress=False, **options)
    return ew.ScoreMap.load(work / "map.zarr")


def probabilities(m: ew.ScoreMap, klass: str) -> np.ndarray:
    """Of one class at each window."""
    found: np.ndarray = m.probabilities()[m.class_index(klass)].cpu().numpy()
    return found


def extent(m: ew.ScoreMap, x: int = 1, y: int = 0) -> tuple[float, float, float, float]:
    """Where a map's cells lie in the image's pixels: left, right, bottom, top, as matplotlib wants them."""
    edge, cell = m.where.first_edge(), m.where.cell()
    ends = [first + step * n for first, step, n in zip(edge, cell, m.counts, strict=True)]
    return edge[x], ends[x], ends[y], edge[y]


def show(axes: Axes, image: np.ndarray, title: str) -> None:
    """An image in its own pixels, counted from the edge of the first."""
    height, width = image.shape[:2]
    axes.imshow(image, extent=(0, width, height, 0), cmap="gray")
    axes.set_title(title, fontsize=9, loc="left")
    axes.set_xticks([])
    axes.set_yticks([])


def slide(data: Path, work: Path) -> Figure:
    """Nuclei: the whole slide, and a part of it without and with the map."""
    import slide_tissue

    path = data / "slide" / "small_HE.svs"
    slide_tissue.run(path, work)
    image, _ = slide_tissue.read(path)
    m = scanned(ew.load(work / "bundle"), path, work, stride=16, mask="auto")
    nuclei = probabilities(m, "nuclei")
    figure = Figure((9, 5.6), layout="constrained")
    whole, plain, over = figure.subplot_mosaic([["w", "p"], ["w", "o"]], width_ratios=(1, 1.02)).values()
    rows, columns = PART
    for axes, title in (
        (whole, "nuclei, over the whole slide"),
        (plain, "the part in the frame"),
        (over, "with the map"),
    ):
        show(axes, image, title)
        if axes is not plain:
            axes.imshow(nuclei, extent=extent(m), cmap=ORANGES, vmin=0, vmax=1, interpolation="nearest")
        axes.set(xlim=(0, image.shape[1]), ylim=(image.shape[0], 0))
    for axes in (plain, over):
        axes.set(xlim=(columns.start, columns.stop), ylim=(rows.stop, rows.start))
    frame = (columns.start, rows.start), columns.stop - columns.start, rows.stop - rows.start
    whole.add_patch(Rectangle(*frame, fill=False, edgecolor="black", linewidth=1.2))
    return figure


def satellite(data: Path, work: Path) -> Figure:
    """Land: the scene, and the map over it, in kilometers of its reference system."""
    import rasterio
    import satellite_water

    path = data / "geotiff" / "RGB.byte.tif"
    satellite_water.run(path, work)
    image, valid = satellite_water.read(path)
    m = scanned(ew.load(work / "bundle"), path, work, stride=2)
    with rasterio.open(path) as file:
        place, system = file.transform, file.crs.to_string()
    left, top = place.c / 1000, place.f / 1000
    right, bottom = left + place.a * image.shape[1] / 1000, top + place.e * image.shape[0] / 1000
    figure = Figure((9, 4.4), layout="constrained")
    for axes, with_map in zip(figure.subplots(1, 2, sharey=True), (False, True), strict=True):
        axes.imshow(np.where(valid[..., None], np.clip(image * 1.3, 0, 1), 1), extent=(left, right, bottom, top))
        axes.set_title("land, over the scene" if with_map else "RGB.byte.tif", fontsize=9, loc="left")
        axes.set_xlabel(f"km east, {system}", fontsize=8)
        axes.tick_params(labelsize=8)
        if with_map:
            a, _, c, _, e, f = m.where.affine((place.a, 0, place.c, 0, place.e, place.f))
            rows, columns = m.counts
            where = tuple(v / 1000 for v in (c, c + a * columns, f + e * rows, f))
            axes.imshow(probabilities(m, "land"), extent=where, cmap=ORANGES, vmin=0, vmax=1)
        axes.set(xlim=(left, right), ylim=(bottom, top), facecolor="white")
    figure.axes[0].set_ylabel("km north", fontsize=8)
    return figure


def signal(data: Path, work: Path) -> Figure:
    """Beats: a stretch of the recording with what people said of it, and the map beneath."""
    import ecg_beats

    path = data / "ecg" / "100"
    ecg_beats.run(path, work)
    millivolts, beats, symbols, rate = ecg_beats.read(path)
    first, last = (round(second * rate) for second in BEATS)
    m = scanned(ew.load(work / "bundle"), path.with_suffix(".hea"), work, stride=4, roi=((first - 256, last + 256),))
    figure = Figure((9, 3.9), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(1.3, 1))
    upper.plot(np.arange(first, last) / rate, millivolts[first:last, 0], color="#333333", linewidth=0.8)
    for beat, symbol in zip(beats, symbols, strict=True):
        if first <= beat < last:
            colour = ORANGE if symbol == "A" else BLUE
            upper.text(beat / rate, 1.25, symbol, color=colour, ha="center", fontsize=9, weight="bold")
            for axes in (upper, lower):
                axes.axvline(beat / rate, color=colour, linewidth=0.6, alpha=0.5)
    middles = m.where.centre((0,))[0] + m.where.cell()[0] * np.arange(m.counts[0])
    for klass, colour in (("normal", BLUE), ("premature", ORANGE)):
        lower.fill_between(middles / rate, probabilities(m, klass), color=colour, alpha=0.75, linewidth=0, label=klass)
    upper.set_ylabel("lead MLII, mV", fontsize=8)
    upper.set(ylim=(-0.9, 1.55))
    upper.set_title("record 100; N: normal, A: premature, as cardiologists say", fontsize=9, loc="left")
    lower.set_ylabel("probability", fontsize=8)
    lower.set_xlabel("middle of the window, s", fontsize=8)
    lower.set(xlim=BEATS, ylim=(0, 1.4), yticks=(0, 0.5, 1))
    lower.legend(fontsize=8, loc="upper right", ncols=2)
    for axes in (upper, lower):
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def volume(data: Path, work: Path) -> Figure:
    """Kinds of tissue: three slices of the volume, and the map over them."""
    import mri_head

    path = data / "mri" / "someones_anatomy.nii.gz"
    mri_head.run(path, work)
    voxels = mri_head.read(path)[..., 0]
    m = scanned(ew.load(work / "bundle"), path, work, stride=1)
    figure = Figure((9, 6.6), layout="constrained")
    grid = figure.subplots(2, len(SLICES))
    for axes, level in zip(grid.T, SLICES, strict=True):
        nearest = round((level + 0.5 - m.where.centre((0, 0, 0))[2]) / m.where.cell()[2])
        for one, title in zip(
            axes, (f"slice {level} of the third axis", "medium (blue), bright (orange)"), strict=True
        ):
            show(one, voxels[..., level].T, title)
        for klass, colours in (("medium", BLUES), ("bright", ORANGES)):
            there = probabilities(m, klass)[..., nearest].T
            axes[1].imshow(there, extent=extent(m, x=0, y=1), cmap=colours, vmin=0, vmax=1)
        for one in axes:
            one.set(xlim=(0, voxels.shape[0]), ylim=(0, voxels.shape[1]))
    return figure


PICTURES: dict[str, tuple[Callable[[Path, Path], Figure], str]] = {
    "slide": (slide, "slide.jpg"),
    "satellite": (satellite, "satellite.jpg"),
    "signal": (signal, "signal.png"),
    "volume": (volume, "volume.jpg"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path, help="folder with slide/, geotiff/, ecg/ and mri/")
    parser.add_argument("names", nargs="*", choices=[*PICTURES, []], metavar="NAME", help="which ones; all by default")
    given = parser.parse_args()
    for name in given.names or PICTURES:
        draw, file = PICTURES[name]
        with tempfile.TemporaryDirectory() as work:
            figure = draw(given.data, Path(work))
        options: dict[str, Any] = {"pil_kwargs": {"quality": 82}} if file.endswith(".jpg") else {}
        figure.savefig(HOME / file, dpi=110, **options)
        print(HOME / file, f"{(HOME / file).stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
