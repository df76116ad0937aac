"""Small random classifiers in one, two and three dimensions, as Hypothesis strategies.

Every network drawn here is one that converts, unless ``wide`` layers are asked for, of which the exact engine and crops
alone take some. Whether a layer fits is found by running it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from everywindow.layers import (
    AdaptiveWindowPool,
    ChannelGroupMax,
    DistanceWeightedPool,
    LpPool,
    RotatedFilterConv,
    SpatialPyramidPool,
)
from trial_weights import positive_twin, with_trial_weights
from wide_layers import FUNCTIONS, PADDING, Attention, Border, Embedding, SqueezeExcite, Then, View

Draw = Callable[[st.SearchStrategy[Any]], Any]

WINDOWS = {1: (10, 40), 2: (8, 22), 3: (6, 11)}
"""Smallest and largest window per axis, by the number of axes."""


COPYING = ("reflect", "replicate", "circular")
"""Padding with copies of the window's own positions."""


class Pad(nn.Module):
    """Padding, a different number of pixels on each side; negative numbers crop."""

    def __init__(self, sides: Sequence[int], value: float = 0.0, mode: str = "constant") -> None:
        super().__init__()
        self.sides, self.value, self.mode = tuple(sides), value, mode

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, self.sides, self.mode, self.value if self.mode == "constant" else None)

    def extra_repr(self) -> str:
        return f"{self.sides}, value={self.value}, mode={self.mode}"


class Blur(nn.Module):
    """Blur pooling: padding, then every second position of a smoothing kernel with weights that do not train."""

    kernel: Tensor

    def __init__(self, channels: int, axes: int, mode: str | None) -> None:
        super().__init__()
        self.axes, self.mode = axes, mode
        kernel = torch.ones(())
        for _ in range(axes):
            kernel = kernel.unsqueeze(-1) * torch.tensor([0.25, 0.5, 0.25])
        self.register_buffer("kernel", kernel.expand(channels, 1, *kernel.shape).clone())

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.mode is None else F.pad(x, [1] * (2 * self.axes), self.mode)
        conv = (F.conv1d, F.conv2d, F.conv3d)[self.axes - 1]
        return conv(x, self.kernel, stride=2, groups=x.shape[1])

    def extra_repr(self) -> str:
        return f"{self.mode}"


class Residual(nn.Module):
    """``skip(x) + body(x)``, in place or not."""

    def __init__(self, body: nn.Module, skip: nn.Module, in_place: bool) -> None:
        super().__init__()
        self.body, self.skip, self.in_place = body, skip, in_place

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(x)
        skipped: Tensor = self.skip(x)
        if self.in_place:
            out += skipped
            return out
        return skipped + out

    def extra_repr(self) -> str:
        return f"in_place={self.in_place}"


