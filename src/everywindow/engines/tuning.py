"""Choosing settings by measuring them on the work itself."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from torch import nn

from everywindow.graph import Network

Setting = tuple[int, str]
"""Batch size and memory format."""


@dataclass
class Tuner:
    """Tries settings on real batches until the best is found; every trial is part of the work.

    The search starts from a middle batch in each memory format, then follows the better format to larger and
    smaller batches while they gain. A setting's first batch warms up and is not counted.

    >>> tuner = Tuner(("contiguous",), start=4, largest=4, grows=False)
    >>> tuner.next()
    (4, 'contiguous')
    >>> tuner.record((4, "contiguous"), 10.0); tuner.record((4, "contiguous"), 12.0)
    >>> tuner.best
    (4, 'contiguous')
    """

    formats: tuple[str, ...]
    start: int
    largest: int
    grows: bool = True
    rates: dict[Setting, list[float]] = field(default_factory=dict)
    trusted: set[str] = field(default_factory=lambda: {"contiguous"})
    """Memory formats in which the network is known to give the same scores."""

    def next(self) -> Setting:
        """The setting to use for the next batch."""
        return next(self._untried(), None) or self.best

    @property
    def settled(self) -> bool:
        """Whether the search is over."""
        return next(self._untried(), None) is None

    @property
    def best(self) -> Setting:
        """The fastest setting so far."""
        measured = {setting: _rate(rates) for setting, rates in list(self.rates.items()) if rates}
        return max(measured, key=measured.__getitem__) if measured else (self.start, self.formats[0])

    def record(self, setting: Setting, items_per_second: float) -> None:
        """Add a measurement of a full batch."""
        self.rates.setdefault(setting, []).append(items_per_second)

    def give_up(self, memory_format: str) -> None:
        """Leave a memory format out from now on: the network cannot run in it."""
        self.formats = tuple(name for name in self.formats if name != memory_format)
        self.rates = {setting: rates for setting, rates in self.rates.items() if setting[1] != memory_format}

    def _untried(self) -> Iterator[Setting]:
        return (candidate for candidate in self._candidates() if len(self.rates.get(candidate, ())) < 2)

    def _candidates(self) -> list[Setting]:
        found: list[Setting] = [(self.start, memory_format) for memory_format in self.formats]
        if not self.grows or any(len(self.rates.get(setting, ())) < 2 for setting in found):
            return found
        memory_format = max(found, key=lambda setting: _rate(self.rates[setting]))[1]
        return found + self._walk(memory_format, 2) + self._walk(memory_format, 0.5)

    def _walk(self, memory_format: str, factor: float) -> list[Setting]:
        """Batches ever larger (or smaller), up to the first that does not gain."""
        steps: list[Setting] = []
        before = (self.start, memory_format)
        while True:
            setting = (int(before[0] * factor), memory_format)
            if not 1 <= setting[0] <= self.largest:
                return steps
            steps.append(setting)
            if len(self.rates.get(setting, ())) < 2 or _rate(self.rates[setting]) <= _rate(self.rates[before]):
                return steps
            before = setting


def _rate(rates: list[float]) -> float:
    """The best rate after the first, which warms up."""
    return max(rates[1:] or rates)


_KEPT: WeakKeyDictionary[nn.Module | Network, dict[Hashable, Tuner]] = WeakKeyDictionary()


def tuner_for(owner: nn.Module | Network, key: Hashable, fresh: Tuner) -> Tuner:
    """The tuner that earlier scans with this module or graph have trained, or the fresh one."""
    return _KEPT.setdefault(owner, {}).setdefault(key, fresh)
