"""Tiles under settings that are fixed: the whole image's scores, the same bytes each time, within the memory."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise, product
from pathlib import Path

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor, nn

import everywindow as ew
import oracle
from everywindow.engines import MODES, Settings, TileEngine, prepare, settle
from everywindow.engines.pages import keep_pages
from everywindow.geometry import Span, WindowGrid
from laws import EQUAL, native_scores
from random_networks import Example, image_sizes, networks, scan_strides
from test_engines import Branching, SeveralOutputs
from test_exact_memory import BESIDE, FACTOR
from test_random_networks import drawn
from trial_weights import noise, tells_windows_apart

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same'")

PLENTY = 2**40


def again(settings: Settings) -> Settings:
    """As it is written into a file and read."""
    return Settings(**json.loads(json.dumps(settings.as_dict())))


def cut(counts: Sequence[int], cuts: Sequence[Sequence[int]]) -> list[tuple[Span, ...]]:
    """Rectangles of windows, cut along each axis at the places given."""
    axes = []
    for count, places in zip(counts, cuts, strict=True):
        edges = sorted({0, count, *(place for place in places if 0 < place < count)})
        axes.append(list(pairwise(edges)))
    return list(product(*axes))


def stitched(engine: TileEngine, image: Tensor, grid: WindowGrid, tiles: Sequence[tuple[Span, ...]]) -> Tensor:
    """The map put together from tiles; NaN where a tile gave nothing."""
    scores: Tensor | None = None
    for windows in tiles:
        tile = engine.tile(grid, windows)
        part = engine.scores(image[(slice(None), *(slice(*span) for span in tile.pixels))], tile, grid)
        assert part.shape[1:] == tuple(stop - first for first, stop in windows)
        if scores is None:
            scores = part.new_full((len(part), *grid.counts), torch.nan)
        scores[(slice(None), *(slice(*span) for span in windows))] = part
    assert scores is not None
    return scores


ANY = {"engine": "exact", "reason": "", "share": None, "batch": 64, "memory_format": "channels_last", "limit": PLENTY}


def check_tiles(data: st.DataObject, example: Example) -> None:
    """Tiles of any shape give the whole image's scores: those of the crops, or of one pass over the image."""
    _, native = native_scores(example.module, example.window, example.channels)
    assume(tells_windows_apart(native))
    stride = data.draw(scan_strides(example), "stride") or example.strides
    image = noise((1, example.channels, *data.draw(image_sizes(example, stride), "image size")), example.seed)[0]
    grid = WindowGrid(tuple(image.shape[1:]), example.window, tuple(stride))
    cuts = [data.draw(st.lists(st.integers(1, count), max_size=3), "cuts") for count in grid.counts]
    tiles = cut(grid.counts, cuts)
    expected = oracle.crops(example.module, image, example.window, stride)
    scale = max(oracle.spread(native), oracle.spread(expected))
    prepared = prepare(example.module, example.window, example.channels)
    for mode in data.draw(st.permutations(MODES), "modes")[:2]:
        settings = settle(prepared, example.window, grid.stride, mode, None, PLENTY, image)
        engine = TileEngine(prepared, example.window, grid.stride, again(settings), mode)
        reference = expected
        if mode == "fcn":
            classifier = ew.Classifier(example.module, window=example.window, channels=example.channels)
            reference = ew.scan(classifier, image, stride=stride, dtype=torch.float64, mode="fcn").scores
        found = stitched(engine, image, grid, tiles)
        assert oracle.relative_difference(found, reference, scale) <= EQUAL, settings
        if engine.verdict.exact:
            assert oracle.relative_difference(found, expected, scale) <= EQUAL, settings
    share = data.draw(st.none() | st.integers(1, 4), "share")
    shared = TileEngine(
        prepared, example.window, grid.stride, Settings(**{**ANY, "share": share, "threads": 1}), "exact"
    )
    assert oracle.relative_difference(stitched(shared, image, grid, tiles), expected, scale) <= EQUAL


