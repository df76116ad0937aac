"""The image as it is scanned: a part of a level, resized, normalised and padded, read by boxes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod

import numpy as np
import torch

from everywindow.errors import InputError
from everywindow.geometry import Span
from everywindow.io.arrays import (
    all_in_range,
    check_finite,
    fill_normalised,
    grey,
    normalised,
    per_channel,
    unit_channels,
)
from everywindow.io.choice import Resolution, choose
from everywindow.io.image import margins_of
from everywindow.io.resampling import AxisResampling, resample
from everywindow.io.source import Box, Source

RAW = "scale them to 0-1, or have them taken as they are: raw=True (--raw)"
FUZZ = 1e-6
"""A border that lies so near to one between pixels, in pixels, lies on it."""


@dataclass(frozen=True, eq=False)
class Region:
    """What is scanned of a source, in scanned pixels: those of a level or, between levels, of a resized one.

    Attributes:
        resolution: the level that is read, and what becomes of it.
        spans: per axis the scanned pixels of the whole image that belong to the region.
        margins: pixels that are added on both sides per axis.
        channels: that :meth:`read` gives.
        mean, std: per channel; None for no normalisation.
        raw: whether values are taken as they are.
    """

    source: Source
    resolution: Resolution
    spans: tuple[Span, ...]
    margins: tuple[int, ...]
    channels: int
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    raw: bool = False
    _axes: tuple[AxisResampling, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        given = self.source.levels[self.level].size
        axes = tuple(AxisResampling(n, m) for n, m in zip(given, self.resolution.size, strict=True))
        object.__setattr__(self, "_axes", axes)

    @property
    def level(self) -> int:
        """The level that is read."""
        return self.resolution.level

    @property
    def downsample(self) -> tuple[float, ...]:
        """Level-0 pixels per scanned pixel, per axis."""
        return self.resolution.downsample

    @property
    def pad(self) -> tuple[int, ...]:
        """Pixels added on both sides, per axis."""
        return self.margins

    @property
    def origin(self) -> tuple[float, ...]:
        """First scanned pixel of the region in the whole image, per axis, before padding."""
        return tuple(float(start) for start, _ in self.spans)

    @property
    def image_size(self) -> tuple[int, ...]:
        """Scanned pixels per axis, without padding."""
        return tuple(stop - start for start, stop in self.spans)

    @property
    def size(self) -> tuple[int, ...]:
        """Scanned pixels per axis, with padding."""
        return tuple(n + 2 * margin for n, margin in zip(self.image_size, self.margins, strict=True))

    @property
    def bytes_per_pixel(self) -> int:
        """Memory that reading takes per scanned pixel, all copies together, in the worst case."""
        bands, c, item = self.source.channels, self.channels, self.source.dtype.itemsize
        if self._directly:
            return 3 * bands * item + c * (item + 4) + 2
        area = prod(max(1.0, axis.ratio) for axis in self._axes) if self.resolution.resampled else 1.0
        # Decoded, gathered and kept by the source; in the classifier's channels; as float32, and its checks.
        most = area * (3 * bands * item + c * (item + 12))
        if self.resolution.resampled:
            # Float32 pixels, and of each axis in turn: what goes in, what is gathered, products and sums.
            first = area / max(1.0, self._axes[0].ratio)
            most = max(most, area * c * 4 + first * c * 20, area * c * 4 + first * c * 8 + c * 24)
        # Less the mean and over the deviation; the result; which pixels are valid.
        return math.ceil(max(most, c * 12) + c * 8 + 2)

    def read(self, box: Box) -> torch.Tensor:
        """Normalised values ``[C, *size]``, float32; padding is 0.

        Args:
            box: in scanned pixels of the padded region: from 0 to ``size``.

        Raises:
            InputError: the box is damaged in the file, or its values cannot be used.
        """
        inside, place = self._inside(box)
        shape = tuple(stop - start for start, stop in box)
        covered = tuple(max(0, stop - start) for start, stop in inside)
        wide = (torch.empty if covered == shape else torch.zeros)((self.channels, *shape), dtype=torch.float32)
        if all(covered):
            self._fill(wide[(slice(None), *place)], inside)
        return wide

    def valid(self, box: Box) -> np.ndarray | None:
        """Which pixels ``[*size]`` of a box, as in :meth:`read`, hold data; None where all do. Padding does."""
        inside, place = self._inside(box)
        if any(start >= stop for start, stop in inside):
            return None
        held = self._needed(inside)
        found = self.source.valid(held, self.level)
        if found is None:
            return None
        if self.resolution.resampled:
            found = resample(found[None].astype(np.float64), self._axes, held, inside)[0] >= 0.5
        wide = np.ones([stop - start for start, stop in box], bool)
        wide[place] = found
        return wide

    def _inside(self, box: Box) -> tuple[Box, tuple[slice, ...]]:
        """The part within the image, in scanned pixels of the whole of it, and where it lies in the box."""
        inside, place = [], []
        for (start, stop), (first, last), margin, size in zip(box, self.spans, self.margins, self.size, strict=True):
            if not 0 <= start < stop <= size:
                raise InputError("box", f"{start}:{stop} is not within the region's 0:{size}", "give one that is")
            low, high = max(start - margin, 0), min(stop - margin, last - first)
            inside.append((first + low, first + high))
            place.append(slice(low + margin - start, high + margin - start))
        return tuple(inside), tuple(place)

    def _needed(self, inside: Box) -> Box:
        """The level's pixels that the scanned ones are made of."""
        if not self.resolution.resampled:
            return inside
        return tuple(axis.needs(span) for axis, span in zip(self._axes, inside, strict=True))

    @property
    def _directly(self) -> bool:
        """Whether pixels go from the file's type to the result in one step."""
        return not self.resolution.resampled and not self.raw and all_in_range(self.source.dtype)

    def _fill(self, target: torch.Tensor, inside: Box) -> None:
        values = in_channels(self.source.read(self._needed(inside), self.level), self.channels)
        if self._directly:
            fill_normalised(target, values, self.mean, self.std)
        else:
            target.copy_(normalised(self._unit(values, inside), self.mean, self.std))

    def _unit(self, values: np.ndarray, inside: Box) -> torch.Tensor:
        held = self._needed(inside)
        absent = self._absent(held)
        if absent is not None:
            values = np.where(absent[..., None], values.dtype.type(0), values)
        unit = self._scaled(values, held)
        if absent is not None:
            fill = torch.zeros(self.channels) if self.mean is None else per_channel(self.mean, unit).flatten()
            unit[:, torch.from_numpy(absent)] = fill[:, None]
        if not self.resolution.resampled:
            return unit
        return torch.from_numpy(resample(unit.numpy(), self._axes, held, inside).astype(np.float32))

    def _absent(self, held: Box) -> np.ndarray | None:
        """Pixels without data, where what is stored there (NaN, -9999) is no brightness."""
        if self.source.dtype.kind not in "fi":
            return None
        valid = self.source.valid(held, self.level)
        return None if valid is None or valid.all() else ~valid

    def _scaled(self, values: np.ndarray, held: Box) -> torch.Tensor:
        where = f" (in the box {' × '.join(f'{start}:{stop}' for start, stop in held)} of level {self.level})"
        remedy = None
        try:
            if self.raw or values.dtype.kind == "f":
                plain = torch.from_numpy(values.astype(np.float32)).movedim(-1, 0)
                check_finite(plain, self.source.path)
                if self.raw:
                    return plain.contiguous()
            remedy = RAW
            return unit_channels(values, len(held), self.source.path)
        except InputError as error:
            raise InputError(error.what, error.why + where, remedy or error.remedy) from None


