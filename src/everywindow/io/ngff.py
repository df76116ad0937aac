"""The layout of a result: OME-Zarr 0.5, written and read in this file alone.

A group with the attributes ``ome`` and ``everywindow``, the scores as its array ``0``, and means of them by 2 per axis
as ``1``, ``2``, … Of the same calls in any order the files are the same bytes.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from everywindow.errors import InputError
from everywindow.geometry import Place, Span

FORMAT = "everywindow score map 2"
"""What the attributes of a result call themselves."""

AXES = ("z", "y", "x")
LARGEST_TOP = 256
"""Windows per axis, up to which a level needs no smaller one."""

LEVEL_CHUNK = 1 << 20
"""Bytes of scores that a chunk of a smaller level has at least, where there are as many."""

MEANS_AT_ONCE = 1 << 24
"""Bytes of scores of which means are taken at one time."""

COLOURS = ("E69F00", "56B4E9", "009E73", "F0E442", "0072B2", "D55E00", "CC79A7", "FFFFFF")
"""Of classes, as OME wants them: told apart by colour-blind people too."""

BESIDE = ("run.json", "tiles.jsonl")
"""What may lie in the group's folder before there is a group."""

PathLike = str | os.PathLike[str]


def create(
    path: PathLike,
    classes: int,
    counts: Sequence[int],
    chunk: Sequence[int],
    dtype: Any,
    attributes: Mapping[str, Any],
    labels: Sequence[str] | None = None,
) -> None:
    """A store without scores, on disk when this returns.

    Args:
        path: where the group's folder shall be.
        classes: scores per window.
        counts: windows per axis, one to three axes.
        chunk: windows per axis that are written together.
        dtype: of the scores.
        attributes: what the result says about itself, as ``docs/design/streaming.md`` lists it.
        labels: names of the classes.

    Raises:
        InputError: something is there, it cannot be written, or there are more axes than OME-Zarr knows.
    """
    target = Path(path)
    if not 1 <= len(counts) <= len(AXES):
        raise InputError("scores", f"{len(counts)} spatial axes; OME-Zarr has up to three", "end the name in .npz")
    _refuse_existing(target)
    try:
        target.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".create.", dir=target))
        try:
            _new_array(scratch, "0", (classes, *counts), chunk, dtype)
            shutil.rmtree(target / "0", ignore_errors=True)
            os.replace(scratch / "0", target / "0")
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        # Last: a folder without this file is no group, and may be begun again.
        _write_group(target, attributes, labels)
        _sync(target.parent)
    except OSError as error:
        raise _unwritable(target, error) from error


