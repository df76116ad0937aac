"""A picture larger than most memories would like, as a zarr array and as a tiled TIFF, made once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

SIDE, TILE, BLOB, CHANNELS = 12288, 512, 64, 3
"""Pixels per axis of the picture, of a tile of its files, and of its blobs of colour."""


class LargeImage:
    """RGB of 8 bits in ``image.zarr`` (zstd) and ``image.tif`` (JPEG), both in tiles of 512×512.

    Blobs of random colours with a little noise, which compress about as photographs do.
    """

    def __init__(self, folder: Path, side: int = SIDE) -> None:
        self.side, self.zarr, self.tif = side, folder / f"image{side}.zarr", folder / f"image{side}.tif"
        rng = np.random.default_rng(0)
        around = side // BLOB + 2
        self._colours = rng.integers(60, 200, (around, around, CHANNELS)).astype(np.float32)
        self._noise = rng.integers(-16, 17, (TILE, side, CHANNELS)).astype(np.float32)
        folder.mkdir(parents=True, exist_ok=True)

    def make(self) -> LargeImage:
        """Write the files that are not there yet."""
        if not self.zarr.exists():
            scratch = self.zarr.with_suffix(".partial")
            shutil.rmtree(scratch, ignore_errors=True)
            self._write_zarr(scratch)
            scratch.rename(self.zarr)
        if not self.tif.exists():
            partial = self.tif.with_suffix(".partial")
            self._write_tif(partial)
            partial.rename(self.tif)
        return self

    def _write_zarr(self, path: Path) -> None:
        import zarr

        shape = (self.side, self.side, CHANNELS)
        array = zarr.create_array(str(path), shape=shape, chunks=(TILE, TILE, CHANNELS), dtype="uint8")
        for top, rows in self._rows():
            array[top : top + len(rows)] = rows

    def _write_tif(self, path: Path) -> None:
        import tifffile

        with tifffile.TiffWriter(path, bigtiff=True) as file:
            file.write(
                self._tiles(),
                shape=(self.side, self.side, CHANNELS),
                dtype="uint8",
                tile=(TILE, TILE),
                photometric="rgb",
                compression="jpeg",
                compressionargs={"level": 90},
                maxworkers=1,
            )

    def _rows(self) -> Iterator[tuple[int, np.ndarray]]:
        """The first row of a strip and its pixels."""
        columns, right = _between(np.arange(self.side))
        for top in range(0, self.side, TILE):
            rows, down = _between(np.arange(top, min(top + TILE, self.side)))
            strip = _mixed(self._colours[rows], self._colours[rows + 1], down[:, None, None])
            values = _mixed(strip[:, columns], strip[:, columns + 1], right[None, :, None])
            yield top, np.clip(values + self._noise[: len(values)], 0, 255).astype(np.uint8)

    def _tiles(self) -> Iterator[np.ndarray]:
        for _, rows in self._rows():
            for left in range(0, self.side, TILE):
                yield np.ascontiguousarray(rows[:, left : left + TILE])


def _between(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The blob before each place, and how far it is behind it."""
    return places // BLOB, (places % BLOB / BLOB).astype(np.float32)


def _mixed(one: np.ndarray, other: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return one * (1 - weight) + other * weight
