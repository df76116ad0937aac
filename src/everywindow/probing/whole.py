"""All measurements on some images, or on noise."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import torch

from everywindow.comparing import listed, read_for, warn_of_pixels
from everywindow.engines import Prepared
from everywindow.errors import InputError
from everywindow.geometry import times
from everywindow.graph import using
from everywindow.io import Image
from everywindow.probing.answers import answers
from everywindow.probing.asked import Asked
from everywindow.probing.equivariance import shifted_layers
from everywindow.probing.fields import Field, field_of, margins
from everywindow.probing.maps import end_of_maps, map_layers
from everywindow.probing.padding import place_layers
from everywindow.probing.pools import moved_pools
from everywindow.report import Probe

NOISE = 4
"""Images of noise, where there are no others."""


def probed(asked: Asked, image: Any = None, scale: float | None = None, raw: bool = False) -> Probe:
    """Everything that can be measured.

    Raises:
        InputError: an image that cannot be used.
    """
    images = [] if image is None else listed(image) or [image]
    with using(asked.prepared.module):
        network = asked.prepared.network
        layers = () if network is None else map_layers(network)
        most = max([1, *asked.shifts, *(max(layer.period) for layer in layers)])
        room = margins(asked.window, most, asked.angles, asked.zooms)
        fields = _fields(asked, images, room, scale, raw)
        tolerance = tolerance_of(asked.prepared.dtype)
        found = answers(asked, fields)
        return Probe(
            name=asked.known.title,
            window=asked.window,
            images=len(fields),
            source="images" if images else "noise",
            paths=tuple(os.fspath(one) for one in images if isinstance(one, (str, os.PathLike))),
            activation=found.activation,
            classes=found.classes,
            single=found.single,
            top=found.top,
            tolerance=tolerance,
            answers=found.rows,
            layers=() if network is None else shifted_layers(asked.prepared, network, layers, fields),
            pools=moved_pools(asked.prepared, network, fields),
            places=() if network is None else place_layers(asked.prepared, network, layers, fields, tolerance),
            notes=tuple(_notes(asked, fields, bool(images))),
            pictures=_pictures(asked, fields[0]),
        )


def tolerance_of(dtype: torch.dtype) -> float:
    """Differences over a map's spread up to which they are taken for rounding.

    >>> tolerance_of(torch.float64)
    1e-10
    """
    return min(max(1e-10, 1000 * torch.finfo(dtype).eps), 0.05)


def _fields(asked: Asked, images: Sequence[Any], room: tuple[int, ...], scale: float | None, raw: bool) -> list[Field]:
    """The window of each image, with room around it; of noise where there are no images."""
    if not images:
        sizes = [size + 2 * margin for size, margin in zip(asked.window, room, strict=True)]
        generator = torch.Generator().manual_seed(asked.seed)
        noise = [torch.randn(asked.known.channels, *sizes, generator=generator) for _ in range(NOISE)]
        return [field_of(pixels, asked.window, room) for pixels in noise]
    found = []
    for one in images:
        read = read_for(asked.known, one, None, scale, raw)
        warn_of_pixels(asked.known, read, None)
        found.append(field_of(read.pixels, asked.window, room, _centre(asked, read)))
    return found


def _centre(asked: Asked, read: Image) -> list[float] | None:
    """The place that was asked for, in pixels of the image as it was resized."""
    if asked.at is None:
        return None
    ratios = read.downsample or (1.0,) * len(asked.at)
    centre = [place / ratio for place, ratio in zip(asked.at, ratios, strict=True)]
    if not all(0 <= place <= size for place, size in zip(centre, read.size, strict=True)):
        size = times(tuple(round(size * ratio) for size, ratio in zip(read.size, ratios, strict=True)))
        raise InputError("at", f"{asked.at} lies outside of an image of {size} px", "give a pixel in it")
    return centre


def _notes(asked: Asked, fields: Sequence[Field], given: bool) -> list[str]:
    notes = []
    if not given:
        notes.append("no images were given: measured on noise, of which nothing follows for photographs; give some")
    mirrored = sum(view.mirrored for view in fields)
    if mirrored:
        notes.append(
            f"{mirrored} of {len(fields)} images mirrored at their borders: smaller than the window with room for "
            f"its moves, {times(tuple(fields[0].pixels.shape[1:]))} px"
        )
    notes += _answer_notes(asked)
    notes += _graph_notes(asked.prepared)
    return notes


def _answer_notes(asked: Asked) -> list[str]:
    if len(asked.window) == 1:
        return ["rotations: none, for there is one axis"]
    if not asked.angles:
        return []
    plane = "" if len(asked.window) == 2 else ", in the last two axes"
    square = asked.window[-1] == asked.window[-2]
    exact = "; by 90 and 180 degrees exactly" if square else ""
    return [f"rotations are bilinear{plane}, and the corners show what lies beside the window{exact}"]


def _graph_notes(prepared: Prepared) -> list[str]:
    if prepared.network is None:
        name, why = prepared.why_not or ("network", "it cannot be captured")
        return [f"layers, their poolings and padding are not measured, for the network has no graph: {name}: {why}"]
    end = end_of_maps(prepared.network)
    return [f"no position is free of the whole window from here on: {end}"] if end else []


def _pictures(asked: Asked, view: Field) -> tuple[Any, ...]:
    """A window for the figure ``[H, W]`` or ``[H, W, C]``, from 0 to 1; nothing where it is no picture."""
    if len(view.window) != 2 or asked.known.channels not in (1, 3):
        return ()
    pixels = view.middle.float().cpu()
    if asked.known.mean is not None and asked.known.std is not None:
        mean, std = (torch.tensor(each)[:, None, None] for each in (asked.known.mean, asked.known.std))
        pixels = pixels * std + mean
    shown = pixels.clamp(0, 1).movedim(0, -1).numpy()
    return (shown[..., 0] if asked.known.channels == 1 else shown,)
