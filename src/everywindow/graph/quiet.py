"""What torch writes to stderr while it follows a network's code: kept from people who can do nothing with it."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch.export import _trace

_PRINTING = threading.RLock()
"""One thread at a time puts its own ``print`` into torch's module."""


@contextmanager
def quiet_torch() -> Iterator[None]:
    """No log lines and no graphs of torch's on stderr from this thread while inside.

    What fails is told in an error of this package. Other threads log as before, and so does this one where
    ``TORCH_LOGS`` asks for logs.
    """
    if os.environ.get("TORCH_LOGS"):
        yield
        return
    others_only = _OtherThreads()
    handlers = _handlers()
    for handler in handlers:
        handler.addFilter(others_only)
    try:
        with _no_graphs():
            yield
    finally:
        for handler in handlers:
            handler.removeFilter(others_only)


class _OtherThreads(logging.Filter):
    """Lets pass what other threads log, and what is not torch's."""

    def __init__(self) -> None:
        super().__init__()
        self._me = threading.get_ident()

    def filter(self, record: logging.LogRecord) -> bool:
        """Handlers are called in the thread that logs."""
        return threading.get_ident() != self._me or not _of_torch(record.name)


def _handlers() -> list[logging.Handler]:
    """All that may get a record of torch's: its loggers have handlers of their own, and may pass records upwards."""
    known = list(logging.Logger.manager.loggerDict.items())
    loggers = [logger for name, logger in known if isinstance(logger, logging.Logger) and _of_torch(name)]
    found = [handler for logger in (logging.root, *loggers) for handler in logger.handlers]
    last = [] if logging.lastResort is None else [logging.lastResort]
    return list(dict.fromkeys([*found, *last]))


def _of_torch(name: str) -> bool:
    return name == "torch" or name.startswith("torch.")


@contextmanager
def _no_graphs() -> Iterator[None]:
    """``torch.export`` prints the graph that it has so far where it gives up."""
    me = threading.get_ident()

    def print_for_others(*args: Any, **options: Any) -> None:
        if threading.get_ident() != me:
            print(*args, **options)

    scope = vars(_trace)
    with _PRINTING:
        before = scope.get("print", print)
        scope["print"] = print_for_others
        try:
            yield
        finally:
            scope["print"] = before