@drawn(20)
@given(data=st.data(), example=networks(axes=1, padded=True))
def test_tiles_1d(data: st.DataObject, example: Example) -> None:
    check_tiles(data, example)


@drawn(25)
@given(data=st.data(), example=networks(axes=2, padded=True))
def test_padded_tiles_2d(data: st.DataObject, example: Example) -> None:
    check_tiles(data, example)


@drawn(20)
@given(data=st.data(), example=networks(axes=2, padded=False))
def test_unpadded_tiles_2d(data: st.DataObject, example: Example) -> None:
    check_tiles(data, example)


@drawn(12)
@given(data=st.data(), example=networks(axes=3, padded=True))
def test_tiles_3d(data: st.DataObject, example: Example) -> None:
    check_tiles(data, example)


def padded() -> nn.Sequential:
    """Windows share its inside alone."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, stride=2, padding=1),
        nn.Tanh(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
    ).eval()


def unpadded() -> nn.Sequential:
    """One pass equals the crops."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 8, 3), nn.Flatten(), nn.Linear(200, 4)
    ).eval()


WINDOW, STRIDE = (16, 16), (4, 2)
GRID = WindowGrid((70, 60), WINDOW, STRIDE)
TILES = cut(GRID.counts, [(5, 10), (9, 10)])
CASES = [(padded, "exact"), (padded, "fcn"), (padded, "crops"), (unpadded, "exact"), (unpadded, "crops")]


ENGINES = {(padded, "exact"): "exact", (unpadded, "exact"): "fcn"}
"""What is to run whatever this machine's rates foretell."""


def settled(made: Callable[[], nn.Module], mode: str, limit: int = PLENTY) -> Settings:
    """Settings for a sample of 32×32 pixels."""
    found = settle(prepare(made(), WINDOW, 3), WINDOW, STRIDE, mode, None, limit, torch.randn(3, 32, 32))
    engine = ENGINES.get((made, mode), found.engine)
    return found if engine == found.engine else Settings(**{**ANY, "engine": engine, "limit": limit, "threads": 1})


def engine_and_image(made: str, settings: Settings, mode: str) -> tuple[TileEngine, Tensor]:
    """The same in every process."""
    torch.manual_seed(5)
    module, image = globals()[made](), torch.randn(3, 70, 60)
    return TileEngine(prepare(module, WINDOW, 3), WINDOW, STRIDE, settings, mode), image


def digest(made: str, settings: Settings, mode: str) -> str:
    engine, image = engine_and_image(made, settings, mode)
    return hashlib.sha256(stitched(engine, image, GRID, TILES).numpy().tobytes()).hexdigest()


def elsewhere(jobs: list[tuple[str, dict[str, object], str]]) -> None:
    """Print the digests of jobs, with other threads and in another order, after other scans by the same module."""
    torch.set_num_threads(2)
    for made, settings, mode in reversed(jobs):
        engine, image = engine_and_image(made, Settings(**settings), mode)
        for scanned in ("crops", "fcn", "exact"):
            ew.scan(engine._prepared.module, image, window=WINDOW, stride=STRIDE, mode=scanned)
        assert torch.get_num_threads() == 2
        pixels = torch.empty(70 * 60 * 3 + 1)[1:].reshape(70, 60, 3).permute(2, 0, 1).copy_(image)
        last_first = stitched(engine, pixels, GRID, TILES[::-1])
        print("digest", made, mode, hashlib.sha256(last_first.numpy().tobytes()).hexdigest())


def in_another_process(code: str, *arguments: str, **environment: str) -> str:
    """What a program prints that can import the tests."""
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), str(here.parent), *sys.path])
    run = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=os.environ | environment | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.parametrize("limit", [PLENTY, 400_000])
