"""What is measured already, kept image by image, so that a run that was stopped goes on where it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from everywindow.errors import InputError
from everywindow.evaluation.localise import Located
from everywindow.evaluation.measure import Answer, Measured
from everywindow.io import atomic_path

FILE = "images.jsonl"
TOLERANCE = 1e-3
"""The classifier is the same where it gives the same scores but for roundings on a window of noise."""

Record = dict[str, Any]


class State:
    """A file with a line per image; the first line says what it was measured with.

    Lines of other settings, of another classifier or of images that have changed since are not used.
    """

    def __init__(self, folder: str | Path | None, settings: Record, probe: list[float]) -> None:
        self._file = None if folder is None else Path(folder) / FILE
        self._head = {"settings": json.loads(json.dumps(settings)), "probe": probe}
        self._kept: dict[str, Record] = {}
        self._stream: TextIO | None = None
        self.began_anew = False

    def __enter__(self) -> State:
        if self._file is not None:
            lines = list(_lines(self._file))
            if lines and self._is_mine(lines[0]):
                self._kept = {line["image"]: line for line in lines[1:] if "image" in line}
            else:
                self.began_anew = len(lines) > 1
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
        return str(record["problem"]) if "problem" in record else _from_record(record)

    def put(self, image: str, key: str, found: Measured | str) -> None:
        """Keep it, on the disk at once."""
        if self._stream is not None:
            self._stream.write(_line({"image": image, "key": key, **_to_record(found)}))
            self._stream.flush()

    def _is_mine(self, head: Record) -> bool:
        probe, own = np.asarray(head.get("probe", [])), np.asarray(self._head["probe"])
        if head.get("settings") != self._head["settings"] or probe.shape != own.shape:
            return False
        return bool(np.allclose(probe, own, rtol=TOLERANCE, atol=TOLERANCE * float(np.abs(own).max(initial=0))))


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
