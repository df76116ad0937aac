"""How the memory of a run is divided."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from everywindow.engines import give_back
from everywindow.errors import InputError

STATM = Path("/proc/self/statm")

LEAST = 2**27
"""Bytes beside what the process holds already, without which no run is begun."""

RESERVE = 0.15
"""Share of the limit that is left to what nobody counts: fragments, libraries' own buffers, the writer."""

PIXELS_SHARE = 0.35
"""Share of the rest that pixels of tiles may take; values of layers take what is left."""

SCORES_SHARE = 0.3
"""Share of the rest that scores of tiles may take, out of what values of layers take otherwise."""

SCORES_COPIES = 10
"""Scores of so many tiles exist at one time: computed, cut out, waiting, written, as bytes before and after zstd."""

MOST_PIXELS = 2**24
"""Pixels of a tile, at most: a larger one shares hardly more, and costs more where a run is interrupted."""


@dataclass(frozen=True)
class Budget:
    """Bytes for the pixels of all tiles that exist at one time, and for the values of one that is computed."""

    pixels: int
    values: int

    def tile_pixels(self, reading: int, computing: int, tiles: int) -> int:
        """Pixels that a tile may have.

        Args:
            reading: bytes that a pixel takes while it is read.
            computing: bytes that a pixel takes afterwards.
            tiles: how many tiles exist at one time beside the one that is read.
        """
        return max(1, min(MOST_PIXELS, self.pixels // max(1, reading + tiles * computing)))

    def tile_windows(self, scoring: int) -> int:
        """Windows that a tile may have.

        Args:
            scoring: bytes that the scores of a window take.
        """
        return max(1, int((self.pixels + self.values) * SCORES_SHARE) // (SCORES_COPIES * max(1, scoring)))

    def values_beside(self, windows: int, scoring: int) -> int:
        """Bytes for the values of a tile, beside the scores of tiles of so many windows."""
        return max(1, self.values - SCORES_COPIES * windows * scoring)


def budget(limit: int) -> Budget:
    """Divide what a process may take in all, less what it holds already.

    Raises:
        InputError: too little is left.
    """
    give_back()  # what earlier scans keep for the next one is not in the way of this one
    held = resident()
    free = int(limit * (1 - RESERVE)) - held
    if free < LEAST:
        needed = int((held + LEAST) / (1 - RESERVE))
        raise InputError(
            "memory",
            f"{limit:,} bytes leave {max(0, free):,} beside the {held:,} that the process and the model take",
            f"give at least {needed / 2**20:,.0f}MiB",
        )
    pixels = int(free * PIXELS_SHARE)
    return Budget(pixels, free - pixels)


DOUBT = 1.5
"""Over what a tile is projected to take: an engine keeps up to half as much freed memory beside it."""


@dataclass(frozen=True)
class Room:
    """Freed memory is kept from tile to tile while there is room for the next one beside it.

    What is given back is new memory when the next tile takes it, every page of which the system has to find and clear;
    what is kept may lie in pieces that the next tile cannot use.

    Attributes:
        limit: bytes of the whole process; None where it is not known.
        needed: bytes that a tile is projected to take while it is read and computed.
    """

    limit: int | None
    needed: int

    def make(self) -> None:
        """Give back what is kept, unless the next tile fits beside it."""
        if self.limit is None or resident() + DOUBT * self.needed > self.limit * (1 - RESERVE):
            give_back()


def resident() -> int:
    """Bytes that the process holds now; 0 where the system does not tell."""
    if sys.platform != "linux":
        return 0
    return int(STATM.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