def test_the_same_bytes_in_another_process(limit: int, tmp_path: Path) -> None:
    jobs, expected = [], {}
    for made, mode in CASES:
        settings = settled(made, mode, limit)
        jobs.append((made.__name__, settings.as_dict(), mode))
        expected[made.__name__, mode] = digest(made.__name__, settings, mode)
    code = "import json, sys, test_tile_engine; test_tile_engine.elsewhere(json.loads(sys.argv[1]))"
    output = in_another_process(code, json.dumps(jobs), EVERYWINDOW_CACHE=str(tmp_path), OMP_NUM_THREADS="2")
    lines = [line.split() for line in output.splitlines() if line.startswith("digest")]
    assert {(made, mode): found for _, made, mode, found in lines} == expected


@pytest.mark.parametrize(("made", "mode"), CASES)
@pytest.mark.parametrize("limit", [PLENTY, 400_000])
def test_every_shape_of_tiles_in_single_precision(made: type, mode: str, limit: int) -> None:
    module, image = made(), noise((1, 3, *GRID.image_size), 3, torch.float32)[0]
    prepared = prepare(module, WINDOW, 3)
    engine = TileEngine(prepared, WINDOW, STRIDE, settled(made, mode, limit), mode)
    assert engine.verdict.exact == (mode != "fcn")
    expected = oracle.crops(module, image, WINDOW, STRIDE)
    if mode == "fcn":
        expected = ew.convolutionalize(module, window=WINDOW, stride=STRIDE, channels=3).eval()(image[None])[0].detach()
    singles = [range(count) for count in GRID.counts]
    for tiles in ([tuple((0, count) for count in GRID.counts)], TILES, cut(GRID.counts, singles)):
        assert all(engine.peak_bytes(tuple(b - a for a, b in windows), GRID) > 0 for windows in tiles[:2])
        found = stitched(engine, image, GRID, tiles)
        assert oracle.relative_difference(found, expected) <= oracle.TOLERANCE[torch.float32]


def test_single_windows_by_the_engine_that_is_settled() -> None:
    """A scan would take the crops for one window."""
    prepared = prepare(padded(), WINDOW, 3)
    settings = Settings(**ANY, threads=1)
    engine = TileEngine(prepared, WINDOW, STRIDE, settings, "exact")
    pixels = torch.randn(3, *WINDOW)
    grid = WindowGrid(WINDOW, WINDOW, STRIDE)
    tile = engine.tile(grid, ((0, 1), (0, 1)))
    plan = engine.plan(grid, [tile.windows])
    assert (plan.engine, plan.tiles, plan.batch) == ("exact", 1, 64)
    with torch.no_grad():
        torch.testing.assert_close(engine.scores(pixels, tile, grid)[:, 0, 0], prepared.module(pixels[None])[0])
    alone = settle(prepared, WINDOW, STRIDE, "exact", None, PLENTY, pixels)
    assert (alone.engine, alone.batch) == ("crops", 1)


def test_a_network_that_cannot_be_captured_window_by_window() -> None:
    module = Branching().double()
    prepared = prepare(module, (12, 12), 1)
    image = noise((1, 1, 30, 26), 3)[0]
    grid = WindowGrid((30, 26), (12, 12), (3, 3))
    settings = settle(prepared, (12, 12), (3, 3), "exact", None, PLENTY, image)
    assert (settings.engine, settings.batch, settings.memory_format) == ("crops", 1, "contiguous")
    engine = TileEngine(prepared, (12, 12), (3, 3), settings, "exact")
    assert engine.macs((2, 2)) is None
    assert engine.plan(grid, [((0, 7), (0, 5))]).macs is None
    found = stitched(engine, image, grid, cut(grid.counts, [(3,), (1, 2)]))
    assert oracle.relative_difference(found, oracle.crops(module, image, (12, 12), (3, 3))) <= EQUAL
    with pytest.raises(ew.ConversionError):
        settle(prepared, (12, 12), (3, 3), "fcn", None, PLENTY, image)
    for engine_name in ("exact", "fcn"):
        with pytest.raises(ew.InputError, match="settings: not for this network"):
            TileEngine(prepared, (12, 12), (3, 3), Settings(**{**ANY, "engine": engine_name, "threads": 1}), "exact")
    with pytest.raises(ew.InputError, match="batches of 64 windows, where 1 may be together"):
        TileEngine(prepared, (12, 12), (3, 3), Settings(**{**ANY, "engine": "crops", "threads": 1}), "exact")


