"""Runs over images larger than memory: tiles, what is done of them, and who works on them."""

from everywindow.run.budget import resident
from everywindow.run.manifest import DONE, FAILED, SKIPPED, TileState, incomplete, read_run, read_states
from everywindow.run.progress import Shown
from everywindow.run.stream import Streamed, stream
from everywindow.run.task import Task
from everywindow.run.worker import work

__all__ = [
    "DONE",
    "FAILED",
    "SKIPPED",
    "Shown",
    "Streamed",
    "Task",
    "TileState",
    "incomplete",
    "read_run",
    "read_states",
    "resident",
    "stream",
    "work",
]
