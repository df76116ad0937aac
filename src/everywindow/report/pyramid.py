"""One image at several sizes: windows of a fixed size find small and large things."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from everywindow.errors import InputError
from everywindow.io import atomic_path
from everywindow.report.detection import Detection
from everywindow.report.detections import Candidates, checked_distance, checked_overlap, checked_threshold, peaks
from everywindow.report.score_map import PathLike, Reduction, ScoreMap

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class Pyramid:
    """The score maps of one image at several scales; detections of all are in pixels of the image as it was given.

    ``len(found)``, ``found[0]`` and iteration give its maps.

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

    def __getitem__(self, index: int) -> ScoreMap:
        return self.maps[index]

    @property
    def scales(self) -> tuple[float, ...]:
        """Pixels of each scanned image per pixel of the given one."""
        return tuple(m.scale for m in self.maps)

    def shown_class(self, klass: int | str | None = None) -> int:
        """As :meth:`ScoreMap.shown_class`, by the first map."""
        return self.maps[0].shown_class(klass)

    def image_scores(self, kind: Reduction = "mean_probability") -> torch.Tensor:
        """As :meth:`ScoreMap.image_scores`: the mean over the scales, each of which counts alike."""
        return torch.stack([m.image_scores(kind) for m in self.maps]).mean(0)

    def strongest(self, klass: int | str | None = None) -> Detection:
        """As :meth:`ScoreMap.strongest`, among the windows of all scales."""
        found = self.shown_class(klass)
        return max(self.maps, key=lambda m: float(m.evidence(found).max())).strongest(found)

    def peaks(
        self, klass: int | str | None = None, threshold: float = 0.5, min_distance: float | None = None
    ) -> list[Detection]:
        """As :meth:`ScoreMap.peaks`; of peaks of several scales that are near to one another the strongest stays."""
        found = self.shown_class(klass)
        distance = min(checked_distance(m, min_distance) for m in self.maps)
        several = [peaks(m, found, checked_threshold(m, threshold), distance) for m in self.maps]
        return Candidates.joined(several).apart(distance)

    def boxes(
        self, klass: int | str | None = None, threshold: float = 0.5, overlap: float = 0.3, average: bool = False
    ) -> list[Detection]:
        """As :meth:`ScoreMap.boxes`, among the windows of all scales."""
        found = self.shown_class(klass)
        several = [Candidates.of(m, found, checked_threshold(m, threshold)) for m in self.maps]
        return Candidates.joined(several).merged(checked_overlap(overlap), average)

    def plot(self, image: Any = None, klass: int | str | None = None) -> Figure:
        """The heat maps of all scales side by side, all in pixels of the image as it was given.

        Args and what it returns: as for :meth:`ScoreMap.plot`.
        """
        from everywindow.report.plot import side_by_side

        return side_by_side(self.maps, image, self.shown_class(klass))

    def save(self, path: PathLike) -> None:
        """Write a folder with a ``.npz`` for each scale; it appears only when complete, in place of an older one.

        Raises:
            InputError: something else than such a folder is there, or it cannot be written.
        """
        self.check_writable(path)
        try:
            with atomic_path(path) as scratch:
                scratch.mkdir()
                for number, m in enumerate(self.maps):
                    m.save(scratch / f"{number:03}_scale_{m.scale:g}.npz")
        except OSError as error:
            why = f"cannot be written ({error.strerror or error})"
            raise InputError(str(path), why, "choose another place") from error

    @staticmethod
    def check_writable(path: PathLike) -> None:
        """See before long scans whether :meth:`save` can write there.

        Raises:
            InputError: something else than such a folder is there.
        """
        if Path(path).exists() and not _is_pyramid(Path(path)):
            raise InputError(str(path), "something else than maps of several scales is there", "choose another name")

    @staticmethod
    def load(path: PathLike) -> Pyramid:
        """Read what :meth:`save` wrote.

        Raises:
            InputError: not such a folder, or a damaged one.
        """
        folder = Path(path)
        if not _is_pyramid(folder):
            raise InputError(str(path), "not a saved pyramid", "give the folder that Pyramid.save wrote")
        return Pyramid(tuple(ScoreMap.load(file) for file in sorted(folder.iterdir())))


def _is_pyramid(folder: Path) -> bool:
    """Whether a folder holds what :meth:`Pyramid.save` writes, and nothing else."""
    names = [file.name for file in folder.iterdir()] if folder.is_dir() else []
    return bool(names) and all("_scale_" in name and name.endswith(".npz") for name in names)