def test_settings_of_another_network_are_refused() -> None:
    prepared = prepare(padded(), WINDOW, 3)
    for engine, why in (("fcn", "not proved to equal"), ("magic", "none of crops, fcn, exact")):
        with pytest.raises(ew.InputError, match=why):
            TileEngine(prepared, WINDOW, STRIDE, Settings(**{**ANY, "engine": engine, "threads": 1}), "exact")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("made", [padded, unpadded])
def test_a_converted_network_is_a_classifier_too(made: type, mode: str) -> None:
    """It gives every so many of its windows."""
    module = made().double()
    fcn = ew.convolutionalize(module, window=WINDOW, stride=2, channels=3).eval()
    image = noise((1, 3, 49, 44), 3)[0]
    grid = WindowGrid((49, 44), WINDOW, STRIDE)
    prepared = prepare(fcn, WINDOW, 3)
    engine = TileEngine(prepared, WINDOW, STRIDE, settle(prepared, WINDOW, STRIDE, mode, None, PLENTY, image), mode)
    found = stitched(engine, image, grid, cut(grid.counts, [(2, 3), (5, 14)]))
    with torch.no_grad():
        expected = fcn(image[None])[0][:, ::2] if mode == "fcn" else oracle.crops(module, image, WINDOW, STRIDE)
    assert oracle.relative_difference(found, expected) <= EQUAL
    assert engine.verdict.exact == (mode != "fcn" or made is unpadded)


@pytest.mark.parametrize("mode", MODES)
def test_one_of_several_outputs(mode: str) -> None:
    module = SeveralOutputs().double().eval()
    image = noise((1, 1, 40, 34), 3)[0]
    grid = WindowGrid((40, 34), (12, 12), (2, 2))
    prepared = prepare(module, (12, 12), 1)
    for output in (None, "kind", "size"):
        settings = settle(prepared, (12, 12), (2, 2), mode, output, PLENTY, image)
        engine = TileEngine(prepared, (12, 12), (2, 2), settings, mode, output)
        found = stitched(engine, image, grid, cut(grid.counts, [(3, 4), (7,)]))
        expected = oracle.crops(module, image, (12, 12), (2, 2), lambda out, name=output: out[name or "kind"])
        assert oracle.relative_difference(found, expected) <= EQUAL


def test_several_formats_are_tried_on_the_sample() -> None:
    """One pass in double precision, and crops: what is found is fixed, and no tuner is asked again."""
    module = padded().double()
    prepared = prepare(module, WINDOW, 3)
    image = noise((1, 3, *GRID.image_size), 3)[0]
    for mode in ("fcn", "crops"):
        first = settle(prepared, WINDOW, STRIDE, mode, None, PLENTY, image)
        assert first.memory_format in ("contiguous", "channels_last")
        assert again(first) == first
        for memory_format in ("contiguous", "channels_last"):
            settings = Settings(
                **{**first.as_dict(), "memory_format": memory_format, "batch": 1 if mode == "fcn" else 7}
            )
            engine = TileEngine(prepared, WINDOW, STRIDE, settings, mode)
            plan = engine.plan(GRID, TILES)
            assert (plan.memory_format, plan.batch) == (memory_format, settings.batch)
            reference = ew.scan(module, image, window=WINDOW, stride=STRIDE, mode=mode).scores
            assert oracle.relative_difference(stitched(engine, image, GRID, TILES), reference) <= EQUAL