class Scores:
    """Scores on disk, ``[K, *counts]``: read as they are sliced, as in NumPy."""

    def __init__(self, array: Any, flat: bool, path: PathLike = "scores") -> None:
        self._array = array
        self._flat = flat
        self._path = str(path)

    @property
    def shape(self) -> tuple[int, ...]:
        """Classes, and windows per axis."""
        full = tuple(int(n) for n in self._array.shape)
        return (full[0], full[2]) if self._flat else full

    @property
    def ndim(self) -> int:
        """One more than there are spatial axes."""
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the scores."""
        own: np.dtype[Any] = np.dtype(self._array.dtype)
        return own

    @property
    def nbytes(self) -> int:
        """Memory that all of them would take."""
        return prod(self.shape) * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> np.ndarray:
        if not self._flat:
            return self._read(key)
        keys = key if isinstance(key, tuple) else (key,)
        if Ellipsis in keys or len(keys) > 2:
            at = keys.index(Ellipsis) if Ellipsis in keys else len(keys)
            keys = (*keys[:at], *(slice(None),) * (3 - len(keys)), *keys[at + 1 :])
        first, rest = keys[:1], keys[1:]
        return self._read((*first, 0, *rest))

    def _read(self, key: Any) -> np.ndarray:
        try:
            return np.asarray(self._array[key])
        except (OSError, RuntimeError, ValueError) as error:  # whatever codec it is that finds a chunk damaged
            why = " ".join(str(error).split())[:120]
            raise InputError(self._path, f"holds damaged scores ({why})", "scan the image again") from error

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype=dtype)


@dataclass(frozen=True, eq=False)
class Store:
    """The scores of a result, read and written by rectangles of windows.

    Attributes:
        path: the group's folder.
        attributes: what :func:`create` was told.
        counts: windows per axis.
        chunk: windows per axis that lie in one file.
        scores: ``[K, *counts]``, read as it is sliced.
    """

    path: Path
    attributes: dict[str, Any]
    counts: tuple[int, ...]
    chunk: tuple[int, ...]
    scores: Scores
    _array: Any

    @classmethod
    def open(cls, path: PathLike, writable: bool = False) -> Store:
        """Open what :func:`create` made.

        Raises:
            InputError: no such store, or a damaged one.
        """
        import zarr

        folder = Path(path)
        if not is_store(folder):
            raise InputError(str(path), "holds no score map in OME-Zarr", "give the folder of a result")
        try:
            attributes = _group(folder)["attributes"]["everywindow"]
            array = zarr.open_array(
                str(folder / "0"), mode="r+" if writable else "r", config={"write_empty_chunks": True}
            )
            flat = len(attributes["window"]) == 1
            counts, chunk = (tuple(int(n) for n in sizes[2 if flat else 1 :]) for sizes in (array.shape, array.chunks))
        except Exception as error:  # zarr, json and a missing key: whatever it is, the file is at fault
            why = " ".join(str(error).split())[:120] or type(error).__name__
            raise InputError(str(path), f"not a readable score map ({why})", "scan the image again") from error
        return cls(folder, attributes, counts, chunk, Scores(array, flat, path), array)

    def write(self, windows: Sequence[Span], scores: np.ndarray) -> None:
        """Put down the scores ``[K, *n]`` of a rectangle of windows; they are on disk when this returns.

        Args:
            windows: first window and the one after the last, per axis: whole chunks.

        Raises:
            InputError: the rectangle cuts through a chunk, the scores do not fit it, or they cannot be written.
        """
        self._check(windows, scores)
        values = np.ascontiguousarray(scores, dtype=self.scores.dtype)
        spans = tuple(slice(start, stop) for start, stop in windows)
        try:
            if len(self.counts) == 1:
                self._array[:, :, spans[0]] = values[:, None]
            else:
                self._array[(slice(None), *spans)] = values
            for file in _chunk_files(self.path / "0", self.chunk, windows):
                _sync_with_folders(file, self.path)
        except OSError as error:
            raise _unwritable(self.path, error) from error

    def holds(self, windows: Sequence[Span]) -> bool:
        """Whether the files of a rectangle of windows are there: whatever was written, NaN too."""
        return all(file.exists() for file in _chunk_files(self.path / "0", self.chunk, windows))

    def read(self, windows: Sequence[Span]) -> np.ndarray:
        """The scores ``[K, *n]`` of a rectangle of windows; NaN where nothing was scored."""
        return self.scores[(slice(None), *(slice(start, stop) for start, stop in windows))]

    def _check(self, windows: Sequence[Span], scores: np.ndarray) -> None:
        expected = (len(self.scores), *(stop - start for start, stop in windows))
        if tuple(scores.shape) != expected:
            raise InputError("scores", f"shape {tuple(scores.shape)} for windows {tuple(windows)}", f"give {expected}")
        for (start, stop), size, count in zip(windows, self.chunk, self.counts, strict=True):
            whole = start % size == 0 and (stop % size == 0 or stop == count)
            if not (whole and 0 <= start < stop <= count):
                raise InputError("windows", f"{start} to {stop} cuts chunks of {size}", "write whole chunks")


def is_store(path: PathLike) -> bool:
    """Whether a folder says that it is a group with a score map."""
    try:
        return "everywindow" in _group(Path(path))["attributes"]
    except (OSError, ValueError, KeyError, TypeError):
        return False


def place_of(attributes: Mapping[str, Any]) -> Place:
    """Where the windows lie, by a result's attributes."""
    axes = len(attributes["window"])
    return Place(
        tuple(int(n) for n in attributes["window"]),
        tuple(int(n) for n in attributes["stride"]),
        tuple(int(n) for n in attributes.get("pad") or (0,) * axes),
        tuple(float(n) for n in attributes.get("origin") or (0.0,) * axes),
        tuple(float(n) for n in attributes.get("downsample") or (1.0,) * axes),
    )


def add_levels(path: PathLike) -> None:
    """Means of the scores by 2 per axis, and means of these, up to 256 windows per axis; NaN are left out.

    The scores are read by a chunk's worth at a time. May be called again, also after it was killed.

    Raises:
        InputError: no such store, or it cannot be written.
    """
    store = Store.open(path)
    counts = store.counts
    attributes, labels = store.attributes, _labels(store.path)
    listed = len(_group(store.path)["attributes"]["ome"]["multiscales"][0]["datasets"])
    levels = _ladder(counts)
    try:
        if listed > 1:
            _write_group(store.path, attributes, labels)
        chunk = _level_chunk(store)
        source, flat = store.scores, len(counts) == 1
        for number, (smaller, _) in enumerate(levels[1:], 1):
            shutil.rmtree(store.path / str(number), ignore_errors=True)
            target = _new_array(store.path, str(number), (len(source), *smaller), chunk, source.dtype)
            for windows in boxes(smaller, chunk):
                _write_means(source, target, smaller, windows)
            source = Scores(target, flat)
            for file in sorted((store.path / str(number)).rglob("*")):
                _sync(file)
            _sync(store.path / str(number))
        _write_group(store.path, attributes, labels, len(levels))
    except OSError as error:
        raise _unwritable(store.path, error) from error


