"""What is done of a run: ``run.json`` and ``tiles.jsonl`` beside the scores, and the lock that keeps others out."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from everywindow.errors import InputError

RUN, TILES = "run.json", "tiles.jsonl"

DONE, SKIPPED, FAILED = "done", "skipped", "failed"


@dataclass(frozen=True)
class TileState:
    """What became of a tile.

    Attributes:
        tile: its number.
        state: ``"done"``, ``"skipped"`` (nothing there is wanted) or ``"failed"``.
        windows: how many were scored.
        reason: of a failure.
    """

    tile: int
    state: str
    windows: int = 0
    reason: str = ""


class Manifest:
    """The record of a run in its result; as a context it holds the lock.

    Args:
        result: the folder of the result.

    Raises:
        InputError: another run works on it, or its record is damaged.
    """

    def __init__(self, result: Path) -> None:
        self._result = result
        self._stream: TextIO | None = None
        self.states: dict[int, TileState] = {}
        self.finished = False

    def __enter__(self) -> Manifest:
        file = self._result / TILES
        while True:
            self._stream = file.open("a+", encoding="utf-8")
            self._lock(self._stream)
            # Whoever had the lock may have finished, and put another file in this one's place.
            if file.exists() and os.path.samestat(os.fstat(self._stream.fileno()), os.stat(file)):
                break
            self._stream.close()
        self._read()
        return self

    def _lock(self, stream: TextIO) -> None:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            stream.close()
            why = "another run is working on it"
            raise InputError(str(self._result), why, "wait for it, or give another name") from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stream is not None:
            self._stream.close()

    def put(self, state: TileState) -> None:
        """Record a tile, whose chunk is on the disk; on the disk itself when this returns."""
        self._append({"tile": state.tile, "state": state.state, "windows": state.windows, "reason": state.reason})
        self.states[state.tile] = state

    def finish(self) -> None:
        """Record that all is done. The lines are put in order, so that they tell nothing of interruptions."""
        lines = [_line(_record(self.states[tile])) for tile in sorted(self.states)]
        scratch = self._result / f"{TILES}.partial"
        write_whole(scratch, "".join(lines) + _line({"finished": True}))
        os.replace(scratch, self._result / TILES)
        sync_folder(self._result)
        self.finished = True

    def reopen(self, tiles: Iterator[int] | list[int]) -> None:
        """Some tiles are to be done again."""
        for tile in tiles:
            del self.states[tile]
        self.finished = False

    def _append(self, record: dict[str, Any]) -> None:
        assert self._stream is not None
        self._stream.write(_line(record))
        self._stream.flush()
        os.fsync(self._stream.fileno())

    def _read(self) -> None:
        """The whole lines; one that was cut short is cut off, or the next would be added to it."""
        assert self._stream is not None
        self._stream.seek(0)
        text = self._stream.read()
        whole = text[: text.rfind("\n") + 1]
        if whole != text:
            os.truncate(self._stream.fileno(), len(whole.encode()))
        for line in whole.splitlines():
            record = _parsed(line, self._result / TILES)
            self.finished = bool(record.get("finished"))
            if not self.finished:
                self.states[record["tile"]] = TileState(**record)


def read_run(result: Path) -> dict[str, Any] | None:
    """``run.json`` of a result; None where it was not streamed.

    Raises:
        InputError: damaged.
    """
    file = result / RUN
    return _parsed(file.read_text("utf-8"), file) if file.is_file() else None


def read_states(result: Path) -> tuple[dict[int, TileState], bool]:
    """What became of the tiles, and whether the run is finished, without the lock."""
    manifest = Manifest(result)
    text = (result / TILES).read_text("utf-8") if (result / TILES).is_file() else ""
    for line in text[: text.rfind("\n") + 1].splitlines():
        record = _parsed(line, result / TILES)
        manifest.finished = bool(record.get("finished"))
        if not manifest.finished:
            manifest.states[record["tile"]] = TileState(**record)
    return manifest.states, manifest.finished


def write_whole(file: Path, text: str) -> None:
    """Write and wait until it is on the disk."""
    with file.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _record(state: TileState) -> dict[str, Any]:
    return {"tile": state.tile, "state": state.state, "windows": state.windows, "reason": state.reason}


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record) + "\n"


def _parsed(text: str, file: Path) -> dict[str, Any]:
    try:
        record = json.loads(text)
        if not isinstance(record, dict):
            raise ValueError("no object")
    except ValueError as error:
        raise InputError(str(file), f"damaged ({error})", "scan again, with --overwrite") from error
    return record
