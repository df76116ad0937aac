"""What is measured already, kept image by image, so that a run that was stopped goes on where it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from everywindow.errors import InputError
from everywindow.evaluation.localise import Located
from everywindow.evaluation.measure import Answer, Measured
from everywindow.io import atomic_path
from everywindow.report import counted

FILE = "images.jsonl"
TOLERANCE = 1e-5
"""Code is the same where it gives the same scores but for roundings on a window of noise; weights are compared as they
are."""

NAMES = {
    "boxes_of": "other boxes",
    "weights": "another classifier",
    "graph": "another classifier",
    "facts": "another output, device or dtype",
}
"""What settings that are not called as arguments stand for."""

Record = dict[str, Any]


class State:
    """A file with a line per image; the first line says what it was measured with.

    Lines of images that have changed since are not used. A file of other settings, another classifier or other images
    is refused, or written anew.

    Attributes:
        began_anew: whether such a file was written over.
        reused: how many images were measured before.
    """

    def __init__(
        self,
        folder: str | Path | None,
        settings: Record,
        probe: list[float],
        images: Iterable[str],
        overwrite: bool = False,
    ) -> None:
        self._images, self._overwrite = set(images), overwrite
        self._file = None if folder is None else Path(folder) / FILE
        self._head = {"settings": json.loads(json.dumps(settings)), "probe": probe}
        self._kept: dict[str, Record] = {}
        self._stream: TextIO | None = None
        self.began_anew = False
        self.reused = 0

    def __enter__(self) -> State:
        if self._file is not None:
            lines = list(_lines(self._file))
            kept = {line["image"]: line for line in lines[1:] if "image" in line}
            other = self._other(lines[0], kept) if kept else ""
            if other and not self._overwrite:
                raise InputError(
                    str(self._file.parent),
                    f"holds an evaluation of {counted(len(kept), 'image')} with {other}",
                    "give out= another folder, or overwrite=True to lose that one",
                )
            self.began_anew = bool(other)
            self._kept = {} if other else kept
            with atomic_path(self._file) as scratch:
                scratch.write_text("".join(_line(line) for line in (self._head, *self._kept.values())), "utf-8")
            self._stream = self._file.open("a", encoding="utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            self._stream.close()

    def get(self, image: str, key: str) -> Measured | str | None:
        """What was measured of an image, or why it could not be; None where it has to be measured."""
        record = self._kept.get(image)
        if record is None or record.get("key") != key:
            return None
        self.reused += 1
        return str(record["problem"]) if "problem" in record else _from_record(record)

    def put(self, image: str, key: str, found: Measured | str) -> None:
        """Keep it, on the disk at once."""
        if self._stream is not None:
            self._stream.write(_line({"image": image, "key": key, **_to_record(found)}))
            self._stream.flush()

    def _other(self, head: Record, kept: Record) -> str:
        """In what a file differs from what is to be measured; empty where it goes on."""
        before, now = head.get("settings") or {}, self._head["settings"]
        names = [name for name in now if before.get(name) != now[name]]
        if names:
            return " and ".join(dict.fromkeys(_told(name, before.get(name), now[name]) for name in names[:2]))
        probe, own = np.asarray(head.get("probe", [])), np.asarray(self._head["probe"])
        limit = TOLERANCE * float(np.abs(own).max(initial=0))
        if probe.shape != own.shape or not np.allclose(probe, own, rtol=TOLERANCE, atol=limit, equal_nan=True):
            return NAMES["weights"]
        return "" if self._images & kept.keys() else "another set of images"


def _told(name: str, before: Any, now: Any) -> str:
    if name in NAMES:
        return NAMES[name]
    return f"other {name} ({_short(before)}, and now {_short(now)})"


def _short(value: Any) -> str:
    if not isinstance(value, list):
        return "none" if value is None else str(value)
    return ("×" if all(isinstance(one, int) for one in value) else ",").join(map(str, value))


def check_folder(folder: str | Path | None, images: str | Path) -> None:
    """See before a long run that the folder can be written.

    Raises:
        InputError: it cannot, or is a file, or would be a class among the images.
    """
    if folder is None:
        return
    if Path(images).is_dir() and Path(images).resolve() in (own := Path(folder).resolve(), *own.parents):
        raise InputError(
            str(folder), "lies in the folder of the images, and would be a class there", "give out= another"
        )
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(str(folder), f"is no folder to write to ({error.strerror})", "give out= another") from error


def key_of(file: Path, label: int | None, boxes: Any) -> str:
    """Another one where the image's bytes, its label or its boxes change."""
    digest = hashlib.sha256(file.read_bytes())
    digest.update(json.dumps([label, boxes]).encode())
    return digest.hexdigest()


def _lines(file: Path) -> Iterator[Record]:
    """The whole lines of a file; the last may have been cut short."""
    if not file.exists():
        return
    for line in file.read_text("utf-8", errors="replace").splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            yield record


def _line(record: Record) -> str:
    return json.dumps(record) + "\n"


def _to_record(found: Measured | str) -> Record:
    return {"problem": found} if isinstance(found, str) else found._asdict()


def _from_record(record: Record) -> Measured:
    answers = {name: Answer(tuple(top), *rest) for name, (top, *rest) in record["answers"].items()}
    located = {
        name: {klass: Located(hit, roc, tuple(map(tuple, boxes))) for klass, (hit, roc, boxes) in classes.items()}
        for name, classes in record["located"].items()
    }
    return Measured(answers, located, record["small"], tuple(record["size"]))
