"""What is found for one network, and what of it is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

import oracle

EQUAL = oracle.TOLERANCE[torch.float64]
EQUAL_SINGLE = 1e-6
"""The same for networks that compute parts in float32 whatever they are given: a few roundings of it."""

STEADY = EQUAL / 20 / torch.finfo(torch.float64).eps
"""Most that a network may amplify roundings: else scores that differ say nothing of how they were computed."""

APART = 1e-4
"""Least spread of the scores between windows, relative to the largest: differences are measured in units of the
spread, and roundings of float64 are then 1e-12 of it, a hundredth of what counts as equal."""

UNMOVED, MOVED = 1e-12, 1e-7
"""Largest change of a score, over the spread, that counts as none, and the least that counts as one."""

GAINS = 1.005
"""Least ratio of mult-adds, crops to exact, that counts as sharing."""

PLAIN, CONTEXT, TAKEN = "plain", "context", "taken"
"""How a network converts: layer by layer; with the context of the window around each position, inside; with windows
taken from the map, as something of the whole window comes last."""

KINDS = {
    "convolutional": "one pass, layer by layer",
    "with context inside": "one pass, in which each position takes the context of the window around it "
    "(squeeze-and-excitation and the like)",
    "whole window at the end": "one pass, and windows taken from its map where little is left to compute",
    "hybrid": "no conversion; windows share the layers before those that look at the whole window",
    "attention or token mixing": "no conversion, and windows share next to nothing",
    "refused": "mixes the items of a batch: no mode scores it",
    "not tried": "took longer than the limit",
}
"""What the rows are grouped by, and what it says."""

MAY_BE_REFUSED = {
    "torchvision": ["maxvit", "swin", "swin_v2", "vit"],
    "timm": [
        "beit",
        "byoanet",
        "byobnet/bat",
        "cait",
        "coat",
        "convit",
        "cpubone",
        "crossvit",
        "csatv2",
        "davit",
        "deepseek_vit",
        "deit",
        "edgenext",
        "efficientformer",
        "efficientformer_v2",
        "efficientvim",
        "efficientvit_mit",
        "efficientvit_msra",
        "eva",
        "fastvit",
        "gcvit",
        "gemma4_vit",
        "hiera",
        "hieradet_sam2",
        "iformer",
        "levit",
        "lowformer",
        "maxxvit",
        "metaformer/caformer",
        "mlp_mixer",
        "mobilenetv3/mobilenetv4",
        "mobilenetv5",
        "mobilevit",
        "mvitv2",
        "naflexvit",
        "nest",
        "nextvit",
        "pit",
        "pvt_v2",
        "qwen3_vit",
        "sequencer",
        "shvit",
        "swiftformer",
        "swin_transformer",
        "swin_transformer_v2",
        "swin_transformer_v2_cr",
        "tiny_vit",
        "tnt",
        "twins",
        "vision_transformer",
        "vision_transformer_hybrid",
        "vision_transformer_relpos",
        "vision_transformer_sam",
        "visformer",
        "vitamin",
        "volo",
        "xcit",
    ],
}
"""Families of torchvision, files or families of timm, that may be refused: some of their networks attend over
positions, mix tokens, cut the window into windows, or run a recurrence over it. Any other refusal is wrong."""

MIXES = ("csatv2",)
"""Files of timm whose networks mix the items of a batch."""


@dataclass(frozen=True)
class Row:
    """What was found for one network.

    Attributes:
        library: ``torchvision`` or ``timm``.
        family: of timm, the file and the leading word; of torchvision, that word.
        window: pixels per axis.
        converts: how it does; empty where it has no plain conversion.
        exact: whether the verdict says that one pass equals the crops on larger images.
        reason: the verdict's reasons, or why it was refused.
        native: relative difference to the original at the window's size.
        larger: relative difference to the crops on the larger image.
        macs_window, macs_crops, macs_fcn: mult-adds for one window, and for the larger image.
        seconds: of processor time that the row took.
        wrong: what is wrong with the row; empty where nothing is.
        untried: why nothing was found; empty where something was.
        single: whether parts of it compute in float32, though it is given float64.
        refused: whether no mode scores the network.
        stride: the network's.
        coprime: a stride per axis that has no divisor in common with it.
        at_stride, at_half, at_coprime: relative difference of the exact engine to the crops at the network's stride,
            at half of it and at the coprime one; None where that was not tried.
        outside: change of a window's score, over the spread, as the pixels just outside that window change; None where
            the network cannot be captured, for it then scores each window's own pixels.
        gain: mult-adds of the crops over those of the exact engine, at the network's stride on an image of four times
            the window.
        ends: where sharing ends, and why.
    """

    library: str
    name: str
    family: str = ""
    window: int = 0
    image_size: tuple[int, int] = (0, 0)
    converts: str = ""
    exact: bool = False
    reason: str = ""
    native: float | None = None
    larger: float | None = None
    macs_window: int = 0
    macs_crops: int = 0
    macs_fcn: int = 0
    seconds: float = 0.0
    wrong: str = ""
    untried: str = ""
    refused: bool = False
    single: bool = False
    stride: int = 0
    coprime: tuple[int, int] = (0, 0)
    at_stride: float | None = None
    at_half: float | None = None
    at_coprime: float | None = None
    outside: float | None = None
    gain: float = 0.0
    ends: str = ""

    @property
    def kind(self) -> str:
        """The one of :data:`KINDS` that it is, by what was found."""
        if self.untried:
            return "not tried"
        if self.refused:
            return "refused"
        if self.converts:
            return {PLAIN: "convolutional", CONTEXT: "with context inside"}.get(
                self.converts, "whole window at the end"
            )
        return "hybrid" if self.gain > GAINS else "attention or token mixing"

    @property
    def limit(self) -> float:
        """Largest difference that counts as equal."""
        return EQUAL_SINGLE if self.single else EQUAL

    @property
    def equals(self) -> bool:
        """Whether the exact engine gave the crops' scores wherever that was tried."""
        tried = [found for found in (self.at_stride, self.at_half, self.at_coprime) if found is not None]
        return bool(tried) and max(tried) <= self.limit

    @classmethod
    def read(cls, kept: Mapping[str, Any]) -> Row:
        """A row as JSON has it."""
        return cls(**{**kept, **{name: tuple(kept[name]) for name in ("image_size", "coprime")}})


def may_be_refused(library: str, family: str) -> bool:
    """Whether a network of that family need have no conversion."""
    return bool({family, family.partition("/")[0]} & set(MAY_BE_REFUSED[library]))


def of_library(rows: Iterable[Row], library: str) -> list[Row]:
    """The rows of one library, in their order."""
    return [row for row in rows if row.library == library]
