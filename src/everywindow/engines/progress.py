"""A progress bar on stderr, for people."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any


class Progress:
    """Counts windows; shows a bar where stderr is a terminal, or where asked for."""

    def __init__(self, total: int, what: str, shown: bool | None) -> None:
        self._total, self._what = total, what
        self._shown = sys.stderr.isatty() if shown is None else shown
        self._bar: Any = None

    def __enter__(self) -> Progress:
        if self._shown:
            from tqdm import tqdm

            self._bar = tqdm(total=self._total, desc=self._what, unit="window", file=sys.stderr, dynamic_ncols=True)
        return self

    def update(self, windows: int) -> None:
        """So many more windows are done."""
        if self._bar is not None:
            self._bar.update(windows)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