def remove_partial(path: PathLike) -> None:
    """What a writer that was killed has left."""
    for leftover in [*Path(path).rglob("*.partial"), *Path(path).glob(".create.*")]:
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def _refuse_existing(target: Path) -> None:
    there = {file.name for file in target.iterdir()} if target.is_dir() else set()
    begun = "0" in there and not any((target / "0" / "c").glob("*"))
    others = {name for name in there - {"0" if begun else ""} if name not in BESIDE and not name.startswith(".")}
    if others or (target.exists() and not target.is_dir()):
        raise InputError(str(target), "something is there already", "choose another name, or remove it first")


def _new_array(folder: Path, name: str, shape: Sequence[int], chunk: Sequence[int], dtype: Any) -> Any:
    import zarr
    from zarr.codecs import ZstdCodec

    classes, counts = shape[0], tuple(shape[1:])
    sizes = tuple(min(size, n) for size, n in zip(chunk, counts, strict=True))
    if len(counts) == 1:  # OME-Zarr knows two or three spatial axes
        counts, sizes = (1, *counts), (1, *sizes)
    array = zarr.create_array(
        store=str(folder),
        name=name,
        shape=(classes, *counts),
        chunks=(classes, *sizes),
        dtype=np.dtype(dtype),
        fill_value=np.nan,
        compressors=ZstdCodec(level=3, checksum=True),  # what a disk damages is an error, not other numbers
        config={"write_empty_chunks": True},
        dimension_names=("c", *AXES[-len(counts) :]),
        zarr_format=3,
    )
    _sync_with_folders(folder / name / "zarr.json", folder)
    return array


