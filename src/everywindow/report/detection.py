"""A place where a class was found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Detection:
    """A place where a class was found, in pixels of the image as it was given: before it was resized or widened.

    Attributes:
        klass: index of the class.
        name: name of the class.
        start: first pixel per axis.
        stop: pixel behind the last one per axis.
        probability: of the strongest window, by the map's activation.
        score: what the network put out there.
        windows: how many windows it stands for.
        index: place of the strongest window in its map, one per spatial axis.

    >>> Detection(1, "face", (8.0, 4.0), (33.0, 29.0), 0.98, 3.9, index=(2, 1)).centre
    (20.5, 16.5)
    """

    klass: int
    name: str
    start: tuple[float, ...]
    stop: tuple[float, ...]
    probability: float
    score: float
    windows: int = 1
    index: tuple[int, ...] = ()

    @property
    def centre(self) -> tuple[float, ...]:
        """Middle per axis, in pixels from the image's edge."""
        return tuple((a + b) / 2 for a, b in zip(self.start, self.stop, strict=True))
