"""How an image becomes one answer: some crops of it, or all of its windows. A new protocol is one entry here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor

from everywindow.errors import InputError

Sizes = tuple[int, ...]

REDUCTIONS = ("mean_probability", "mean_score", "max")
"""How the scores of many windows become those of the image, as :meth:`ScoreMap.image_scores` has them."""


class Crop(NamedTuple):
    """A window of an image: its first pixel per axis, and whether it is mirrored along the last axis."""

    start: Sizes
    mirrored: bool = False


Crops = Callable[[Sizes, Sizes], tuple[Crop, ...]]


class Protocol(NamedTuple):
    """Either crops of an image, whose probabilities are averaged, or a map of all windows in one of the modes.

    Attributes:
        name: what it is called in arguments and tables.
        about: what it does, in a few words.
        crops: (size of the image, window) to the crops.
        mode: in which the map is computed.
    """

    name: str
    about: str
    crops: Crops | None = None
    mode: str = ""


def centre(size: Sizes, window: Sizes) -> tuple[Crop, ...]:
    """The crop in the middle.

    >>> centre((10, 9), (4, 4))
    (Crop(start=(3, 2), mirrored=False),)
    """
    return (Crop(tuple(round((n - w) / 2) for n, w in zip(size, window, strict=True))),)


def corners_and_centre(size: Sizes, window: Sizes) -> tuple[Crop, ...]:
    """The crops in the corners (four in a picture), and the one in the middle."""
    ends = [(0, n - w) for n, w in zip(size, window, strict=True)]
    return (*(Crop(start) for start in product(*ends)), *centre(size, window))


def with_mirrors(crops: Crops) -> Crops:
    """The same crops, and then each mirrored."""

    def both(size: Sizes, window: Sizes) -> tuple[Crop, ...]:
        plain = crops(size, window)
        return (*plain, *(Crop(crop.start, True) for crop in plain))

    return both


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("centre", "the crop in the middle", centre),
        Protocol("mirrored", "the crop in the middle and its mirror", with_mirrors(centre)),
        Protocol("five", "the crops in the corners and in the middle", corners_and_centre),
        Protocol(
            "ten", "the crops in the corners and in the middle, and their mirrors", with_mirrors(corners_and_centre)
        ),
        Protocol("exact", "every window, as the crops give it", mode="exact"),
        Protocol("fcn", "every window, in one pass of the converted network", mode="fcn"),
        Protocol("crops", "every window, one by one", mode="crops"),
    )
}

REFERENCE = "centre"
"""What the others are compared with: it runs in any case."""

USUAL = ("centre", "mirrored", "five", "ten", "exact", "fcn")
"""What runs where nothing is asked for: ``crops`` gives the numbers of ``exact``, more slowly."""


class Method(NamedTuple):
    """A row of the table: a protocol, how its windows become one answer, and at which scales."""

    protocol: str
    reduction: str
    scales: tuple[float, ...]

    @property
    def name(self) -> str:
        """Its name in tables and files."""
        if PROTOCOLS[self.protocol].crops is not None:
            return self.protocol
        several = f", {len(self.scales)} scales" if len(self.scales) > 1 else ""
        return f"{self.protocol}, {self.reduction}{several}"

    @property
    def maps(self) -> tuple[tuple[str, float], ...]:
        """The maps that it needs: mode and scale of each; none for crops."""
        mode = PROTOCOLS[self.protocol].mode
        return tuple((mode, scale) for scale in self.scales) if mode else ()


def methods(protocols: Sequence[str], reductions: Sequence[str], scales: tuple[float, ...]) -> tuple[Method, ...]:
    """The rows: crops and maps at the first scale, maps with each reduction, and these over all scales.

    >>> [method.name for method in methods(("ten", "fcn"), ("max",), (1.0, 0.5))]
    ['centre', 'ten', 'fcn, max', 'fcn, max, 2 scales']
    """
    found: list[Method] = []
    for name in dict.fromkeys((REFERENCE, *protocols)):
        if PROTOCOLS[name].crops is not None:
            found.append(Method(name, REDUCTIONS[0], scales[:1]))
            continue
        spans = (scales[:1], scales) if len(scales) > 1 else (scales,)
        found += [Method(name, reduction, span) for span in spans for reduction in reductions]
    return tuple(found)


def stacked(pixels: Tensor, crops: Sequence[Crop], window: Sizes) -> Tensor:
    """The crops above one another, ``[C, crops · height, width]``: at the stride of a window they are its windows."""
    return torch.cat([_cut(pixels, crop, window) for crop in crops], dim=1)


def _cut(pixels: Tensor, crop: Crop, window: Sizes) -> Tensor:
    places = tuple(slice(start, start + extent) for start, extent in zip(crop.start, window, strict=True))
    cut = pixels[(slice(None), *places)]
    return cut.flip(-1) if crop.mirrored else cut


def checked_names(what: str, given: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """Names without repetitions.

    Raises:
        InputError: none, or one that is not known.
    """
    names = (given,) if isinstance(given, str) else tuple(given)
    for name in names:
        if name not in known:
            raise InputError(what, f"{name!r} is none of {', '.join(known)}", "use some of them")
    if not names:
        raise InputError(what, "there are none", f"give some of {', '.join(known)}")
    return tuple(dict.fromkeys(names))
