"""Tiles under settings that are fixed: the same bytes in every process, within the memory; what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import everywindow as ew
import oracle
from everywindow.engines import MODES, Settings, TileEngine, prepare, settle
from everywindow.engines.pages import keep_pages
from everywindow.engines.rates import cache_file
from everywindow.geometry import WindowGrid
from laws import EQUAL
from test_engines import Branching, SeveralOutputs
from test_exact_memory import BESIDE, FACTOR
from tile_jobs import GRID, STRIDE, TILES, WINDOW, digest, padded, unpadded
from tiling import ANY, PLENTY, again, cut, stitched
from trial_weights import noise

CASES = [(padded, "exact"), (padded, "fcn"), (padded, "crops"), (unpadded, "exact"), (unpadded, "crops")]


ENGINES = {(padded, "exact"): "exact", (unpadded, "exact"): "fcn"}
"""What is to run whatever this machine's rates foretell."""


def settled(made: Callable[[], nn.Module], mode: str, limit: int = PLENTY) -> Settings:
    """Settings for a sample of 32×32 pixels."""
    found = settle(prepare(made(), WINDOW, 3), WINDOW, STRIDE, mode, None, limit, torch.randn(3, 32, 32))
    engine = ENGINES.get((made, mode), found.engine)
    return found if engine == found.engine else replace(ANY, engine=engine, limit=limit)


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


def test_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    jobs, expected = [], []
    for limit in (PLENTY, 400_000):
        for made, mode in CASES:
            settings = settled(made, mode, limit)
            jobs.append((made.__name__, settings.as_dict(), mode))
            expected.append(digest(made.__name__, settings, mode))
    told_otherwise(tmp_path)
    code = "import json, sys, tile_jobs; tile_jobs.elsewhere(json.loads(sys.argv[1]))"
    output = in_another_process(code, json.dumps(jobs), EVERYWINDOW_CACHE=str(tmp_path), OMP_NUM_THREADS="2")
    assert [line.split()[1] for line in output.splitlines() if line.startswith("digest")] == expected[::-1]


def told_otherwise(folder: Path) -> None:
    """The rates of this machine, for two threads and as if convolutions took hardly any time."""
    kept = json.loads(cache_file().read_text(encoding="utf-8"))
    for name, figures in list(kept["rates"].items()):
        for table in ("conv", "filtered"):
            for column in figures[table].values():
                column.update({side: 1000 * rate for side, rate in column.items()})
        kept["rates"][name.replace("1 threads", "2 threads")] = figures
    (folder / "rates.json").write_text(json.dumps(kept), encoding="utf-8")


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
    settings = ANY
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
            TileEngine(
                prepared, (12, 12), (3, 3), replace(ANY, engine=engine_name, memory_format="contiguous"), "exact"
            )
    with pytest.raises(ew.InputError, match="batches of 64 windows, where 1 may be together"):
        TileEngine(prepared, (12, 12), (3, 3), replace(ANY, engine="crops"), "exact")


def test_settings_of_another_network_are_refused() -> None:
    prepared = prepare(padded(), WINDOW, 3)
    for wrong, why in (
        (replace(ANY, engine="fcn"), "not proved to equal"),
        (replace(ANY, engine="magic"), "none of crops, fcn, exact"),
        (replace(ANY, engine="crops", memory_format="magic"), "'magic' is no memory format"),
    ):
        with pytest.raises(ew.InputError, match=why):
            TileEngine(prepared, WINDOW, STRIDE, wrong, "exact")


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
            settings = replace(first, memory_format=memory_format, batch=1 if mode == "fcn" else 7)
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
    engine = TileEngine(prepared, WINDOW, STRIDE, ANY, "exact")
    with pytest.raises(ew.InputError, match="tile: 15×16 pixels for a tile of 16×16"):
        engine.scores(torch.randn(3, 15, 16), engine.tile(GRID, ((0, 1), (0, 1))), GRID)
    with pytest.raises(ew.InputError, match="mode"):
        settle(prepared, WINDOW, STRIDE, "magic", None, PLENTY, torch.randn(3, 16, 16))


def test_scores_leave_threads_mode_and_pixels_alone() -> None:
    module = padded().train()
    prepared = prepare(module, WINDOW, 3)
    engine = TileEngine(prepared, WINDOW, STRIDE, replace(ANY, threads=2), "exact")
    image = torch.randn(3, *GRID.image_size)
    before = image.clone()
    stitched(engine, image, GRID, TILES)
    assert torch.equal(image, before)
    assert torch.get_num_threads() == 1
    assert all(part.training for part in module.modules())


@pytest.mark.skipif(not keep_pages(), reason="the peak is read from Linux's /proc")
@pytest.mark.parametrize(
    ("mode", "side", "memory_format"),
    [("exact", 60, "channels_last"), ("fcn", 150, "channels_last"), ("crops", 17, "contiguous")],
)
def test_measured_memory_is_what_was_projected(mode: str, side: int, memory_format: str) -> None:
    code = (
        "import json, sys, tile_jobs; print(json.dumps(tile_jobs.memory(sys.argv[1], int(sys.argv[2]), sys.argv[3])))"
    )
    found = json.loads(in_another_process(code, mode, str(side), memory_format).splitlines()[-1])
    assert found["measured"] <= FACTOR * found["projected"] + BESIDE
    assert found["measured"] >= 0.3 * found["projected"]


@pytest.mark.parametrize("engine", ["exact", "crops", "fcn"])
def test_a_sample_is_like_the_scores(engine: str) -> None:
    torch.manual_seed(0)
    pad = 0 if engine == "fcn" else 1
    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=pad), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.LazyLinear(5))
    net(torch.zeros(1, 1, 12, 12))
    prepared = prepare(net.eval(), (12, 12), 1, dtype="float64")
    settings = replace(settle(prepared, (12, 12), (2, 2), engine, None, 2**30, torch.zeros(1, 30, 30)), engine=engine)
    one = TileEngine(prepared, (12, 12), (2, 2), settings, engine)
    grid = WindowGrid((30, 30), (12, 12), (2, 2))
    sample, tile = one.sample(grid, 1), one.tile(grid, ((0, 1), (0, 1)))
    scores = one.scores(torch.zeros(1, *tile.size), tile, grid)
    assert sample.shape == scores.shape == (5, 1, 1)
    torch.testing.assert_close(sample, scores)
