"""What is done of a run: ``run.json`` and ``tiles.jsonl`` beside the scores, and the lock that keeps others out."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from everywindow.errors import InputError
from everywindow.run.locks import hold

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
        self._handle: int | None = None
        self.states: dict[int, TileState] = {}
        self.finished = False

    def __enter__(self) -> Manifest:
        self._handle = hold(self._result / TILES, self._result)
        try:
            self._read()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def look(self) -> None:
        """Read what is recorded, without the lock."""
        self.states, self.finished = read_states(self._result)

    def failed(self) -> list[int]:
        """The tiles that failed, and were not done since."""
        return [tile for tile, state in self.states.items() if state.state == FAILED]

    def put(self, state: TileState) -> None:
        """Record a tile, whose chunk is on the disk; on the disk itself when this returns."""
        self._append(asdict(state))
        self.states[state.tile] = state

    def finish(self) -> None:
        """Record that all is done. The lines are put in order, so that they tell nothing of interruptions.

        Raises:
            InputError: it cannot be written.
        """
        lines = [_line(asdict(self.states[tile])) for tile in sorted(self.states)]
        scratch = self._result / f"{TILES}.partial"
        try:
            write_whole(scratch, "".join(lines) + _line({"finished": True}))
            os.replace(scratch, self._result / TILES)
            sync_folder(self._result)
        except OSError as error:
            raise _unwritable(self._result, error) from error
        self.finished = True

    def reopen(self, tiles: Iterable[int]) -> None:
        """Some tiles are to be done again."""
        for tile in tiles:
            del self.states[tile]
        self.finished = False

    def _append(self, record: dict[str, Any]) -> None:
        """A line that was cut short is cut off when it is read again."""
        assert self._handle is not None
        try:
            append(self._handle, _line(record).encode())
        except OSError as error:
            raise _unwritable(self._result, error) from error

    def _read(self) -> None:
        """The whole lines; one that was cut short is cut off, or the next would be added to it."""
        assert self._handle is not None
        file = self._result / TILES
        content = file.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content:
            os.truncate(self._handle, len(whole))
        self.states, self.finished = _states(whole.decode("utf-8", "replace"), file)


def read_run(result: Path) -> dict[str, Any] | None:
    """``run.json`` of a result; None where it was not streamed.

    Raises:
        InputError: damaged.
    """
    file = result / RUN
    return _parsed(file.read_bytes().decode("utf-8", "replace"), file) if file.is_file() else None


def read_states(result: Path) -> tuple[dict[int, TileState], bool]:
    """What became of the tiles, and whether the run is finished, without the lock.

    Raises:
        InputError: damaged.
    """
    file = result / TILES
    text = file.read_bytes().decode("utf-8", "replace") if file.is_file() else ""
    return _states(text[: text.rfind("\n") + 1], file)


def _states(lines: str, file: Path) -> tuple[dict[int, TileState], bool]:
    """Of a tile that was done again the last line holds; a run that was taken up again is not finished."""
    states: dict[int, TileState] = {}
    finished = False
    for line in lines.splitlines():
        record = _parsed(line, file)
        finished = bool(record.get("finished"))
        if not finished:
            states[record.get("tile", -1)] = _state(record, file)
    return states, finished


def _state(record: dict[str, Any], file: Path) -> TileState:
    try:
        state = TileState(**record)
    except TypeError as error:
        raise damaged(file, error) from error
    numbers = all(type(number) is int and number >= 0 for number in (state.tile, state.windows))
    if not numbers or state.state not in (DONE, SKIPPED, FAILED):
        raise damaged(file, ValueError(f"no state of a tile: {_line(record).strip()}"))
    return state


def incomplete(result: Path) -> str | None:
    """What a result that was streamed lacks, in words; None where it lacks nothing.

    Raises:
        InputError: its record is damaged.
    """
    if not (result / TILES).is_file():
        return None
    states, finished = read_states(result)
    if not finished:
        return f"its run is not finished ({len(states)} tiles are done); what is missing is NaN"
    failed = sum(state.state == FAILED for state in states.values())
    return f"{failed} of its {len(states)} tiles failed; their scores are NaN" if failed else None


def append(handle: int, content: bytes) -> None:
    """Add to a file and wait until it is on the disk."""
    while content:
        content = content[os.write(handle, content) :]
    os.fsync(handle)


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


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record) + "\n"


def _parsed(text: str, file: Path) -> dict[str, Any]:
    try:
        record = json.loads(text)
        if not isinstance(record, dict):
            raise ValueError("no object")
    except ValueError as error:
        raise damaged(file, error) from error
    return record


def damaged(file: Path, error: Exception) -> InputError:
    """The error of a record that cannot be used."""
    return InputError(str(file), f"damaged ({error})", "scan again, with --overwrite")


def _unwritable(result: Path, error: OSError) -> InputError:
    return InputError(str(result), f"cannot be written ({error.strerror or error})", "choose another place")
