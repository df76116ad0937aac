"""How far a run is: a bar for people, lines of JSON for programs."""

from __future__ import annotations

import json
import sys
import time
from types import TracebackType
from typing import Any, Literal

Shown = bool | Literal["json"] | None
"""True: a bar; ``"json"``: a line for each tile; None: a bar where stderr is a terminal."""


class RunProgress:
    """Counts windows whose tiles are done; those done earlier count as begun with."""

    def __init__(self, total: int, before: int, shown: Shown) -> None:
        self._total, self._done, self._before = total, before, before
        self._shown: Shown = sys.stderr.isatty() if shown is None else shown
        self._bar: Any = None
        self._started = time.perf_counter()

    def __enter__(self) -> RunProgress:
        if self._shown is True:
            from tqdm import tqdm

            self._bar = tqdm(
                total=self._total, initial=self._before, unit="window", unit_scale=True, file=sys.stderr, smoothing=0.1
            )
        return self

    def update(self, windows: int, failed: int) -> None:
        """A tile of so many windows is done; so many tiles have failed so far."""
        self._done += windows
        if self._bar is not None:
            if failed:
                self._bar.set_postfix(failed=failed, refresh=False)
            self._bar.update(windows)
        if self._shown == "json":
            print(json.dumps(self._record(failed)), file=sys.stderr, flush=True)

    def _record(self, failed: int) -> dict[str, Any]:
        seconds = time.perf_counter() - self._started
        rate = (self._done - self._before) / seconds if seconds > 0 else 0.0
        left = (self._total - self._done) / rate if rate > 0 else None
        return {
            "windows": self._done,
            "of": self._total,
            "windows_per_second": round(rate, 3),
            "seconds_left": None if left is None else round(left, 1),
            "failed_tiles": failed,
        }

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
