"""Convolution with fewer mult-adds: minimal filtering along one axis.

``m`` neighbouring outputs of a filter of ``k`` taps need ``m + k - 1`` multiplications, not ``m·k`` (Toom and Cook;
Winograd, *Arithmetic Complexity of Computations*, 1980; for convolutional networks Lavin and Gray, 2016):

    outputs = A (G taps * B inputs)

with small constant matrices that follow from ``m + k - 2`` points and infinity. Here the filter runs along one spatial
axis; along the other each of the ``m + k - 1`` products is a plain convolution, which the library does at its full
rate, or for many channels filtered again. What the matrices cost is a few sums per value. More points save more and
round worse: those taken here round about as direct sums do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, cached_property
from math import prod

import torch
from torch import Tensor
from torch.nn import functional as F

Row = tuple[float, ...]

OUTPUTS = {3: 2, 4: 3, 5: 2}
"""Outputs at a time, by the number of taps."""

NARROW, MORE_OUTPUTS = 128, {**OUTPUTS, 3: 4}
"""Up to so many channels a sum has few terms and rounds well; then so many outputs, where ``coarse`` is allowed."""

POINTS = (Fraction(0), Fraction(1), Fraction(-1), Fraction(2), Fraction(-1, 2))
"""Where polynomials are evaluated, beside infinity; the first ``m + k - 2``. The second gives the bias its place."""

BAND = 2**21
"""Values that a band of the input or the output holds: what is computed stays near the processor."""

LEAST_WIDTH = 144
"""Channels times taps, from which the products outweigh the sums."""

LEAST_CHANNELS = 48
"""Output channels, likewise."""

WIDE, LONG = 256, 8
"""Channels, and positions along the other axis, from which filtering along both axes pays."""

LEAST_PART = 0.5
"""Part of the outputs that lie in full groups, likewise; the others are summed directly."""

LEAST_VALUES = 2**18
"""Output positions times channels, from which it pays to combine the taps."""

LARGEST = 2.0**60
"""Larger inputs are summed directly: sums of them before the products might overflow."""

APART = 2
"""Of so many outputs made together none takes anything of an input that it does not read. Of more it does: such inputs
cancel, but for a rounding of the largest."""

OUTSTANDING = 64.0
"""An input so many times the usual one is not let into the roundings of outputs that do not read it."""


@dataclass(frozen=True)
class Minimal:
    """The matrices for ``outputs`` neighbouring outputs of a filter of ``taps`` taps, row by row."""

    outputs: int
    taps: int
    of_inputs: tuple[Row, ...]
    of_taps: tuple[Row, ...]
    of_products: tuple[Row, ...]

    @property
    def products(self) -> int:
        """Multiplications for all outputs; as many inputs are read."""
        return self.outputs + self.taps - 1


def outputs_of(taps: int, channels: int, coarse: bool) -> int | None:
    """How many outputs of a filter are made together; None where it is not filtered.

    ``coarse`` allows twice the rounding of direct sums.
    """
    return (MORE_OUTPUTS if coarse and channels <= NARROW else OUTPUTS).get(taps)


@cache
def minimal(outputs: int, taps: int) -> Minimal:
    """The matrices.

    >>> minimal(2, 3).of_inputs[1]  # the sum of the second and the third input
    (0.0, 1.0, 1.0, 0.0)
    """
    points = POINTS[: outputs + taps - 2]
    others = [[other for other in points if other != point] for point in points]
    of_inputs = [[*_polynomial(roots), Fraction(0)] for roots in others] + [_polynomial(points)]
    scales = [
        prod((point - root for root in roots), start=Fraction(1)) for point, roots in zip(points, others, strict=True)
    ]
    of_taps = [
        *([point**power / scale for power in range(taps)] for point, scale in zip(points, scales, strict=True)),
        [Fraction(0)] * (taps - 1) + [Fraction(1)],
    ]
    of_products = [[point**power for point in points] + [Fraction(power == outputs - 1)] for power in range(outputs)]
    return Minimal(outputs, taps, _floats(of_inputs), _floats(of_taps), _floats(of_products))


def _polynomial(roots: Sequence[Fraction]) -> list[Fraction]:
    """Coefficients of the product of ``x - root``, lowest power first."""
    found = [Fraction(1)]
    for root in roots:
        raised, scaled = [Fraction(0), *found], [*(-root * value for value in found), Fraction(0)]
        found = [a + b for a, b in zip(raised, scaled, strict=True)]
    return found


def _floats(matrix: Sequence[Sequence[Fraction]]) -> tuple[Row, ...]:
    return tuple(tuple(map(float, row)) for row in matrix)


def worthwhile(out: int, channels: int, taps: Sequence[int]) -> bool:
    """Whether a convolution of stride 1 with one group has enough channels and taps."""
    filters = any(outputs_of(count, channels, False) for count in taps)
    return len(taps) == 2 and filters and channels * max(taps) >= LEAST_WIDTH and out >= LEAST_CHANNELS


def saves(
    x: Tensor, weight: Tensor, stride: Sequence[int], dilation: Sequence[int], groups: int, coarse: bool = False
) -> bool:
    """Whether :func:`convolution` is meant for this one: float32 maps ``[N, C, h, w]`` on a CPU, channels last."""
    if x.ndim != 4 or x.dtype != torch.float32 or x.device.type != "cpu" or groups != 1 or tuple(stride) != (1, 1):
        return False
    out, channels, *taps = weight.shape
    if not worthwhile(out, channels, taps) or x.stride(1) != 1:
        return False
    positions = len(x) * prod(output_lengths(x, weight, dilation))
    return positions * min(out, channels) >= LEAST_VALUES and _axis(x, weight, dilation, coarse) is not None


def _axis(x: Tensor, weight: Tensor, dilation: Sequence[int], coarse: bool = False) -> int | None:
    """The spatial axis, 0 or 1, along which the filter runs: the one with the larger part in full groups of outputs."""
    parts = []
    for length, taps, step in zip(output_lengths(x, weight, dilation), weight.shape[2:], dilation, strict=True):
        group = (outputs_of(taps, weight.shape[1], coarse) or length + 1) * step
        parts.append(length // group * group / length if length > 0 else 0.0)
    best = max(parts)
    return parts.index(best) if best >= LEAST_PART else None


def scratch(values: int) -> int:
    """Values that filtering holds at a time beside a map of so many and its input."""
    return 4 * min(values, BAND)


def output_lengths(x: Tensor, weight: Tensor, dilation: Sequence[int]) -> list[int]:
    """Rows and columns of the map without padding, at stride 1."""
    sizes = zip(x.shape[2:], weight.shape[2:], dilation, strict=True)
    return [size - step * (taps - 1) for size, taps, step in sizes]


def empty_map(x: Tensor, weight: Tensor, lengths: Sequence[int]) -> Tensor:
    """Memory for a convolution's output of so many rows and columns, channels last."""
    shape = (len(x), len(weight), *lengths)
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)