class Concat(nn.Module):
    """Branches side by side on the channels."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], dim=1)


class Shuffle(nn.Module):
    """ShuffleNet's exchange of channels between groups."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        n, channels, *size = x.shape
        x = x.view(n, self.groups, channels // self.groups, *size)
        return x.transpose(1, 2).contiguous().view(n, channels, *size)

    def extra_repr(self) -> str:
        return f"{self.groups}"


class SpaceToDepth(nn.Module):
    """Patches side by side as features, by a view, a permutation and a reshape; features of a patch first or last."""

    def __init__(self, factors: Sequence[int], first: bool) -> None:
        super().__init__()
        self.kernel_size, self.first = tuple(factors), first

    def forward(self, x: Tensor) -> Tensor:
        n, channels, *size = x.shape
        whole = [length // factor for length, factor in zip(size, self.kernel_size, strict=True)]
        cut = [part for pair in zip(whole, self.kernel_size, strict=True) for part in pair]
        patches, inside = range(2, 2 + len(cut), 2), range(3, 3 + len(cut), 2)
        order = (*inside, 1) if self.first else (1, *inside)
        return x.reshape(n, channels, *cut).permute(0, *order, *patches).reshape(n, -1, *whole)

    def extra_repr(self) -> str:
        return f"{self.kernel_size}, first={self.first}"


class Unfolded(nn.Module):
    """Patches that may overlap, and their mean, maximum, or a fully connected layer over each."""

    def __init__(self, sizes: Sequence[int], steps: Sequence[int], how: str) -> None:
        super().__init__()
        self.kernel_size, self.steps, self.how = tuple(sizes), tuple(steps), how
        self.over = nn.Linear(prod(sizes), 2)

    def forward(self, x: Tensor) -> Tensor:
        axes = x.ndim - 2
        for dim, (size, step) in enumerate(zip(self.kernel_size, self.steps, strict=True), start=2):
            x = x.unfold(dim, size, step)
        patches = x.flatten(2 + axes)
        if self.how == "linear":
            made: Tensor = self.over(patches).movedim(-1, 2).flatten(1, 2)
            return made
        return patches.mean(-1) if self.how == "mean" else patches.amax(-1)

    def extra_repr(self) -> str:
        return f"{self.kernel_size}, {self.steps}, {self.how}"


class ChannelsLast(nn.Module):
    """Run a module with the channels as the last dimension, and permute back unless told otherwise."""

    def __init__(self, body: nn.Module, back: bool = True) -> None:
        super().__init__()
        self.body, self.back = body, back

    def forward(self, x: Tensor) -> Tensor:
        axes = x.ndim - 2
        x = self.body(x.permute(0, *range(2, axes + 2), 1))
        return x.permute(0, axes + 1, *range(1, axes + 1)) if self.back else x

    def extra_repr(self) -> str:
        return f"back={self.back}"


class Reduce(nn.Module):
    """Mean or maximum over dimensions, named as users name them."""

    def __init__(self, kind: str, dims: Sequence[int], keepdim: bool = False) -> None:
        super().__init__()
        self.kind, self.dims, self.keepdim = kind, tuple(dims), keepdim

    def forward(self, x: Tensor) -> Tensor:
        reduced: Tensor = getattr(x, self.kind)(self.dims, keepdim=self.keepdim)
        return reduced

    def extra_repr(self) -> str:
        return f"{self.kind!r}, {self.dims}, keepdim={self.keepdim}"


class FlattenAs(nn.Module):
    """Flatten ``[N, C, *axes]`` after a permutation of the dimensions behind the batch."""

    def __init__(self, order: Sequence[int]) -> None:
        super().__init__()
        self.order = tuple(order)

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, *self.order).reshape(x.shape[0], -1)

    def extra_repr(self) -> str:
        return f"{self.order}"


@dataclass(frozen=True, eq=False)
class Example:
    """A network in eval mode, its window and what the generator knows of it.

    Attributes:
        strides: product of the strides of its layers, per axis (not those that leave one position).
        padded: whether some layer may look outside the window.
    """

    module: nn.Module
    window: tuple[int, ...]
    channels: int
    strides: tuple[int, ...]
    padded: bool
    seed: int

    def __repr__(self) -> str:
        return (
            f"\n{self.module!r}\nwindow={self.window}, channels={self.channels}, strides={self.strides}, "
            f"padded={self.padded}, seed={self.seed}"
        )


def _covers(layer: nn.Module, axis: int, n: int) -> bool:
    """Whether the layer's kernel takes in a whole axis of ``n`` positions: its stride then moves nothing."""
    kernel, padding, dilation = (
        value[axis] if isinstance(value, tuple) else value
        for value in (getattr(layer, "kernel_size", 0), getattr(layer, "padding", 0), getattr(layer, "dilation", 1))
    )
    if getattr(layer, "padding_mode", "zeros") != "zeros" and padding != "same":
        n, padding = n + 2 * padding, 0  # a padding by itself, then a convolution without
    return kernel == n and padding == 0 and dilation == 1


class _Builder:
    """Appends layers that fit, and keeps the shape of the value inside one window."""

    def __init__(self, draw: Draw, axes: int, padded: bool, monotone: bool) -> None:
        self.draw, self.axes, self.padded, self.monotone = draw, axes, padded, monotone
        low, high = WINDOWS[axes]
        self.window = tuple(draw(st.integers(low, high)) for _ in range(axes))
        self.in_channels = draw(st.integers(1, 3))
        self.layers: list[nn.Module] = []
        self.value = torch.zeros(1, self.in_channels, *self.window)
        self.strides = (1,) * axes

    @property
    def channels(self) -> int:
        return self.value.shape[1]

    @property
    def size(self) -> tuple[int, ...]:
        return tuple(self.value.shape[2:])

    def add(self, layer: nn.Module, strides: Sequence[int] | None = None) -> bool:
        """Append the layer if it runs on the value."""
        try:
            with torch.no_grad(), warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Using padding='same'")
                value = layer.eval()(self.value)
        except (RuntimeError, ValueError):
            return False
        if value.numel() == 0:
            return False
        if strides is not None:
            sizes = enumerate(self.value.shape[2:])
            kept = [1 if _covers(layer, axis, n) else step for step, (axis, n) in zip(strides, sizes, strict=True)]
            product = tuple(a * b for a, b in zip(self.strides, kept, strict=True))
            if max(product) > 8:
                return False
            self.strides = product
        self.value = value
        self.layers.append(layer)
        return True

    def flag(self) -> bool:
        return bool(self.draw(st.booleans()))

    def each_axis(self, low: int, high: int) -> tuple[int, ...]:
        return tuple(self.draw(st.integers(low, high)) for _ in range(self.axes))

    def kind(self, name: str) -> Any:
        """The class for this number of axes: ``Conv`` is ``Conv2d`` for two."""
        return getattr(nn, f"{name}{self.axes}d")


def _activation(b: _Builder) -> nn.Module:
    if b.monotone:
        choices: list[Callable[[], nn.Module]] = [nn.ReLU, lambda: nn.PReLU(b.channels), nn.Softplus, nn.Tanh]
    else:
        choices = [
            nn.ReLU,
            lambda: nn.ReLU(inplace=True),
            nn.PReLU,
            lambda: nn.PReLU(b.channels),
            nn.Tanh,
            nn.GELU,
            lambda: nn.LeakyReLU(0.2),
            lambda: nn.SiLU(inplace=True),
            nn.Hardswish,
        ]
    layer: nn.Module = b.draw(st.sampled_from(choices))()
    return layer


def _conv(b: _Builder) -> None:
    kernel, stride, dilation = b.each_axis(1, 4), b.each_axis(1, 2), b.each_axis(1, 2)
    groups = b.draw(st.sampled_from([g for g in (1, 1, 2, b.channels) if b.channels % g == 0]))
    out = groups * b.draw(st.integers(1, max(1, 6 // groups)))
    padding: Any = 0
    if b.padded and b.flag():
        padding = tuple(b.draw(st.integers(0, k)) for k in kernel)
        if b.flag():
            padding, stride = "same", (1,) * b.axes
    conv, mode = b.kind("Conv"), b.draw(st.sampled_from(["zeros", *COPYING])) if b.flag() else "zeros"
    layer = conv(b.channels, out, kernel, stride, padding, dilation, groups=groups, bias=b.flag(), padding_mode=mode)
    b.add(layer, stride)


def _max_pool(b: _Builder) -> None:
    kernel, stride, dilation = b.each_axis(1, 3), b.each_axis(1, 3), b.each_axis(1, 2)
    padding = tuple(b.draw(st.integers(0, k // 2)) for k in kernel) if b.padded else 0
    ceil = b.padded and b.flag()
    b.add(b.kind("MaxPool")(kernel, stride, padding, dilation, ceil_mode=ceil), stride)


def _average_pool(b: _Builder) -> None:
    kernel, stride = b.each_axis(1, 3), b.each_axis(1, 3)
    padding = tuple(b.draw(st.integers(0, k // 2)) for k in kernel) if b.padded else 0
    options: dict[str, Any] = {"ceil_mode": b.padded and b.flag(), "count_include_pad": b.flag()}
    if b.axes > 1 and b.draw(st.integers(0, 3)) == 0:
        options["divisor_override"] = b.draw(st.integers(1, 7))
    b.add(b.kind("AvgPool")(kernel, stride, padding, **options), stride)


def _pad(b: _Builder) -> None:
    low = -1 if not b.padded or b.flag() else 0
    high = 2 if b.padded else 0
    sides = [b.draw(st.integers(low, high)) for _ in range(2 * b.axes)]
    value = 0.0 if b.monotone or not b.padded else b.draw(st.sampled_from([0.0, 0.25]))
    b.add(Pad(sides, value, b.draw(st.sampled_from(["constant", *COPYING]))))


def _family(b: _Builder) -> None:
    """A layer of ``everywindow.layers``."""
    kernel, stride = b.each_axis(1, 3), b.each_axis(1, 2)
    padding = tuple(b.draw(st.integers(0, k // 2)) for k in kernel) if b.padded else 0
    kinds = ["distance", "adaptive", "groups", "rotated"]
    kind = b.draw(st.sampled_from(kinds if b.monotone else ["lp", *kinds]))  # |x| falls where x is negative
    if kind == "lp":
        b.add(LpPool(b.draw(st.sampled_from([1, 2, 3.5, math.inf])), kernel, stride, padding, mean=b.flag()), stride)
    elif kind == "distance":
        b.add(DistanceWeightedPool(kernel, stride, padding, b.draw(st.sampled_from(["gaussian", "linear"]))), stride)
    elif kind == "groups":
        b.add(ChannelGroupMax(b.draw(st.sampled_from([g for g in range(1, b.channels + 1) if b.channels % g == 0]))))
    elif kind == "adaptive":
        # The pool's stride counts as the network's, for its boxes are those of the window's size.
        out = tuple(b.draw(st.integers(1, n)) for n in b.size)
        steps = [1 if o == 1 else n // o for n, o in zip(b.size, out, strict=True)]
        b.add(AdaptiveWindowPool(out, b.draw(st.sampled_from(["max", "mean"]))), steps)
    elif b.axes == 2:
        pad, turned = b.draw(st.integers(0, 1)) if b.padded else 0, b.draw(st.sampled_from([2, 4, 8]))
        filters, one = b.draw(st.integers(1, 2)), b.draw(st.integers(1, 2))
        conv = RotatedFilterConv(b.channels, filters, b.draw(st.integers(1, 3)), turned, one, pad)
        b.add(nn.Sequential(conv, ChannelGroupMax(filters)), (one, one))


def _blur(b: _Builder) -> None:
    mode = b.draw(st.sampled_from(COPYING)) if b.padded else None
    b.add(Blur(b.channels, b.axes, mode), [1 if n + 2 * b.padded == 3 else 2 for n in b.size])


def _three(b: _Builder, out: int, stride: int = 1) -> nn.Module:
    """A 3-convolution, padded to its size where the network may pad."""
    layer: nn.Module = b.kind("Conv")(b.channels, out, 3, stride, padding=1 if b.padded else 0)
    return layer


def _skip(b: _Builder) -> nn.Module:
    """What brings a skip connection to the size of an unpadded 3-convolution."""
    return nn.Identity() if b.padded else Pad([-1] * (2 * b.axes))


def _residual(b: _Builder) -> None:
    b.add(Residual(nn.Sequential(_three(b, b.channels), _activation(b)), _skip(b), b.flag()))


def _concat(b: _Builder) -> None:
    stride = b.draw(st.integers(1, 2))
    first = nn.Sequential(_three(b, 2, stride), _activation(b))
    one = b.kind("Conv")(b.channels, b.draw(st.integers(1, 3)), 1, stride)
    branches: list[nn.Module] = [first, nn.Sequential(_skip(b), one)]
    if b.flag():
        branches.append(b.kind("MaxPool")(3, stride, padding=1 if b.padded else 0))
    b.add(Concat(*branches), [1 if n == 3 and not b.padded else stride for n in b.size])


def _shuffle(b: _Builder) -> None:
    groups = [g for g in range(2, b.channels) if b.channels % g == 0]
    if groups:
        b.add(Shuffle(b.draw(st.sampled_from(groups))))


def _channels_last(b: _Builder) -> None:
    c, hidden = b.channels, b.draw(st.integers(2, 6))
    layers: list[nn.Module] = [] if b.monotone or b.flag() else [nn.LayerNorm(c)]
    layers += [nn.Linear(c, hidden), nn.Softplus() if b.monotone else nn.GELU()]
    if b.flag():
        layers.append(nn.Linear(hidden, c))
    block: nn.Module = ChannelsLast(nn.Sequential(*layers))
    if len(layers) > 2 and isinstance(layers[-1], nn.Linear) and b.flag():
        block = Residual(block, nn.Identity(), b.flag())
    b.add(block)


def _function(b: _Builder) -> None:
    b.add(Then(b.draw(st.sampled_from([name for name in FUNCTIONS if b.padded or name not in PADDING]))))


def _whole_window(b: _Builder) -> None:
    """A statistic over the window's positions."""
    groups = b.draw(st.sampled_from([g for g in (1, 2, b.channels) if b.channels % g == 0]))
    choices: list[Callable[[], nn.Module]] = [
        lambda: SqueezeExcite(b.channels),
        lambda: nn.GroupNorm(groups, b.channels),
        lambda: b.kind("InstanceNorm")(b.channels, affine=True),
        lambda: nn.LayerNorm([b.channels, *b.size]),
        lambda: b.kind("AdaptiveAvgPool")(tuple(max(1, n - b.draw(st.integers(0, 3))) for n in b.size)),
    ]
    if prod(b.size) <= 150:
        choices.append(lambda: Attention(b.channels))
    b.add(b.draw(st.sampled_from(choices))())


def _embedding(b: _Builder) -> None:
    """A constant over all axes, or over some; or one that differs near their ends only."""
    if b.flag():
        b.add(Border(b.size, b.draw(st.integers(0, 3)), b.draw(st.integers(0, 3))))
        return
    shape = (b.channels if b.flag() else 1, *(n if b.flag() else 1 for n in b.size))
    b.add(Embedding(shape, b.flag()))


def _space_to_depth(b: _Builder) -> None:
    factors = tuple(b.draw(st.sampled_from([k for k in (1, 2, 3) if n % k == 0])) for n in b.size)
    if b.axes == 2 and all(n % 2 == 0 for n in b.size) and b.flag():
        b.add(nn.PixelUnshuffle(2), [1 if n == 2 else 2 for n in b.size])
    elif b.channels * prod(factors) <= 48:
        b.add(SpaceToDepth(factors, b.flag()), factors)


def _unfolded(b: _Builder) -> None:
    sizes, steps = b.each_axis(1, 3), b.each_axis(1, 2)
    if b.axes > 1:  # a patch of a whole axis, flattened with others, is a reduction that does not convert
        sizes = tuple(1 if k == n else k for k, n in zip(sizes, b.size, strict=True))
    b.add(Unfolded(sizes, steps, b.draw(st.sampled_from(["mean", "maximum", "linear"]))), steps)


def _transposed(b: _Builder, channels: int) -> nn.Module:
    """A transposed convolution of any settings; it may cut off more than there is."""
    kernel, stride, dilation = b.each_axis(1, 4), b.each_axis(1, 3), b.each_axis(1, 2)
    padding = tuple(b.draw(st.integers(0, k // 2)) for k in kernel)
    more = tuple(b.draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True))
    groups = b.draw(st.sampled_from([g for g in (1, 1, 2, channels) if channels % g == 0]))
    out = groups * b.draw(st.integers(1, max(1, 4 // groups)))
    make = b.kind("ConvTranspose")
    layer: nn.Module = make(channels, out, kernel, stride, padding, more, groups, b.flag(), dilation)
    return layer


def _upsampling(b: _Builder) -> nn.Module:
    linear = {1: "linear", 2: "bilinear", 3: "trilinear"}[b.axes]
    factor = b.draw(st.sampled_from([2, 2, 3]))
    mode = b.draw(st.sampled_from(["nearest", "nearest-exact", linear, linear]))
    aligned = b.draw(st.integers(0, 5)) == 0 if mode == linear else None
    return nn.Upsample(scale_factor=factor, mode=mode, align_corners=aligned)


def _down_and_up(b: _Builder) -> None:
    """A stride and a finer map, as in a U-Net; beside the map before it, or added to it, where the sizes allow."""
    step = b.draw(st.sampled_from([2, 2, 3, 4]))
    stride, channels = (step,) * b.axes, b.draw(st.integers(1, 4))
    down = nn.Sequential(b.kind("Conv")(b.channels, channels, min(step, 3), stride), _activation(b))
    finer = _transposed(b, channels) if b.flag() else _upsampling(b)
    up = nn.Sequential(down, finer)
    if b.draw(st.integers(0, 3)):
        skip = Pad([side for n in reversed(b.size) for side in (0, -(n % step))])
        if b.add(Concat(up, skip), stride) or b.add(Residual(up, skip, False), stride):
            return
    b.add(up, stride)


def _too_fine(b: _Builder) -> None:
    """A finer map with nothing strided before it."""
    if prod(b.size) <= 200:
        b.add(_transposed(b, b.channels) if b.flag() else _upsampling(b))


WIDE = [_function, _function, _whole_window, _embedding, _too_fine, _down_and_up, _down_and_up, _down_and_up]
"""Layers that have a conversion at some strides only, or none."""


def _body(b: _Builder, wide: bool = False) -> None:
    layers = [_conv, _conv, _max_pool, _average_pool, _pad, _blur, _residual, _concat, _shuffle, _channels_last]
    layers += [_space_to_depth, _unfolded, _family]
    if wide:
        layers = [*layers, *WIDE]
    for _ in range(b.draw(st.integers(2 if wide else 1, 4))):
        b.draw(st.sampled_from(layers))(b)
        if b.flag():
            b.add(b.kind("BatchNorm")(b.channels))
        if b.flag():
            b.add(_activation(b))


def _bins(b: _Builder) -> None:
    """Adaptive pooling to a number of equal bins per axis."""
    out = tuple(b.draw(st.sampled_from([k for k in range(1, n + 1) if n % k == 0][:3])) for n in b.size)
    b.add(b.kind(b.draw(st.sampled_from(["AdaptiveAvgPool", "AdaptiveMaxPool"])))(out))


def _between(b: _Builder, features: int) -> list[nn.Module]:
    """What may stand before a fully connected layer."""
    choices: list[Callable[[], nn.Module]] = [
        nn.Identity,
        nn.Dropout,
        lambda: nn.BatchNorm1d(features),
        lambda: _activation(b),
    ]
    if not b.monotone and features > 2:
        choices.append(lambda: nn.LayerNorm(features))
    return [b.draw(st.sampled_from(choices))() for _ in range(b.draw(st.integers(0, 2)))]


def _fully_connected(b: _Builder) -> None:
    for _ in range(b.draw(st.integers(1, 2))):
        features = b.value.shape[1]
        for layer in _between(b, features):
            b.add(layer)
        b.add(nn.Linear(features, b.draw(st.integers(3, 5)), bias=b.flag()))


def _flat_head(b: _Builder) -> None:
    if b.flag():
        _bins(b)
    channels_first = tuple(range(1, b.axes + 2))
    orders = [channels_first, (*channels_first[1:], 1), tuple(reversed(channels_first))]
    order = b.draw(st.sampled_from(orders))
    b.add(nn.Flatten() if order == channels_first else FlattenAs(order))
    _fully_connected(b)


def _view_head(b: _Builder) -> None:
    b.add(View(b.value.shape[1:]))
    _fully_connected(b)


def _global_head(b: _Builder) -> None:
    dims = tuple(range(2, b.axes + 2))
    negative = tuple(range(-1, -b.axes - 1, -1))
    levels = [1, 2] if all(n % 2 == 0 for n in b.size) else [1]  # unequal bins of maxima do not always convert
    pool: list[nn.Module] = [
        SpatialPyramidPool(levels, "max" if b.flag() else "mean"),
        nn.Sequential(b.kind("AdaptiveAvgPool")(1), nn.Flatten()),
        nn.Sequential(b.kind("AdaptiveMaxPool")(1), nn.Flatten()),
        Reduce("mean", dims),
        Reduce("mean", negative),
        Reduce("amax", dims),
        nn.Sequential(Reduce("mean", dims, keepdim=True), nn.Flatten(1)),
        ChannelsLast(Reduce("mean", tuple(range(1, b.axes + 1))), back=False),
    ]
    b.add(b.draw(st.sampled_from(pool)))
    _fully_connected(b)


def _convolutional_head(b: _Builder) -> None:
    if b.flag():
        b.add(b.kind("Conv")(b.channels, 3, b.size))
    else:
        b.add(b.kind("Conv")(b.channels, 3, 1))
        b.add(b.kind("AdaptiveAvgPool")(1))


@st.composite
def networks(
    draw: Draw, axes: int | None = None, padded: bool | None = None, monotone: bool = False, wide: bool = False
) -> Example:
    """A network with test weights.

    Args:
        draw: given by Hypothesis.
        axes: number of spatial axes, 1 to 3; any by default.
        padded: whether layers may look outside the window; either by default.
        monotone: only layers that increase in every input, with the weights of ``positive_twin``.
        wide: also layers that look at the whole window or count positions from its corner.
    """
    axes = draw(st.sampled_from([1, 2, 2, 2, 3])) if axes is None else axes
    padded = draw(st.booleans()) if padded is None else padded
    b = _Builder(draw, axes, padded, monotone)
    _body(b, wide)
    flat = prod((b.channels, *b.size)) <= 1200
    heads = [_flat_head, _flat_head, _global_head, _convolutional_head] if flat else [_global_head]
    draw(st.sampled_from([*heads, _view_head] if wide and flat else heads))(b)
    if not monotone and b.value.ndim == 2:
        ends: list[Callable[[], nn.Module]] = [nn.Identity, lambda: nn.Softmax(1), lambda: nn.LogSoftmax(-1)]
        b.add(draw(st.sampled_from(ends))())
    seed = draw(st.integers(0, 9))
    module = nn.Sequential(*b.layers).double().eval()
    if monotone:
        positive_twin(module, seed)
    else:
        with_trial_weights(module, b.in_channels, b.window, seed)
    return Example(module, b.window, b.in_channels, b.strides, padded, seed)


@st.composite
def image_sizes(draw: Draw, example: Example, stride: Sequence[int]) -> tuple[int, ...]:
    """A size of some strides and an odd remainder more than the window, per axis."""
    most = {1: 5, 2: 3, 3: 2}[len(example.window)]
    return tuple(
        n + draw(st.integers(0, most)) * s + draw(st.integers(0, s - 1))
        for n, s in zip(example.window, stride, strict=True)
    )


@st.composite
def scan_strides(draw: Draw, example: Example) -> tuple[int, ...] | None:
    """The network's stride (None), or any: finer, coarser, coprime."""
    if draw(st.booleans()):
        return None
    return tuple(draw(st.integers(1, s + 2)) for s in example.strides)
