"""A synthetic RGB image of any size as Zarr, written chunk by chunk: noise and discs, the same in every run.

python -m benchmarks.large_image /somewhere/large.zarr --size 40000 40000
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import zarr
from zarr.codecs import ZstdCodec

CHUNK = 1024
"""Pixels of a chunk along each axis."""

CALM, LOUD = 4, 16
"""Noise has so many values outside and inside of the discs: so few that it can be compressed, to a quarter."""


def write(path: Path, size: Sequence[int], chunk: int = CHUNK) -> None:
    """Write the image ``[*size, 3]``, unless it is there."""
    if path.exists():
        if tuple(zarr.open_array(path, mode="r").shape) != (*size, 3) or not zarr.open_array(path).attrs.get("whole"):
            raise SystemExit(f"{path}: something else is there, or it was not finished; remove it first")
        return
    image = zarr.create_array(
        path,
        shape=(*size, 3),
        chunks=(chunk, chunk, 3),
        dtype=np.uint8,
        compressors=ZstdCodec(level=1),
        dimension_names=("y", "x", "c"),
    )
    for row, column in product(range(-(-size[0] // chunk)), range(-(-size[1] // chunk))):
        image[row * chunk : (row + 1) * chunk, column * chunk : (column + 1) * chunk] = pixels(
            row, column, (min(chunk, size[0] - row * chunk), min(chunk, size[1] - column * chunk))
        )
    image.attrs["whole"] = True


def pixels(row: int, column: int, size: tuple[int, int]) -> np.ndarray:
    """One chunk ``[*size, 3]``: a disc of a place and size of its own upon noise."""
    random = np.random.default_rng((row, column))
    values = random.integers(0, CALM, (*size, 3), np.uint8)
    values += np.uint8(160) + np.array([0, 20, 40], np.uint8)
    centre, radius = random.uniform(0, 1, 2) * size, random.uniform(0.05, 0.3) * min(size)
    y, x = np.ogrid[: size[0], : size[1]]
    inside = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2
    values[inside] = random.integers(0, LOUD, (int(inside.sum()), 3), np.uint8) + np.uint8(80)
    return values


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--size", type=int, nargs=2, default=(40_000, 40_000))
    given = parser.parse_args()
    write(given.path, given.size)


if __name__ == "__main__":
    main()
