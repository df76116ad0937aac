"""Stopping on request: a run that was told to stop ends with whole tiles."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from everywindow.errors import StoppedError

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Whether somebody asked to stop, and by which signal."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __bool__(self) -> bool:
        return self.signal is not None


class _Interrupted(BaseException):
    """No Exception: nobody on the way may take it for a failure of his own."""

    def __init__(self, number: int) -> None:
        self.number = number


@contextmanager
def stoppable() -> Iterator[Stop]:
    """The first SIGINT or SIGTERM asks to stop, the second one interrupts at once; in the main thread only."""
    stop = Stop()

    def ask(number: int) -> None:
        if stop:
            raise _Interrupted(number)
        stop.signal = number

    with _handling(ask):
        yield stop


@contextmanager
def interruptible(what: str) -> Iterator[None]:
    """SIGINT and SIGTERM end what is done inside at once, and what has to be tidied up is; in the main thread only.

    Raises:
        StoppedError: there was one.
    """

    def interrupt(number: int) -> None:
        raise _Interrupted(number)

    try:
        with _handling(interrupt):
            yield
    except _Interrupted as error:
        raise StoppedError(what, "stopped on request", "run it again with --resume", error.number) from None


@contextmanager
def _handling(react: Callable[[int], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        react(number)

    before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