def region_of(
    source: Source,
    *,
    channels: int,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    level: int | None = None,
    spacing: float | None = None,
    roi: Sequence[tuple[float, float]] | None = None,
    scale: float | None = None,
    pad: int | Sequence[int] | None = None,
    raw: bool = False,
) -> Region:
    """What is scanned of an image.

    Args:
        source: the opened image.
        channels: what the classifier takes; of pictures, grey is made from RGB and RGB from grey.
        mean, std: per channel; None where they are not known, for no normalisation.
        level: the level that is scanned; the first where nothing else is given.
        spacing: extent of a scanned pixel: in micrometers where the file's unit is a length, else in that unit.
            A level within 1 % is taken as it is, else the next finer one is resized.
        roi: per axis the first level-0 pixel and the one after the last, at their edges; rounded outward.
        scale: scanned pixels per level-0 pixel.
        pad: widen by so many scanned pixels on both sides, per axis or for all; filled with 0, which is the mean.
        raw: take values as they are, as those of recordings and volumes always are; else integers are scaled by the
            largest value of their type and floats are taken as 0 to 1.

    Raises:
        InputError: whatever of this cannot be used, and why.

    >>> from everywindow.io.source import ArraySource
    >>> picture = ArraySource(np.full((40, 60, 1), 255, np.uint8), "picture")
    >>> region = region_of(picture, channels=1, roi=[(10, 30), (0, 60)], scale=0.5, pad=1)
    >>> region.size, region.origin, region.read(((0, 2), (0, 2)))[0].tolist()
    ((12, 32), (5.0, 0.0), [[0.0, 0.0], [0.0, 1.0]])
    """
    as_is = raw or source.physical
    _check_kind(source, channels, as_is)
    resolution = choose(source, level, spacing, scale)
    axes = len(resolution.size)
    return Region(
        source,
        resolution,
        _spans(source, resolution, roi),
        margins_of(pad, axes),
        channels,
        None if mean is None else tuple(mean),
        None if std is None else tuple(std),
        as_is,
    )


