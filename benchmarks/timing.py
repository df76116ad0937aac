"""Seconds, in rounds in which every side has its turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

Name = TypeVar("Name", bound=Hashable)

TURN, CALLS = 0.5, 10
"""Seconds that a turn lasts at least, and calls in it at most: a call of some hundredths of a second is all noise."""


def best_seconds(sides: Mapping[Name, Callable[[], float]], rounds: int) -> dict[Name, float]:
    """Least seconds of each side; in its turn a short one is called several times."""
    best = dict.fromkeys(sides, float("inf"))
    for _ in range(rounds):
        for name, side in sides.items():
            best[name] = min(best[name], _turn(side))
    return best


def _turn(side: Callable[[], float]) -> float:
    """Least seconds of the calls of one turn."""
    best, ends = side(), time.perf_counter() + TURN
    for _ in range(CALLS - 1):
        if best >= TURN or time.perf_counter() >= ends:
            break
        best = min(best, side())
    return best


def seconds(call: Callable[[], object]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
