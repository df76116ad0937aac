"""Tiles under settings that are fixed: the whole image's scores, the same bytes each time, within the memory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor, nn

import everywindow as ew
import oracle
from everywindow.engines import MODES, Settings, TileEngine, prepare, settle
from everywindow.geometry import Span, WindowGrid
from laws import EQUAL, native_scores
from random_networks import Example, image_sizes, networks, scan_strides
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
        axes.append(list(zip(edges[:-1], edges[1:], strict=True)))
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
