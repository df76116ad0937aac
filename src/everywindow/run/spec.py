"""What is to be run, as plain data: whoever has it can work on a tile."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from everywindow.engines import Settings

FORMAT = "everywindow run 1"

Record = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """A scan in tiles.

    Attributes:
        image: path of the image.
        view: how it is taken: ``level``, ``spacing``, ``scale``, ``roi``, ``pad``, ``raw``.
        model: how a worker opens the model: ``spec``, ``weights``, ``window``, ``trust``; None where it was given as an
            object, which no other process can open.
        classifier: window, channels, mean, std, classes and activation of the model.
        mask: what is left out, and why.
        mode, output, device, dtype: as for a scan.
        stride: in pixels, per axis.
        counts, tile: windows per axis, of the image and of a tile.
        settings: what the engine has settled on.
        identities: of ``model``, ``image`` and ``mask``, by their content.
        versions: of what computes.
    """

    image: str
    view: Record
    model: Record | None
    classifier: Record
    mask: Record
    mode: str
    output: Any
    device: str
    dtype: str
    stride: tuple[int, ...]
    counts: tuple[int, ...]
    tile: tuple[int, ...]
    settings: Settings
    identities: Record
    versions: Record

    def record(self) -> Record:
        """For ``run.json``."""
        return {"format": FORMAT, **json.loads(json.dumps(dataclasses.asdict(self)))}

    @staticmethod
    def of(record: Mapping[str, Any]) -> Job:
        """From ``run.json``."""
        fields = {name: value for name, value in record.items() if name != "format"}
        for name in ("stride", "counts", "tile"):
            fields[name] = tuple(fields[name])
        return Job(**{**fields, "settings": Settings(**fields["settings"])})


SETTLED = ("tile", "settings")
"""What is chosen by measuring, or by the memory that is free: a run that goes on takes what it began with."""

PLACES = ("image", "model")
"""Where things lie: they are told apart by their content, and may have been moved."""


def difference(old: Record, new: Record) -> str | None:
    """What distinguishes two jobs, beside what was settled by measuring; None where they are the same."""
    apart = (*SETTLED, *PLACES)
    one, other = ({name: value for name, value in record.items() if name not in apart} for record in (old, new))
    return _differing({name: one.get(name) for name in other}, other)


def _differing(old: Any, new: Any, *names: str) -> str | None:
    """The first place in nested records where they differ."""
    if old == new:
        return None
    if isinstance(old, dict) and isinstance(new, dict):
        every = dict.fromkeys((*new, *old))
        return next(filter(None, (_differing(old.get(name), new.get(name), *names, name) for name in every)), None)
    return f"{' '.join(names)}: {_short(old)} then, {_short(new)} now"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
