"""One image at several sizes: windows of a fixed size find small and large things."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from everywindow.errors import InputError
from everywindow.report.detections import Candidates, Detection, checked_distance, checked_overlap, peaks
from everywindow.report.score_map import ScoreMap


@dataclass(frozen=True, eq=False)
class Pyramid:
    """The score maps of one image at several scales; detections of all are in pixels of the image as it was given.

    Attributes:
        maps: one for each scale, in the order in which they were asked for.
    """

    maps: tuple[ScoreMap, ...]

    def __post_init__(self) -> None:
        if not self.maps:
            raise InputError("scales", "there are none", "give one at least")

    def __len__(self) -> int:
        return len(self.maps)

    def __iter__(self) -> Iterator[ScoreMap]:
        return iter(self.maps)

    @property
    def scales(self) -> tuple[float, ...]:
        """Pixels of each scanned image per pixel of the given one."""
        return tuple(m.scale for m in self.maps)

    def shown_class(self, klass: int | str | None = None) -> int:
        """As :meth:`ScoreMap.shown_class`, by the first map."""
        return self.maps[0].shown_class(klass)

    def peaks(
        self, klass: int | str | None = None, threshold: float = 0.5, min_distance: float | None = None
    ) -> list[Detection]:
        """As :meth:`ScoreMap.peaks`; of peaks of several scales that are near to one another the strongest stays."""
        found = self.shown_class(klass)
        distance = min(checked_distance(m, min_distance) for m in self.maps)
        several = [peaks(m, found, threshold, distance) for m in self.maps]
        return Candidates.joined(several).apart(distance)

    def boxes(
        self, klass: int | str | None = None, threshold: float = 0.5, overlap: float = 0.3, average: bool = False
    ) -> list[Detection]:
        """As :meth:`ScoreMap.boxes`, among the windows of all scales."""
        found = self.shown_class(klass)
        several = [Candidates.of(m, found, threshold) for m in self.maps]
        return Candidates.joined(several).merged(checked_overlap(overlap), average)
