"""Who works on tiles. An executor is given ids and hands back what became of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from everywindow.run.manifest import TileState
from everywindow.run.pipeline import Opened, states
from everywindow.run.stopping import Stop


class Executor(Protocol):
    """Works on tiles; each state is given once the tile's chunk is on the disk."""

    def run(self, tiles: Sequence[int], stop: Stop, fail_fast: bool) -> Iterator[TileState]:
        """Work on these tiles, in any order."""


class Serial:
    """In this process, one tile after the other."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened

    def run(self, tiles: Sequence[int], stop: Stop, fail_fast: bool) -> Iterator[TileState]:
        """Work on these tiles in their order."""
        return states(self._opened, tiles, stop, fail_fast)