def in_channels(values: np.ndarray, channels: int) -> np.ndarray:
    """``[*size, C]`` with as many channels as the classifier takes."""
    if values.shape[-1] == channels:
        return values
    return grey(values)[..., None] if channels == 1 else np.repeat(values, channels, axis=-1)


def _check_kind(source: Source, channels: int, as_is: bool) -> None:
    pair = {source.channels, channels}
    pictures = not as_is and len(source.levels[0].size) == 2
    if len(pair) == 2 and not (pictures and pair == {1, 3}):
        raise InputError(
            source.path,
            f"has {source.channels} channels, the classifier takes {channels}",
            f"give an image with {channels} channels",
        )
    if source.dtype.kind not in "fbiu":
        raise InputError(source.path, f"values of type {source.dtype} are not pixels", "give numbers")
    if source.dtype.kind in "iu" and source.dtype.itemsize > 2 and not as_is:
        why = f"integers of {8 * source.dtype.itemsize} bits have no agreed range"
        raise InputError(source.path, why, f"convert to 8 or 16 bits, {RAW}")


def _spans(source: Source, resolution: Resolution, roi: Sequence[tuple[float, float]] | None) -> tuple[Span, ...]:
    if roi is None:
        return tuple((0, n) for n in resolution.size)
    whole = source.levels[0].size
    if len(roi) != len(whole):
        raise InputError(
            "roi", f"has {len(roi)} axes, {source.path} has {len(whole)}", "give a start and stop per axis"
        )
    return tuple(
        _span(tuple(span), first, n, d)
        for span, first, n, d in zip(roi, whole, resolution.size, resolution.downsample, strict=True)
    )


def _span(span: tuple[float, ...], whole: int, size: int, downsample: float) -> Span:
    start, stop = span
    low, high = max(float(start), 0.0), min(float(stop), float(whole))
    if not low < high:
        raise InputError(
            "roi", f"{start:g}:{stop:g} holds no pixel of 0:{whole}", "give a start below its stop, inside"
        )
    first = min(math.floor(low / downsample + FUZZ), size - 1)
    return first, min(max(math.ceil(high / downsample - FUZZ), first + 1), size)
