"""Regions: what is scanned is what a whole image gives, in boxes of any shape, at any resolution."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import tifffile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from everywindow.errors import InputError
from everywindow.io import ArraySource, Box, Level, Placement, Region, open_source, read_image, region_of
from everywindow.io.arrays import grey, normalised, unit_channels
from everywindow.io.resampling import AxisResampling, resample

RNG = np.random.default_rng(3)
RGB = RNG.integers(0, 256, (61, 83, 3), dtype=np.uint8)
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


class Levels:
    """Arrays in memory as the levels of a source, with the pixels that hold no data."""

    path, format = "levels", "test"

    def __init__(self, *arrays: np.ndarray, spacing: tuple[float, ...] | None = None, unit: str | None = None) -> None:
        self.arrays, self.channels, self.dtype = arrays, arrays[0].shape[-1], arrays[0].dtype
        self.placement, self.physical = Placement(spacing, unit), False
        self.absent: np.ndarray | None = None
        whole = arrays[0].shape[:-1]
        ratios = [tuple(n / m for n, m in zip(whole, a.shape[:-1], strict=True)) for a in arrays]
        self.levels = tuple(Level(a.shape[:-1], ratio) for a, ratio in zip(arrays, ratios, strict=True))

    def read(self, box: Box, level: int = 0) -> np.ndarray:
        return self.arrays[level][tuple(slice(*span) for span in box)]

    def valid(self, box: Box, level: int = 0) -> np.ndarray | None:
        return None if self.absent is None else ~self.absent[tuple(slice(*span) for span in box)]

    def close(self) -> None: ...


def whole(region: Region) -> Box:
    return tuple((0, n) for n in region.size)


def part(values: Any, box: Box) -> Any:
    return values[(slice(None), *(slice(*span) for span in box))]


# Any box


@st.composite
def regions(draw: st.DrawFn) -> tuple[Region, Box]:
    axes = draw(st.integers(1, 3))
    most = {1: 200, 2: 40, 3: 12}[axes]
    size = tuple(draw(st.integers(1, most)) for _ in range(axes))
    channels = draw(st.integers(1, 3))
    dtype = draw(st.sampled_from([np.uint8, np.uint16, np.float32]))
    values = np.random.default_rng(draw(st.integers(0, 99))).random((*size, channels))
    if dtype != np.float32:
        values = values * np.iinfo(dtype).max
    options: dict[str, Any] = {"pad": draw(st.integers(0, 3))}
    if draw(st.booleans()):
        options["scale"] = draw(st.floats(0.05, 3))
    if draw(st.booleans()):
        options["roi"] = [draw(span_of(n)) for n in size]
    if draw(st.booleans()):
        options |= {"mean": MEAN[:channels], "std": STD[:channels]}
    source = Levels(values.astype(dtype))
    if draw(st.booleans()):
        source.absent = values[..., 0] < np.quantile(values[..., 0], 0.3)
    region = region_of(source, channels=channels, **options)
    return region, tuple(tuple(sorted(draw(span_of(n, whole=True)))) for n in region.size)


def span_of(n: int, whole: bool = False) -> st.SearchStrategy[Any]:
    if whole:
        return st.tuples(st.integers(0, n - 1), st.integers(1, n)).map(
            lambda s: (min(s[0], s[1] - 1), max(s[1], s[0] + 1))
        )
    return st.tuples(st.floats(0, n - 0.5), st.floats(0.01, n)).map(lambda s: (s[0], min(s[0] + s[1], n)))


@settings(max_examples=250)
@given(regions())
def test_any_box_is_bit_for_bit_the_same_of_the_whole(drawn: tuple[Region, Box]) -> None:
    region, box = drawn
    everything = region.read(whole(region))
    assert everything.dtype == torch.float32
    assert tuple(everything.shape) == (region.channels, *region.size)
    assert torch.equal(region.read(box), part(everything, box))
    valid, held = region.valid(whole(region)), region.valid(box)
    if valid is not None and held is not None:
        np.testing.assert_array_equal(held, valid[tuple(slice(*span) for span in box)])


@settings(max_examples=60)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 3))
def test_resampling_is_torchs_own_in_double_precision(size: int, out: int, channels: int) -> None:
    values = np.random.default_rng(size).random((channels, size))
    ours = resample(values, [AxisResampling(size, out)], [(0, size)], [(0, out)])
    # Rows of one channel: torch repeats the first value where the width is 1.
    rows = torch.from_numpy(values)[None, None]
    theirs = F.interpolate(rows, size=(channels, out), mode="bilinear", antialias=True)[0, 0]
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=0, atol=1e-12)


def test_boxes_of_a_long_signal() -> None:
    region = region_of(ArraySource(RNG.random((1_000_003, 1)), "signal"), channels=1, scale=0.3701)
    everything = region.read(whole(region))
    for start, stop in np.sort(RNG.integers(0, region.size[0], (50, 2)), axis=1):
        box = ((int(start), int(stop) + 1),)
        assert torch.equal(region.read(box), part(everything, box))


# The same as a whole picture


@pytest.mark.parametrize("kind", ["rgb.png", "rgb.jpg", "grey.png", "grey16.png", "rgb.tif", "rgb16.tif", "float.tif"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("options", [{}, {"pad": 2}, {"scale": 0.4}, {"scale": 1.5, "pad": [1, 4]}])
def test_a_picture_is_what_read_image_gives(tmp_path: Path, kind: str, channels: int, options: dict[str, Any]) -> None:
    path = tmp_path / kind
    if kind in ("rgb16.tif", "float.tif"):
        values = RGB.astype(np.uint16) * 251 if kind == "rgb16.tif" else RGB.astype(np.float32) / 255
        tifffile.imwrite(path, values, photometric="rgb", rowsperstrip=7)
    else:
        values = RGB if kind.startswith("rgb") else RGB[..., 0]
        PIL.Image.fromarray(values.astype(np.uint16) * 257 if "16" in kind else values).save(path)
    mean, std = MEAN[:channels], STD[:channels]
    expected = read_image(path, channels=channels, mean=mean, std=std, **options)
    with closing(open_source(path, channels, 2)) as source:
        region = region_of(source, channels=channels, mean=mean, std=std, **options)
        assert region.size == expected.size
        assert torch.equal(region.read(whole(region)), expected.pixels)


def test_grey_of_eight_bits_is_pillows() -> None:
    every = np.stack(np.meshgrid(*[np.arange(0, 256, 5, dtype=np.uint8)] * 3), -1).reshape(-1, 52, 3)
    np.testing.assert_array_equal(grey(every), np.asarray(PIL.Image.fromarray(every).convert("L")))


# Levels

SIZES = [(400, 600), (200, 300), (100, 150), (25, 37)]


def pyramid(spacing: float | None = 0.25, unit: str = "micrometer") -> Levels:
    arrays = [np.full((*size, 3), number, np.uint8) for number, size in enumerate(SIZES)]
    known = None if spacing is None else (spacing, spacing)
    return Levels(*arrays, spacing=known, unit=unit if spacing else None)


@pytest.mark.parametrize(
    ("options", "level", "size"),
    [
        ({}, 0, (400, 600)),
        ({"level": 2}, 2, (100, 150)),
        ({"spacing": 0.25}, 0, (400, 600)),
        ({"spacing": 0.2524}, 0, (400, 600)),
        ({"spacing": 0.2476}, 0, (400, 600)),
        ({"spacing": 0.254}, 0, (394, 591)),
        ({"spacing": 0.504}, 1, (200, 300)),
        ({"spacing": 0.7}, 1, (143, 214)),
        ({"spacing": 1}, 2, (100, 150)),
        ({"spacing": 3.9}, 2, (26, 38)),
        ({"spacing": 40}, 3, (2, 4)),
        ({"scale": 1}, 0, (400, 600)),
        ({"scale": 0.999}, 0, (400, 599)),
        ({"scale": 0.5}, 1, (200, 300)),
        ({"scale": 0.3}, 1, (120, 180)),
        ({"scale": 2}, 0, (800, 1200)),
    ],
)
def test_the_level_that_is_read(options: dict[str, Any], level: int, size: tuple[int, ...]) -> None:
    region = region_of(pyramid(), channels=3, **options)
    assert (region.level, region.size, region.image_size, region.origin) == (level, size, size, (0.0, 0.0))
    assert (region.read(((0, 2), (1, 2))) * 255).round().unique().tolist() == [level]
    np.testing.assert_allclose(np.multiply(region.downsample, size), SIZES[0], rtol=1e-12)


@pytest.mark.parametrize(("unit", "spacing"), [("millimeter", 500), ("meter", 500_000), ("second", 0.5)])
def test_lengths_are_asked_for_in_micrometers(unit: str, spacing: float) -> None:
    assert region_of(pyramid(0.25, unit), channels=3, spacing=spacing).level == 1


@pytest.mark.parametrize(
    ("spacing", "options", "why"),
    [
        (0.25, {"spacing": 0.2}, r"0.2 micrometer per pixel is finer than levels, whose levels have 0.25, 0.5, 1, 4×"),
        (None, {"spacing": 0.5}, "does not tell how large its pixels are; give a level or a scale"),
        (0.25, {"spacing": -1}, "spacing: -1 is not a positive number"),
        (0.25, {"scale": float("nan")}, "scale: nan is not a positive number"),
        (0.25, {"level": 4}, r"has no level 4; give one of 0 \(400×600\), 1 \(200×300\)"),
        (0.25, {"level": -1}, "has no level -1"),
        (0.25, {"level": 0, "scale": 0.5}, "give one of them"),
        (0.25, {"roi": [(0, 10)]}, "roi: has 1 axes, levels has 2"),
        (0.25, {"roi": [(10, 10), (0, 600)]}, "roi: 10:10 holds no pixel of 0:400"),
        (0.25, {"roi": [(0, 10), (600, 700)]}, "roi: 600:700 holds no pixel of 0:600"),
        (0.25, {"pad": -1}, "pad: -1 is not a number of pixels"),
        (0.25, {"channels": 4}, "has 3 channels, the classifier takes 4"),
        (0.25, {"channels": 1, "raw": True}, "has 3 channels, the classifier takes 1"),
    ],
)
def test_what_cannot_be_scanned(spacing: float | None, options: dict[str, Any], why: str) -> None:
    with pytest.raises(InputError, match=why):
        region_of(pyramid(spacing), **({"channels": 3} | options))


# A part of the image


@pytest.mark.parametrize(
    ("roi", "level", "spans"),
    [
        ([(10, 20), (30, 45)], 0, [(10, 20), (30, 45)]),
        ([(9.2, 19.5), (30, 45)], 0, [(9, 20), (30, 45)]),
        ([(10, 20), (30, 45)], 1, [(5, 10), (15, 23)]),
        ([(0.1, 0.2), (599.7, 600)], 1, [(0, 1), (299, 300)]),
        ([(-50, 900), (-1, 3)], 0, [(0, 400), (0, 3)]),
        ([(16 * 3, 16 * 5), (0, 600)], 3, [(3, 5), (0, 37)]),
    ],
)
def test_a_part_is_widened_to_whole_scanned_pixels(roi: Any, level: int, spans: Any) -> None:
    region = region_of(pyramid(), channels=3, roi=roi, level=level)
    assert region.origin == tuple(float(start) for start, _ in spans)
    assert region.image_size == tuple(stop - start for start, stop in spans)


@pytest.mark.parametrize("options", [{}, {"scale": 0.37}])
def test_a_part_is_the_same_as_in_the_whole_but_for_its_padding(options: dict[str, Any]) -> None:
    source = ArraySource(RGB, "image")
    everything = region_of(source, channels=3, mean=MEAN, std=STD, **options)
    region = region_of(source, channels=3, mean=MEAN, std=STD, roi=[(10, 40), (20, 70)], pad=2, **options)
    values = region.read(whole(region))
    assert values[:, :2].abs().max() == values[:, :, -2:].abs().max() == 0
    start = [int(o) for o in region.origin]
    box = tuple((o, o + n) for o, n in zip(start, region.image_size, strict=True))
    assert torch.equal(values[:, 2:-2, 2:-2], everything.read(box))


def test_boxes_outside_are_refused() -> None:
    region = region_of(ArraySource(RGB, "image"), channels=3, pad=1)
    with pytest.raises(InputError, match="0:64 is not within the region's 0:63"):
        region.read(((0, 64), (0, 5)))


# Values


def test_values_as_they_are() -> None:
    values = RNG.normal(size=(50, 2)) * 1000
    for source in (ArraySource(values, "ecg", physical=True), ArraySource(values.astype(np.int32), "ecg")):
        region = region_of(source, channels=2, raw=True, mean=(5, 6), std=(7, 8))
        expected = (np.asarray(source.array).astype(np.float32).T - [[5], [6]]) / [[7], [8]]
        np.testing.assert_allclose(region.read(((0, 50),)), expected, rtol=1e-5, atol=1e-4)
    assert region_of(ArraySource(values, "ecg", physical=True), channels=2).raw


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (np.full((4, 4, 1), 7.0), r"floats from 7 to 7.*in the box 1:3 × 0:4 of level 0.*raw=True \(--raw\)"),
        (np.full((4, 4, 1), -7, np.int16), r"down to -7.*in the box 1:3 × 0:4 of level 0.*raw=True \(--raw\)"),
        (np.full((4, 4, 1), np.nan), r"8 of 8 values are NaN.*in the box 1:3 × 0:4 of level 0.*; replace them"),
    ],
)
def test_values_that_are_no_brightness(values: np.ndarray, why: str) -> None:
    with pytest.raises(InputError, match=why):
        region_of(ArraySource(values, "image"), channels=1).read(((1, 3), (0, 4)))


def test_integers_of_no_agreed_range_are_refused_at_once() -> None:
    source = ArraySource(np.zeros((4, 4, 1), np.int32), "image")
    with pytest.raises(InputError, match=r"32 bits have no agreed range.*raw=True \(--raw\)"):
        region_of(source, channels=1)
    assert region_of(source, channels=1, raw=True).read(((0, 4), (0, 4))).abs().max() == 0


@pytest.mark.parametrize("nothing", [np.nan, -9999.0])
@pytest.mark.parametrize("raw", [False, True])
def test_pixels_without_data_are_the_mean(nothing: float, raw: bool) -> None:
    values = RNG.random((20, 30, 1)).astype(np.float32)
    source = Levels(np.where(values < 0.3, np.float32(nothing), values))
    source.absent = values[..., 0] < 0.3
    region = region_of(source, channels=1, mean=[0.5], std=[0.25], raw=raw)
    expected = np.where(values < 0.3, 0, (values - 0.5) / 0.25)[..., 0]
    np.testing.assert_allclose(region.read(whole(region))[0], expected, atol=1e-6)
    np.testing.assert_array_equal(region.valid(whole(region)), ~source.absent)


def test_stored_brightness_stays_where_there_is_no_data() -> None:
    source = Levels(RGB)
    source.absent = np.ones(RGB.shape[:2], bool)
    region = region_of(source, channels=3)
    np.testing.assert_allclose(region.read(whole(region)).movedim(0, -1), RGB / 255, atol=1e-6)


def test_padding_holds_data_and_so_do_pixels_of_which_half_does() -> None:
    source = Levels(np.zeros((8, 8, 1), np.uint8))
    source.absent = np.zeros((8, 8), bool)
    source.absent[:4] = True
    region = region_of(source, channels=1, pad=1)
    valid = region.valid(whole(region))
    assert valid is not None
    assert valid[0].all()
    assert not valid[1:5, 1:-1].any()
    assert valid[5:].all()
    assert region.valid(((0, 1), (0, 10))) is None
    half = region_of(source, channels=1, scale=0.5).valid(((0, 4), (0, 4)))
    np.testing.assert_array_equal(half, [[False] * 4, [False] * 4, [True] * 4, [True] * 4])


# Memory

MEASURE = """
import sys
from everywindow.io import open_source, region_of
def kilobytes(name):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name))
region = region_of(open_source(sys.argv[1], 3, 2), channels=3, mean=[.5]*3, std=[.5]*3, scale=eval(sys.argv[2]))
region.read(tuple((0, 8) for _ in region.size))
before = kilobytes("VmRSS")
region.read(tuple((0, n) for n in region.size))
print((kilobytes("VmHWM") - before) * 1024 / (region.size[0] * region.size[1]), region.bytes_per_pixel)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is measured by Linux's own count")
@pytest.mark.parametrize("scale", [None, 0.5, 0.23])
def test_reading_takes_no_more_memory_than_it_says(tmp_path: Path, scale: float | None) -> None:
    np.save(tmp_path / "x.npy", np.tile(RGB, (40, 30, 1)))
    command = [sys.executable, "-c", MEASURE, str(tmp_path / "x.npy"), str(scale)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    took, said = (float(word) for word in run.stdout.split())
    assert said / 3 < took < said


# Integers are converted in one step, in parts


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("given", [(MEAN, STD), (MEAN, None), (None, STD), (None, None)])
def test_every_integer_becomes_what_it_becomes_in_a_whole_image(dtype: Any, given: Any) -> None:
    mean, std = given
    every = np.arange(np.iinfo(dtype).max + 1).astype(dtype)
    values = np.stack([every, every[::-1], np.roll(every, 7)], -1).reshape(16, -1, 3)
    expected = unit_channels(values, 2)
    for channel in range(3):
        if mean is not None:
            expected[channel] -= torch.tensor(mean[channel])
        if std is not None:
            expected[channel] /= torch.tensor(std[channel])
    region = region_of(Levels(values), channels=3, mean=mean, std=std)
    assert region.read(whole(region)).equal(expected)


@pytest.mark.parametrize("size", [(300_001,), (700, 401), (3, 200_000), (41, 50, 60)])
def test_parts_are_put_together_to_the_whole(size: tuple[int, ...]) -> None:
    values = RNG.integers(0, 256, (*size, 3), dtype=np.uint8)
    region = region_of(Levels(values), channels=3, mean=MEAN, std=STD, pad=2)
    box = tuple((1, n) for n in region.size)
    expected = F.pad(normalised(unit_channels(values, len(size)), MEAN, STD), (2,) * 2 * len(size))
    assert region.read(box).equal(part(expected, box))
