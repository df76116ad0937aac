"""What a comparison is asked for, checked before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from everywindow.engines import Prepared, check_mode
from everywindow.errors import InputError
from everywindow.geometry import check_step
from everywindow.graph import Output
from everywindow.models import Classifier

REFERENCE = "crops"


@dataclass(frozen=True)
class Asked:
    """What is to be compared, and how.

    Attributes:
        known, prepared: the network.
        stride: pixels between windows per axis; None for the network's.
        modes: in the order in which they run, the reference first.
        strictly: a mode that cannot run is an error; else it is left out.
        pad, scale, raw: as the image is read.
        output, memory, progress: as for a scan.
        samples: windows that go through the original network; None for all.
        seed: of the random choice of those.
    """

    known: Classifier
    prepared: Prepared
    stride: tuple[int, ...] | None
    modes: tuple[str, ...]
    strictly: bool
    pad: int | Sequence[int] | None = None
    scale: float | None = None
    raw: bool = False
    output: Output = None
    memory: int | str | None = None
    progress: bool | None = None
    samples: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.samples is not None and not (_is_whole(self.samples) and self.samples >= 1):
            raise InputError("samples", f"{self.samples!r} is not a number of windows", "give 1 or more, such as 64")
        if not _is_whole(self.seed):
            raise InputError("seed", f"{self.seed!r} is not a whole number", "give one, such as 0")

    def check_stride(self, image_size: tuple[int, ...]) -> None:
        """Raise InputError where a stride that was asked for is larger than the image."""
        check_step(self.stride, image_size, "with it there is one window on an axis, and nothing to compare")


def wanted_modes(modes: Sequence[str] | None) -> tuple[str, ...]:
    """The modes to compare, in the order in which they run: all by default, and the crops in any case.

    >>> wanted_modes(["exact", "exact"])
    ('crops', 'exact')
    """
    given = (modes,) if isinstance(modes, str) else (REFERENCE, "fcn", "exact") if modes is None else modes
    for mode in given:
        check_mode(mode)
    return (REFERENCE, *(mode for mode in dict.fromkeys(given) if mode != REFERENCE))


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
