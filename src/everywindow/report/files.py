"""Score maps as files: ``.npz``, ``.zarr`` and ``.png``, each complete or absent."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from everywindow.errors import InputError
from everywindow.geometry import Reason, Verdict
from everywindow.io import atomic_path
from everywindow.report.score_map import PathLike, ScoreMap

FORMAT = "everywindow score map 1"
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
    # The readers meet files that anything may have written or cut short, and report that in a dozen
    # exception types of zip, numpy, json and zarr; whatever it is, the file is at fault.
    try:
        scores, meta = reader(source)
        return _restore(scores, meta)
    except Exception as error:
        why = " ".join(str(error).split())[:120] or type(error).__name__
        raise InputError(str(path), f"not a readable score map ({why})", REMEDY) from error


def metadata(m: ScoreMap) -> dict[str, Any]:
    """All fields but the scores and the picture, as plain data."""
    return {
        "format": FORMAT,
        "offsets": [list(axis) for axis in m.offsets],
        "window": list(m.window),
        "stride": list(m.stride),
        "mode": m.mode,
        "activation": m.activation,
        "classes": None if m.classes is None else list(m.classes),
        "verdict": {"exact": m.verdict.exact, "reasons": [list(reason) for reason in m.verdict.reasons]},
        "image_size": list(m.image_size),
        "scale": m.scale,
        "path": m.path,
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
    if meta.get("format") != FORMAT:
        raise ValueError(f"its format is {meta.get('format')!r}, not {FORMAT!r}")
    if scores.dtype.kind != "f":
        raise ValueError(f"scores of type {scores.dtype}")
    reasons = tuple(Reason(str(layer), str(why)) for layer, why in meta["verdict"]["reasons"])
    classes = meta["classes"]
    return ScoreMap(
        scores=torch.from_numpy(np.array(scores)),
        offsets=tuple(_integers(axis) for axis in meta["offsets"]),
        window=_integers(meta["window"]),
        stride=_integers(meta["stride"]),
        mode=str(meta["mode"]),
        activation=meta["activation"],
        classes=None if classes is None else tuple(str(name) for name in classes),
        verdict=Verdict(bool(meta["verdict"]["exact"]), reasons),
        image_size=_integers(meta["image_size"]),
        scale=float(meta["scale"]),
        path=meta["path"],
        seconds=float(meta["seconds"]),
        plan=meta["plan"],
    )


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
    import zarr

    scores = _array(m)
    names = ["class", *(("z", "y", "x")[-len(m.counts) :] if len(m.counts) <= 3 else [None] * len(m.counts))]
    zarr.create_array(store=str(path), data=scores, dimension_names=names, attributes=metadata(m))


def _read_zarr(path: Path) -> tuple[np.ndarray, dict[str, Any]]:
    import zarr

    stored = zarr.open_array(str(path), mode="r")
    return np.asarray(stored[...]), dict(stored.attrs)


PICTURE = ".png"
WRITERS: dict[str, Callable[[ScoreMap, Path], None]] = {".npz": _write_npz, ".zarr": _write_zarr}
READERS: dict[str, Callable[[Path], tuple[np.ndarray, dict[str, Any]]]] = {
    ".npz": _read_npz,
    ".zarr": _read_zarr,
}
