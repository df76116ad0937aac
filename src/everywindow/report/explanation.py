"""The story of a network: what it is made of, what the modes make of it, and what an image costs."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from everywindow.engines import Structure
from everywindow.geometry import Reason, times
from everywindow.io import atomic_file
from everywindow.report.cost import Cost
from everywindow.report.document import page
from everywindow.report.explanation_page import story
from everywindow.report.text import counted


@dataclass(frozen=True, repr=False)
class Explanation:
    """What everywindow knows of a network before it runs. ``print()`` gives it in short; notebooks show the page.

    Attributes:
        name: the network's.
        channels: of the image.
        classes: names of the classes; None where nobody gave any.
        structure: verdict, what each layer has become, where sharing ends.
        cost: mult-adds, receptive field, padding and more per layer; mult-adds, seconds and memory per mode.
    """

    name: str
    channels: int
    classes: tuple[str, ...] | None
    structure: Structure
    cost: Cost

    def html(self) -> str:
        """The page: one document that needs no other file, no script and no network."""
        parts = story(self.name, self.channels, self.classes, self.structure, self.cost)
        return page(f"{self.name} explained", parts)

    def save(self, path: str | Path) -> Path:
        """Write the page to a file, whole or not at all.

        Raises:
            InputError: a folder is there, or nothing can be written there.
        """
        with atomic_file(path) as part:
            part.write_text(self.html(), encoding="utf-8")
        return Path(path)

    def as_dict(self) -> dict[str, Any]:
        """The same as plain data for JSON."""
        known = self.structure
        return {
            "name": self.name,
            "channels": self.channels,
            "classes": None if self.classes is None else list(self.classes),
            "scores": list(known.scores),
            "converts": known.refusal is None,
            "refusal": _reason(known.refusal),
            "exact": known.verdict.exact,
            "reasons": [reason._asdict() for reason in known.verdict.reasons],
            "receptive_field": None if known.receptive_field is None else list(known.receptive_field),
            "sharing_ends": _reason(known.ends),
            "windows_alone": known.alone or None,
            "layers": [layer._asdict() for layer in known.layers],
            "cost": self.cost.as_dict(),
        }

    def __repr__(self) -> str:
        known, cost = self.structure, self.cost
        one_pass = (
            f"one pass: {known.verdict.summary()}"
            if known.refusal is None
            else f"no one pass: {known.refusal.layer}: {known.refusal.why}"
        )
        ends = [f"exact: sharing ends at {known.ends.layer}: {known.ends.why}"] if known.ends else []
        macs = ", ".join(f"{name} {each:,}" for name, each in cost.macs.items())
        windows = counted(cost.windows, "window")
        return "\n".join(
            [
                f"{self.name}: windows of {times(cost.window)} px, {cost.params:,} parameters",
                one_pass,
                *ends,
                f"mult-adds for {windows} of {times(cost.image_size)} px: {macs}",
            ]
        )

    def _repr_html_(self) -> str:
        # A frame of its own keeps the page's look from the notebook's.
        return f'<iframe srcdoc="{escape(self.html())}" style="width: 100%; height: 48rem; border: 0"></iframe>'


def _reason(reason: Reason | None) -> dict[str, Any] | None:
    return None if reason is None else reason._asdict()
