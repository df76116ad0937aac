"""Resizing by parts: linear interpolation with antialiasing whose values do not depend on the part that is asked for.

An output pixel is the mean of the input pixels under a triangle as wide as two output pixels (two input pixels, where
the image is enlarged), cut off at the image's border: what ``torch.nn.functional.interpolate`` computes with
``mode="bilinear", antialias=True``. Weights follow from the pixel's index in the whole image, and are summed in one
order, so a pixel is the same number in every part that holds it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from everywindow.geometry import Span


@dataclass(frozen=True)
class AxisResampling:
    """One axis of an image that is resized from ``size`` to ``out`` pixels.

    >>> AxisResampling(8, 4).needs((1, 2))
    (1, 5)
    """

    size: int
    out: int

    @property
    def ratio(self) -> float:
        """Input pixels per output pixel."""
        return self.size / self.out

    @property
    def taps(self) -> int:
        """Input pixels under an output pixel's triangle, at most."""
        return math.ceil(2 * self._support) + 1

    @property
    def _support(self) -> float:
        return max(self.ratio, 1.0)

    def needs(self, span: Span) -> Span:
        """The input pixels of some output pixels."""
        first, stop = self._ends(np.array([span[0], span[1] - 1]))
        return int(first[0]), int(stop[1])

    def weights(self, span: Span) -> tuple[np.ndarray, np.ndarray]:
        """Of each output pixel the input pixels ``[n, taps]`` and their weights; those beyond the triangle have 0."""
        index = np.arange(*span)
        first, stop = self._ends(index)
        pixels = first[:, None] + np.arange(self.taps)
        distance = (pixels + 0.5 - self._centres(index)[:, None]) / self._support
        weights = np.where(pixels < stop[:, None], np.maximum(0.0, 1.0 - np.abs(distance)), 0.0)
        total = np.zeros(len(index))
        for tap in range(self.taps):  # one order, however many pixels there are
            total += weights[:, tap]
        return np.minimum(pixels, stop[:, None] - 1), weights / total[:, None]

    def _centres(self, index: np.ndarray) -> np.ndarray:
        centres: np.ndarray = self.ratio * (index + 0.5)
        return centres

    def _ends(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        centres = self._centres(index)
        first = np.maximum((centres - self._support + 0.5).astype(np.int64), 0)
        return first, np.minimum((centres + self._support + 0.5).astype(np.int64), self.size)


def resample(
    values: np.ndarray, axes: Sequence[AxisResampling], given: Sequence[Span], wanted: Sequence[Span]
) -> np.ndarray:
    """``[C, *given]`` as ``[C, *wanted]``, in float64.

    Args:
        values: input pixels, those that ``wanted`` needs at least.
        axes: per spatial axis, how it is resized.
        given: the input pixels' spans in the whole input.
        wanted: spans in the whole output.

    >>> pair = AxisResampling(4, 2)
    >>> resample(np.array([[0.0, 1, 2, 3]]), [pair], [(0, 4)], [(0, 2)]).round(3).tolist()
    [[0.714, 2.286]]
    """
    for number, (axis, held, span) in enumerate(zip(axes, given, wanted, strict=True), start=1):
        values = _along(values, number, axis, held[0], span)
    return values


def _along(values: np.ndarray, number: int, axis: AxisResampling, first: int, span: Span) -> np.ndarray:
    pixels, weights = axis.weights(span)
    column = [1] * values.ndim
    column[number] = -1
    shape = list(values.shape)
    shape[number] = span[1] - span[0]
    total = np.zeros(shape)
    for tap in range(axis.taps):
        total += np.take(values, pixels[:, tap] - first, axis=number) * weights[:, tap].reshape(column)
    return total
