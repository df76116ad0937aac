"""Images in tiles, put together again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise, product

import torch
from torch import Tensor

from everywindow.engines import Settings, TileEngine
from everywindow.geometry import Span, WindowGrid

PLENTY = 2**40
"""A memory limit that nothing in a test reaches."""

ANY = Settings("exact", "", None, 64, "channels_last", PLENTY, 1)


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