def convolution(x: Tensor, weight: Tensor, bias: Tensor | None, dilation: Sequence[int]) -> Tensor:
    """``conv2d`` of stride 1 without padding, where :func:`saves` says so; the result lies with its channels last."""
    return Filter(weight, bias, dilation, axis_of(x, weight, dilation))(x)


def axis_of(x: Tensor, weight: Tensor, dilation: Sequence[int], coarse: bool = False) -> int:
    """The spatial axis, 0 or 1, along which to filter, where :func:`saves` says so."""
    axis = _axis(x, weight, dilation, coarse)
    assert axis is not None
    return axis


@dataclass(frozen=True)
class Part:
    """What is done at a time: items of the batch, positions along the axis, and phases of the dilation among them."""

    items: slice
    first: int
    count: int
    phases: slice


class Filter:
    """A convolution's kernels, made ready for minimal filtering along a spatial axis (0: rows, 1: columns)."""

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        dilation: Sequence[int],
        axis: int,
        coarse: bool = False,
        most: int | None = None,
    ) -> None:
        self.axis, self.dilation = axis, tuple(dilation)
        taps, channels = weight.shape[2 + axis], weight.shape[1]
        outputs = outputs_of(taps, channels, coarse)
        assert outputs is not None
        outputs = min(outputs, most or outputs)
        self.matrices = minimal(outputs, taps)
        self._weight, self._bias = weight, bias
        kernels = [_combined(weight.unbind(2 + axis), row).unsqueeze(2 + axis) for row in self.matrices.of_taps]
        self._kernels = [kernel.contiguous(memory_format=torch.channels_last) for kernel in kernels]
        other = 1 - axis
        self._inner: list[Filter] = []
        if weight.shape[2 + other] == 3 and min(weight.shape[:2]) >= WIDE:
            self._inner = [Filter(kernel, self._bias_of(at), dilation, other) for at, kernel in enumerate(kernels)]

    @property
    def group(self) -> int:
        """Output positions along the axis that are made together."""
        return self.matrices.outputs * self.dilation[self.axis]

    def __call__(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        """The map without padding, put into ``out`` where that is given; both lie with their channels last."""
        lengths = output_lengths(x, self._weight, self.dilation)
        out = empty_map(x, self._weight, lengths) if out is None else out
        largest = _largest(x)
        if not largest < LARGEST:  # nor where it is no number
            return out.copy_(F.conv2d(x, self._weight, self._bias, 1, 0, self.dilation))
        if self.matrices.outputs > APART and largest > OUTSTANDING * _usual(x):
            return self._apart._filtered(x, out, lengths)
        return self._filtered(x, out, lengths)

    @cached_property
    def _apart(self) -> Filter:
        """The same with fewer outputs at a time."""
        return Filter(self._weight, self._bias, self.dilation, self.axis, most=APART)

    def _filtered(self, x: Tensor, out: Tensor, lengths: Sequence[int]) -> Tensor:
        at = 2 + self.axis
        reach = x.shape[at] - lengths[self.axis]
        whole = lengths[self.axis] // self.group * self.group
        for part in self._parts(x, out, whole):
            made = out[part.items].narrow(at, part.first, part.count)
            self._fill(x[part.items].narrow(at, part.first, part.count + reach), made, part.phases)
        rest = lengths[self.axis] - whole
        if rest:
            slab = x.narrow(at, whole, rest + reach)
            out.narrow(at, whole, rest).copy_(F.conv2d(slab, self._weight, self._bias, 1, 0, self.dilation))
        return out

    def _parts(self, x: Tensor, out: Tensor, whole: int) -> Iterator[Part]:
        """What is done at a time of ``whole`` positions along the axis: whole groups, or some phases of one."""
        across = x.shape[3 - self.axis] * max(x.shape[1], out.shape[1])
        step = self.dilation[self.axis]
        phases = min(step, max(1, BAND // (across * self.matrices.outputs)))
        groups = max(1, BAND // (across * self.group))
        items = max(1, BAND // (across * max(1, whole)))
        for item in range(0, len(x), items):
            for first in range(0, whole, groups * self.group):
                count = min(groups * self.group, whole - first)
                for phase in range(0, step, phases):
                    yield Part(slice(item, item + items), first, count, slice(phase, min(phase + phases, step)))

    def _fill(self, x: Tensor, out: Tensor, phases: slice) -> None:
        """Some phases of full groups of outputs: those that are ``dilation`` apart are made together."""
        at, step = 1 + self.axis, self.dilation[self.axis]
        chosen = (*[slice(None)] * (at + 1), phases)
        groups, count = out.shape[2 + self.axis] // self.group, phases.stop - phases.start
        shifted = _shifted(x.permute(0, 2, 3, 1), at, step, self.group, groups, self.matrices.products)
        inputs = [places[chosen] for places in shifted]
        products = [self._product(_combined(inputs, row), index) for index, row in enumerate(self.matrices.of_inputs)]
        pieces = out.permute(0, 2, 3, 1).unflatten(at, (groups, self.matrices.outputs, step))
        parts = [product.permute(0, 2, 3, 1).unflatten(at, (groups, count)) for product in products]
        for index, row in enumerate(self.matrices.of_products):
            _combined(parts, row, pieces.select(at + 1, index)[chosen])

    def _product(self, combined: Tensor, index: int) -> Tensor:
        """The convolution with one combination of the taps."""
        at = 1 + self.axis
        x = combined.flatten(at, at + 1).permute(0, 3, 1, 2)
        if self._inner and x.shape[3 - self.axis] >= LONG:
            inner = self._inner[index]
            lengths = output_lengths(x, inner._weight, self.dilation)
            return inner._filtered(x, empty_map(x, inner._weight, lengths), lengths)
        return F.conv2d(x, self._kernels[index], self._bias_of(index), 1, 0, self.dilation)

    def _bias_of(self, index: int) -> Tensor | None:
        """The product at the point 1 goes into all outputs once: it brings the bias."""
        return self._bias if index == 1 else None


def _largest(x: Tensor) -> float:
    """The largest absolute value; NaN where there is one."""
    low, high = torch.aminmax(x.permute(0, 2, 3, 1))
    return float(torch.maximum(-low, high))


def _usual(x: Tensor) -> float:
    """The mean absolute value of a row, of half of them less: so a few large values do not change it."""
    return float(x.permute(0, 2, 3, 1)[:, ::4].abs().mean((0, 2, 3)).median())


def _shifted(rows: Tensor, at: int, step: int, group: int, groups: int, count: int) -> list[Tensor]:
    """The inputs of all groups, one tensor for each place in a group: dimension ``at`` as ``[groups, step]``."""
    return [
        rows.narrow(at, place * step, (groups - 1) * group + step).unfold(at, step, group).movedim(-1, at + 1)
        for place in range(count)
    ]


def _combined(parts: Sequence[Tensor], row: Row, out: Tensor | None = None) -> Tensor:
    """The sum of ``parts``, each times its factor."""
    terms = sorted(((part, factor) for part, factor in zip(parts, row, strict=True) if factor), key=_is_scaled)
    (first, scale), *others = terms
    if scale == 1 and others:
        (second, factor), *others = others
        total = torch.add(first, second, alpha=factor, out=out)
    else:
        total = torch.mul(first, scale, out=out)
    for part, factor in others:
        total.add_(part, alpha=factor)
    return total


def _is_scaled(term: tuple[Tensor, float]) -> bool:
    return term[1] != 1
