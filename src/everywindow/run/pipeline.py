"""Reading, computing and writing at the same time: one tile is computed while the next is read and the last written."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from everywindow.engines import TileEngine
from everywindow.errors import EverywindowError, InputError
from everywindow.geometry import Span, Tile, WindowGrid
from everywindow.io import Region, Store
from everywindow.run.budget import Room
from everywindow.run.emptiness import Wanted
from everywindow.run.manifest import DONE, FAILED, SKIPPED, TileState
from everywindow.run.stopping import Stop
from everywindow.run.tiling import Tiling

AHEAD = 1
"""Tiles that are read while one is computed."""

BEHIND = 1
"""Tiles that wait to be written."""


@dataclass(frozen=True)
class Opened:
    """Everything that tiles are made with, opened by who works on them."""

    region: Region
    engine: TileEngine
    store: Store
    wanted: Wanted
    grid: WindowGrid
    tiling: Tiling
    room: Room


@dataclass(frozen=True)
class _Read:
    """The pixels of a tile.

    Attributes:
        number: of the tile.
        windows: all of the tile's.
        wants: which of them are wanted.
        tile: the smallest rectangle that holds those, with its pixels; None where none is.
        pixels: ``[C, *size]``.
    """

    number: int
    windows: tuple[Span, ...]
    wants: np.ndarray
    tile: Tile | None = None
    pixels: Tensor | None = None


def states(opened: Opened, tiles: Iterable[int], stop: Stop, fail_fast: bool = False) -> Iterator[TileState]:
    """Work on tiles; gives what became of each once its chunk is on the disk.

    Raises:
        InputError: the result cannot be written, or ``fail_fast`` and a tile cannot be read or computed.
    """
    waiting = iter(tiles)
    reads: deque[tuple[int, Future[_Read]]] = deque()
    writes: deque[Future[TileState]] = deque()
    opened.room.make()
    with ThreadPoolExecutor(1, "reading") as reader, ThreadPoolExecutor(1, "writing") as writer:
        try:
            while not stop:
                while len(reads) <= AHEAD and (number := next(waiting, None)) is not None:
                    reads.append((number, reader.submit(_read, opened, number)))
                if not reads:
                    break
                writes.append(writer.submit(_written, opened, *_computed(opened, *reads.popleft(), fail_fast)))
                # An engine bounds what is kept during a tile alone: it would add up, and fall to pieces.
                opened.room.make()
                while writes and (len(writes) > BEHIND or writes[0].done()):
                    yield writes.popleft().result()
            while writes:
                yield writes.popleft().result()
        finally:
            for _, future in reads:
                future.cancel()


def _read(opened: Opened, number: int) -> _Read:
    windows = opened.tiling.windows(number)
    wants = opened.wanted.wanted(windows)
    if not wants.any():
        return _Read(number, windows, wants)
    tile = opened.engine.tile(opened.grid, _around(windows, wants))
    return _Read(number, windows, wants, tile, opened.region.read(tile.pixels))


def _around(windows: tuple[Span, ...], wants: np.ndarray) -> tuple[Span, ...]:
    """The smallest rectangle of windows that holds all wanted ones."""
    spans = []
    for axis, (first, _) in enumerate(windows):
        others = tuple(n for n in range(wants.ndim) if n != axis)
        where = np.flatnonzero(wants.any(axis=others))
        spans.append((first + int(where[0]), first + int(where[-1]) + 1))
    return tuple(spans)


def _computed(
    opened: Opened, number: int, future: Future[_Read], fail_fast: bool
) -> tuple[TileState, tuple[Span, ...], np.ndarray | None]:
    """What became of a tile, its windows, and its scores, NaN where none are wanted."""
    windows = opened.tiling.windows(number)
    try:
        read = future.result()
        if read.tile is None or read.pixels is None:
            return TileState(number, SKIPPED), windows, None
        scores = opened.engine.scores(read.pixels, read.tile, opened.grid)
    except Exception as error:
        if fail_fast:
            raise _failed(opened, windows, error) from error
        return TileState(number, FAILED, reason=_reason(error)), windows, None
    return TileState(number, DONE, int(read.wants.sum())), windows, _chunk(read, scores)


def _chunk(read: _Read, scores: Tensor) -> np.ndarray:
    assert read.tile is not None
    values = (scores.float() if scores.dtype in (torch.bfloat16, torch.float16) else scores).numpy()
    chunk = np.full((len(values), *read.wants.shape), np.nan, values.dtype)
    firsts = [first for first, _ in read.windows]
    inside = tuple(slice(a - first, b - first) for (a, b), first in zip(read.tile.windows, firsts, strict=True))
    chunk[(slice(None), *inside)] = values
    chunk[:, ~read.wants] = np.nan
    return chunk


def _written(opened: Opened, state: TileState, windows: tuple[Span, ...], chunk: np.ndarray | None) -> TileState:
    if chunk is not None:
        opened.store.write(windows, chunk)
    return state


def _reason(error: BaseException) -> str:
    """In one line."""
    if isinstance(error, EverywindowError):
        return f"{error.what}: {error.why}"
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _failed(opened: Opened, windows: tuple[Span, ...], error: Exception) -> EverywindowError:
    if isinstance(error, EverywindowError):
        return error
    where = ", ".join(f"{first} to {stop - 1}" for first, stop in windows)
    return InputError(f"windows {where}", _reason(error), "leave these out, or mend the image")