def test_a_plan_is_the_same_each_time_and_counts_all_tiles() -> None:
    for made, mode in CASES:
        prepared = prepare(made(), WINDOW, 3)
        settings = settled(made, mode)
        engine = TileEngine(prepared, WINDOW, STRIDE, settings, mode)
        plan = engine.plan(GRID, TILES)
        assert plan == TileEngine(prepare(made(), WINDOW, 3), WINDOW, STRIDE, again(settings), mode).plan(GRID, TILES)
        assert plan.predicted_seconds is None
        assert plan.capture_seconds == plan.planning_seconds == 0
        assert plan.macs is not None
        whole = engine.macs(GRID.counts, GRID)
        assert whole is not None
        assert plan.macs >= whole if mode != "crops" else plan.macs == whole
        assert plan.tiles == (0 if mode == "crops" else len(TILES))


def test_pixels_of_another_size_are_refused() -> None:
    prepared = prepare(padded(), WINDOW, 3)
    engine = TileEngine(prepared, WINDOW, STRIDE, Settings(**ANY, threads=1), "exact")
    with pytest.raises(ew.InputError, match="tile: 15×16 pixels for a tile of 16×16"):
        engine.scores(torch.randn(3, 15, 16), engine.tile(GRID, ((0, 1), (0, 1))), GRID)
    with pytest.raises(ew.InputError, match="mode"):
        settle(prepared, WINDOW, STRIDE, "magic", None, PLENTY, torch.randn(3, 16, 16))


def test_scores_leave_threads_mode_and_pixels_alone() -> None:
    module = padded().train()
    prepared = prepare(module, WINDOW, 3)
    engine = TileEngine(prepared, WINDOW, STRIDE, Settings(**ANY, threads=2), "exact")
    image = torch.randn(3, *GRID.image_size)
    before = image.clone()
    stitched(engine, image, GRID, TILES)
    assert torch.equal(image, before)
    assert torch.get_num_threads() == 1
    assert all(part.training for part in module.modules())


MEMORY = """
import json, sys, torch
import test_tile_engine as tests
from everywindow.engines import Settings, TileEngine, prepare
from everywindow.geometry import WindowGrid

def held(which):
    return int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith(which))) * 1024

mode, side = sys.argv[1], int(sys.argv[2])
settings = Settings(mode, "", None, 256, sys.argv[3], int(4e9), 1)
engine = TileEngine(prepare(tests.wider(), (32, 32), 3), (32, 32), (4, 4), settings, mode)
grid = WindowGrid((2000, 2000), (32, 32), (4, 4))
rows = [((first, first + side), (5, 5 + side)) for first in (40, 50, 60)]
small = engine.tile(grid, ((9, 13), (9, 13)))
engine.scores(torch.randn(3, *small.size), small, grid)
tiles = [engine.tile(grid, windows) for windows in rows]
pixels = torch.randn(3, *tiles[0].size)
before = held("VmRSS")
for tile in tiles:
    engine.scores(pixels, tile, grid)
print(json.dumps({"projected": engine.peak_bytes((side, side), grid), "measured": held("VmHWM") - before}))
"""


def wider() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 5),
    ).eval()


@pytest.mark.skipif(not keep_pages(), reason="the peak is read from Linux's /proc")
@pytest.mark.parametrize(
    ("mode", "side", "memory_format"),
    [("exact", 80, "channels_last"), ("fcn", 200, "channels_last"), ("crops", 18, "contiguous")],
)
def test_measured_memory_is_what_was_projected(mode: str, side: int, memory_format: str) -> None:
    run = in_another_process(MEMORY, mode, str(side), memory_format)
    found = json.loads(run.splitlines()[-1])
    assert found["measured"] <= FACTOR * found["projected"] + BESIDE
    assert found["measured"] >= 0.3 * found["projected"]