def _write_group(
    folder: Path, attributes: Mapping[str, Any], labels: Sequence[str] | None, levels: int | None = None
) -> None:
    """The group's metadata with those of its arrays, so that nobody has to look for them among the files."""
    arrays = {str(n): json.loads((folder / str(n) / "zarr.json").read_bytes()) for n in range(levels or 1)}
    first = arrays["0"]
    axes = len(attributes["window"])
    group = {
        "attributes": {
            "ome": _ome(attributes, first["shape"][0], first["shape"][-axes:], labels, len(arrays)),
            "everywindow": dict(attributes),
        },
        "zarr_format": 3,
        "consolidated_metadata": {"kind": "inline", "must_understand": False, "metadata": arrays},
        "node_type": "group",
    }
    scratch = folder / f"zarr.{uuid.uuid4().hex}.partial"
    with open(scratch, "x", encoding="utf-8") as file:
        json.dump(group, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    os.replace(scratch, folder / "zarr.json")
    _sync(folder)


def _ome(
    attributes: Mapping[str, Any], classes: int, counts: Sequence[int], labels: Sequence[str] | None, levels: int
) -> dict[str, Any]:
    place, source = place_of(attributes), attributes.get("source") or {}
    spacing, unit = source.get("spacing"), source.get("unit")
    scale, shift = place.ngff(spacing or (1.0,) * len(counts), source.get("offset"))
    of_unit = {"unit": unit} if spacing and unit else {}
    names = AXES[-max(2, len(counts)) :]
    axes: list[dict[str, str]] = [{"name": name, "type": "space", **of_unit} for name in names]
    if len(counts) == 1:
        axes[0].pop("unit", None)
    datasets = [_dataset(n, factors, scale, shift) for n, (_, factors) in enumerate(_ladder(counts)[:levels])]
    scales: dict[str, Any] = {"name": "scores", "axes": [{"name": "c", "type": "channel"}, *axes], "datasets": datasets}
    if levels > 1:
        scales |= {"type": "mean", "metadata": {"description": "means by 2 per axis; what was not scored is left out"}}
    low, high = (0.0, 1.0) if attributes.get("activation") == "none" else (-10.0, 10.0)
    shown = {"min": low, "max": high, "start": low, "end": high}
    channels = [
        {"label": labels[k] if labels else f"class {k}", "color": COLOURS[k % len(COLOURS)], "window": shown}
        | {"active": k < len(COLOURS)}
        for k in range(classes)
    ]
    return {"version": "0.5", "multiscales": [scales], "omero": {"channels": channels}}


def _dataset(number: int, factors: Sequence[int], scale: Sequence[float], shift: Sequence[float]) -> dict[str, Any]:
    """A level's cells: each covers so many of level 0, and lies on their middle."""
    extra = [1.0] if len(scale) == 1 else []
    scales = [step * factor for step, factor in zip(scale, factors, strict=True)]
    shifts = [t + (factor - 1) / 2 * step for t, step, factor in zip(shift, scale, factors, strict=True)]
    return {
        "path": str(number),
        "coordinateTransformations": [
            {"type": "scale", "scale": [1.0, *extra, *scales]},
            {"type": "translation", "translation": [0.0, *(0.0 for _ in extra), *shifts]},
        ],
    }


def _labels(folder: Path) -> list[str]:
    return [channel["label"] for channel in _group(folder)["attributes"]["ome"]["omero"]["channels"]]


def _ladder(counts: Sequence[int]) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Windows per axis of each level, and how many windows of level 0 each stands for; single windows stay so.

    >>> _ladder((1000, 1))
    [((1000, 1), (1, 1)), ((500, 1), (2, 1)), ((250, 1), (4, 1))]
    """
    levels = [(tuple(counts), (1,) * len(counts))]
    while max(levels[-1][0]) > LARGEST_TOP:
        sizes, factors = levels[-1]
        halves = tuple(2 if n > 1 else 1 for n in sizes)
        levels.append(
            (
                tuple(-(-n // half) for n, half in zip(sizes, halves, strict=True)),
                tuple(factor * half for factor, half in zip(factors, halves, strict=True)),
            )
        )
    return levels


def _level_chunk(store: Store) -> tuple[int, ...]:
    """Half a chunk of level 0, which takes one of those to compute, or as much as makes a file worth its name."""
    sizes = [-(-size // 2) for size in store.chunk]
    while prod(sizes) * len(store.scores) * store.scores.dtype.itemsize < LEVEL_CHUNK:
        if all(size >= n for size, n in zip(sizes, store.counts, strict=True)):
            break
        sizes = [min(2 * size, n) for size, n in zip(sizes, store.counts, strict=True)]
    return tuple(sizes)


def boxes(counts: Sequence[int], chunk: Sequence[int]) -> Iterator[tuple[Span, ...]]:
    """The windows of every chunk."""
    spans = [[(at, min(at + size, n)) for at in range(0, n, size)] for n, size in zip(counts, chunk, strict=True)]
    yield from product(*spans)


def _write_means(source: Scores, target: Any, smaller: Sequence[int], windows: Sequence[Span]) -> None:
    steps = [-(-n // m) for n, m in zip(source.shape[1:], smaller, strict=True)]
    wider = (slice(step * start, step * stop) for (start, stop), step in zip(windows, steps, strict=True))
    given = source[(slice(None), *wider)]
    values = np.empty((len(given), *(stop - start for start, stop in windows)), given.dtype)
    some = max(1, MEANS_AT_ONCE * len(given) // max(1, given.nbytes))
    for first in range(0, len(given), some):  # means take several times the memory of the scores
        values[first : first + some] = means(given[first : first + some], steps)
    spans = tuple(slice(start, stop) for start, stop in windows)
    if len(spans) == 1:
        target[:, :, spans[0]] = values[:, None]
    else:
        target[(slice(None), *spans)] = values


def means(values: np.ndarray, steps: Sequence[int]) -> np.ndarray:
    """Means of ``[K, *n]`` over blocks of so many per spatial axis, NaN left out; blocks at the end may be smaller."""
    short = [(0, -n % step) for n, step in zip(values.shape[1:], steps, strict=True)]
    padded = np.pad(values.astype(np.float64), [(0, 0), *short], constant_values=np.nan)
    blocks = [part for n, step in zip(padded.shape[1:], steps, strict=True) for part in (n // step, step)]
    cells = padded.reshape(len(values), *blocks)
    axes = tuple(range(2, cells.ndim, 2))
    scored = ~np.isnan(cells)
    number = scored.sum(axes)
    total = np.where(scored, cells, 0.0).sum(axes)
    exact = np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0)
    rounded: np.ndarray = exact.astype(values.dtype)
    return rounded


def _chunk_files(folder: Path, chunk: Sequence[int], windows: Sequence[Span]) -> Iterator[Path]:
    """The files of the chunks of a rectangle; where nothing was scored there is none."""
    spans = (range(start // size, -(-stop // size)) for (start, stop), size in zip(windows, chunk, strict=True))
    flat = ("0",) if len(chunk) == 1 else ()
    for index in product(*spans):
        yield folder.joinpath("c", "0", *flat, *map(str, index))


def _sync_with_folders(file: Path, home: Path) -> None:
    """A file and its name, and those of its folders: zarr leaves both to the system's caches."""
    if file.exists():
        _sync(file)
    for folder in file.parents:
        if folder.exists():
            _sync(folder)
        if folder == home:
            return


def _sync(path: Path) -> None:
    if path.is_dir() and os.name == "nt":  # Windows opens no folders
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _group(folder: Path) -> Any:
    return json.loads((folder / "zarr.json").read_bytes())


def _unwritable(path: Path, error: OSError) -> InputError:
    return InputError(str(path), f"cannot be written ({error.strerror or error})", "choose another place")
