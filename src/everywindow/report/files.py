"""Score maps as files: ``.npz``, ``.zarr`` and ``.png``, each complete or absent."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from everywindow.engines import free_bytes
from everywindow.errors import InputError
from everywindow.geometry import Place, Reason, Verdict
from everywindow.io import atomic_path, ngff
from everywindow.report.score_map import PathLike, ScoreMap
from everywindow.run import incomplete

OLDER = "everywindow score map 1"
CHUNK = 16 << 20
"""Bytes of scores that a file within a ``.zarr`` has at most."""
REMEDY = "scan the image again"


def save(m: ScoreMap, path: PathLike, klass: int | str | None = None) -> None:
    """Write by suffix; see :meth:`ScoreMap.save`."""
    check_writable(path)
    _keep_image(m, Path(path))
    try:
        with atomic_path(path) as scratch:
            if scratch.suffix.lower() == PICTURE:
                m.plot(klass=klass).savefig(scratch, format="png")
            else:
                WRITERS[scratch.suffix.lower()](m, scratch)
    except OSError as error:
        raise InputError(str(path), f"cannot be written ({error.strerror or error})", "choose another place") from error


def check_writable(path: PathLike) -> None:
    """See :meth:`ScoreMap.check_writable`."""
    target = Path(path)
    kinds = (*WRITERS, PICTURE)
    if target.suffix.lower() not in kinds:
        raise InputError(
            str(path),
            f"{target.suffix or 'no suffix'} is not a kind of result",
            f"end the name in one of {', '.join(kinds)}",
        )
    if target.is_dir() and not (target / "zarr.json").is_file():
        raise InputError(str(path), "a directory that is no zarr store is in the way", "choose another name")


def _keep_image(m: ScoreMap, target: Path) -> None:
    """The image that was scanned is not replaced by its map."""
    image = None if m.path is None else Path(m.path)
    if image is not None and image.exists() and target.exists() and image.samefile(target):
        raise InputError(str(target), "is the image that was scanned", "choose another name")


def load(path: PathLike) -> ScoreMap:
    """Read by suffix; see :meth:`ScoreMap.load`."""
    source = Path(path)
    reader = READERS.get(source.suffix.lower())
    if reader is None:
        raise InputError(str(path), "not a saved score map", f"give a file that ends in {' or '.join(READERS)}")
    if not source.exists():
        raise InputError(str(path), "no such file", "check the name")
    _check_memory(source)
    # The readers meet files that anything may have written or cut short, and report that in a dozen
    # exception types of zip, numpy, json and zarr; whatever it is, the file is at fault.
    try:
        scores, meta = reader(source)
        found = _restore(scores, meta)
    except Exception as error:
        why = " ".join(str(error).split())[:120] or type(error).__name__
        raise InputError(str(path), f"not a readable score map ({why})", REMEDY) from error
    warn_if_incomplete(source, stacklevel=4)
    return found


def warn_if_incomplete(path: PathLike, stacklevel: int = 3) -> None:
    """Say what a result that was streamed lacks; ``stacklevel`` is that of ``warnings.warn``."""
    lacks = incomplete(Path(path))
    if lacks is not None:
        warnings.warn(f"{path}: {lacks}; everywindow scan --resume goes on with it", UserWarning, stacklevel=stacklevel)


def metadata(m: ScoreMap) -> dict[str, Any]:
    """All fields but the scores and the picture, as plain data."""
    return {
        "format": ngff.FORMAT,
        "window": list(m.window),
        "stride": list(m.stride),
        "pad": list(m.where.pad),
        "origin": list(m.where.origin),
        "downsample": list(m.where.downsample),
        "counts": list(m.counts),
        "mode": m.mode,
        "activation": m.activation,
        "classes": None if m.classes is None else list(m.classes),
        "verdict": {"exact": m.verdict.exact, "reasons": [list(reason) for reason in m.verdict.reasons]},
        "image_size": list(m.image_size),
        "scale": m.scale,
        "path": m.path,
        "source": m.source,
        "seconds": m.seconds,
        "plan": plain(m.plan),
        "versions": _versions(),
    }


def plain(record: Any) -> Any:
    """A dataclass as a dict, anything else as it is."""
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        return json.loads(json.dumps(dataclasses.asdict(record), default=str))
    return record


def _versions() -> dict[str, str]:
    try:
        own = importlib.metadata.version("everywindow")
    except importlib.metadata.PackageNotFoundError:
        own = "unknown"
    return {"everywindow": own, "torch": str(torch.__version__), "numpy": np.__version__}


def _restore(scores: np.ndarray, meta: dict[str, Any]) -> ScoreMap:
    if meta.get("format") not in (ngff.FORMAT, OLDER):
        raise ValueError(f"its format is {meta.get('format')!r}, not {ngff.FORMAT!r}")
    if scores.dtype.kind != "f":
        raise ValueError(f"scores of type {scores.dtype}")
    reasons = tuple(Reason(str(layer), str(why)) for layer, why in meta["verdict"]["reasons"])
    classes = meta["classes"]
    return ScoreMap(
        scores=torch.from_numpy(np.array(scores)),
        offsets=_offsets(meta),
        window=_integers(meta["window"]),
        stride=_integers(meta["stride"]),
        mode=str(meta["mode"]),
        activation=meta["activation"],
        classes=None if classes is None else tuple(str(name) for name in classes),
        verdict=Verdict(bool(meta["verdict"]["exact"]), reasons),
        image_size=_integers(meta["image_size"]),
        scale=float(meta["scale"]),
        path=meta["path"],
        seconds=float(meta["seconds"] or 0.0),
        plan=meta["plan"],
        place=_place(meta),
        source=meta.get("source"),
    )


def _offsets(meta: dict[str, Any]) -> tuple[tuple[int, ...], ...]:
    if meta["format"] == OLDER:
        return tuple(_integers(axis) for axis in meta["offsets"])
    axes = zip(meta["counts"], meta["stride"], meta["pad"], strict=True)
    return tuple(tuple(int(i * stride - pad) for i in range(count)) for count, stride, pad in axes)


def _place(meta: dict[str, Any]) -> Place | None:
    """None where offsets and scale say it all."""
    if meta["format"] == OLDER:
        return None
    place = ngff.place_of(meta)
    plain = all(o == 0 for o in place.origin) and all(d == 1 / meta["scale"] for d in place.downsample)
    return None if plain else place


def _check_memory(path: Path) -> None:
    """A streamed map may be larger than memory; it is not read then."""
    if not ngff.is_store(path):
        return
    needed, free = ngff.Store.open(path).scores.nbytes, free_bytes(torch.device("cpu"))
    if needed > free:
        why = f"its scores take {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB of memory are free"
        raise InputError(str(path), why, "read parts of its array 0 with zarr, or one of its smaller levels")


def _integers(values: list[Any]) -> tuple[int, ...]:
    return tuple(int(value) for value in values)


def _array(m: ScoreMap) -> np.ndarray:
    """The scores for NumPy, which knows no bfloat16."""
    scores = m.scores.detach().cpu()
    return (scores.float() if scores.dtype == torch.bfloat16 else scores).contiguous().numpy()


def _write_npz(m: ScoreMap, path: Path) -> None:
    with open(path, "wb") as file:
        np.savez_compressed(file, scores=_array(m), metadata=np.array(json.dumps(metadata(m))))


def _read_npz(path: Path) -> tuple[np.ndarray, dict[str, Any]]:
    if not zipfile.is_zipfile(path):
        raise ValueError("not a zip archive, or cut short")
    with np.load(path, allow_pickle=False) as archive:
        return archive["scores"], json.loads(str(archive["metadata"]))


def _write_zarr(m: ScoreMap, path: Path) -> None:
    scores, counts = _array(m), m.counts
    chunk = list(counts)
    while np.prod(chunk) * len(scores) * scores.itemsize > CHUNK and max(chunk) > 1:
        chunk[chunk.index(max(chunk))] = -(-max(chunk) // 2)
    ngff.create(path, len(scores), counts, chunk, scores.dtype, metadata(m), m.classes)
    store = ngff.Store.open(path, writable=True)
    for windows in ngff.boxes(counts, chunk):
        store.write(windows, scores[(slice(None), *(slice(*span) for span in windows))])
    ngff.add_levels(path)


def _read_zarr(path: Path) -> tuple[np.ndarray, dict[str, Any]]:
    import zarr

    if ngff.is_store(path):
        store = ngff.Store.open(path)
        return store.scores[:], store.attributes
    stored = zarr.open_array(str(path), mode="r")
    return np.asarray(stored[...]), dict(stored.attrs)


PICTURE = ".png"
WRITERS: dict[str, Callable[[ScoreMap, Path], None]] = {".npz": _write_npz, ".zarr": _write_zarr}
READERS: dict[str, Callable[[Path], tuple[np.ndarray, dict[str, Any]]]] = {
    ".npz": _read_npz,
    ".zarr": _read_zarr,
}
