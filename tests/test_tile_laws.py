"""Tiles of any shape give the whole image's scores, for networks drawn at random, in one, two and three dimensions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

import everywindow as ew
import oracle
from everywindow.engines import Prepared, Settings, TileEngine, prepare, settle
from everywindow.engines.prepare import unproved
from everywindow.errors import ConversionError
from everywindow.geometry import WindowGrid
from laws import EQUAL, native_scores
from random_networks import Example, networks, scan_strides
from test_random_networks import drawn
from tiling import ANY, PLENTY, again, cut, stitched
from trial_weights import noise, tells_windows_apart

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same'")


MOST = {1: 40, 2: 9, 3: 4}
"""Windows per axis, at most, by the number of axes."""


def larger_sizes(data: st.DataObject, example: Example, stride: Sequence[int]) -> tuple[int, ...]:
    """Images of one window and of many, with pixels left over, so that tiles lie at the border and far from it."""
    most = MOST[len(stride)]
    counts = [data.draw(st.integers(1, most), "windows") for _ in stride]
    return tuple(
        window + (count - 1) * step + data.draw(st.integers(0, step - 1), "left over")
        for window, count, step in zip(example.window, counts, stride, strict=True)
    )


def engines_for(
    prepared: Prepared, example: Example, stride: tuple[int, ...], image: Tensor, share: int | None
) -> Iterator[TileEngine]:
    """Whatever may score the tiles of this network."""

    def engine(settings: Settings, mode: str) -> TileEngine:
        return TileEngine(prepared, example.window, stride, again(settings), mode)

    for mode in ("exact", "crops"):
        yield engine(settle(prepared, example.window, stride, mode, None, PLENTY, image), mode)
    if unproved(prepared) is None:
        yield engine(replace(ANY, share=share), "exact")
    try:
        one_pass = engine(settle(prepared, example.window, stride, "fcn", None, PLENTY, image), "fcn")
    except ConversionError:
        return
    yield one_pass
    if one_pass.verdict.exact:
        yield engine(replace(ANY, engine="fcn", memory_format="contiguous"), "exact")


def check_tiles(data: st.DataObject, example: Example) -> None:
    """Tiles of any shape give the whole image's scores: those of the crops, or of one pass over the image."""
    _, native = native_scores(example.module, example.window, example.channels)
    assume(tells_windows_apart(native))
    stride = tuple(data.draw(scan_strides(example), "stride") or example.strides)
    image = noise((1, example.channels, *larger_sizes(data, example, stride)), example.seed)[0]
    grid = WindowGrid(tuple(image.shape[1:]), example.window, stride)
    cuts = [data.draw(st.lists(st.integers(1, count), max_size=3), "cuts") for count in grid.counts]
    tiles = cut(grid.counts, cuts)
    expected = oracle.crops(example.module, image, example.window, stride)
    scale = max(oracle.spread(native), oracle.spread(expected))
    prepared = prepare(example.module, example.window, example.channels)
    share = data.draw(st.none() | st.integers(1, 4), "share")
    for engine in engines_for(prepared, example, stride, image, share):
        reference = expected
        if not engine.verdict.exact:
            assert engine.settings.engine == "fcn"
            fcn = ew.convolutionalize(
                example.module, window=example.window, stride=stride, channels=example.channels
            ).eval()
            with torch.no_grad():
                reference = fcn(image.unsqueeze(0))[0]
        found = stitched(engine, image, grid, tiles)
        assert oracle.relative_difference(found, reference, scale) <= EQUAL, engine.settings


@drawn(8)
@given(data=st.data(), example=networks(axes=1, padded=True))
def test_tiles_1d(data: st.DataObject, example: Example) -> None:
    check_tiles(data, example)


@drawn(10)
@given(data=st.data(), example=networks(axes=2, padded=True))
def test_padded_tiles_2d(data: st.DataObject, example: Example) -> None:
    check_tiles(data, example)


@drawn(8)
@given(data=st.data(), example=networks(axes=2, padded=False))
def test_unpadded_tiles_2d(data: st.DataObject, example: Example) -> None:
    check_tiles(data, example)


@drawn(6)
@given(data=st.data(), example=networks(axes=3, padded=True))
def test_tiles_3d(data: st.DataObject, example: Example) -> None:
    check_tiles(data, example)


@drawn(6)
@given(data=st.data(), example=networks(axes=2, padded=True, wide=True))
def test_tiles_of_wide_layers_2d(data: st.DataObject, example: Example) -> None:
    check_tiles(data, example)


@drawn(10)
@given(data=st.data(), example=networks(axes=1, padded=False, wide=True))
def test_tiles_of_wide_layers_1d(data: st.DataObject, example: Example) -> None:
    check_tiles(data, example)
