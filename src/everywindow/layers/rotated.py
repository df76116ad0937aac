"""One set of filters in several rotations, and the maximum over them."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from everywindow.errors import InputError
from everywindow.geometry import per_axis
from everywindow.layers.boxes import Sizes, checked, sizes, spread


class RotatedFilterConv(nn.Module):
    """A convolution of images whose filters are each applied in several rotations, with one set of weights.

    Takes ``[N, in_channels, H, W]`` and gives ``[N, out_channels * rotations, H_out, W_out]``, the rotations of
    a filter side by side: :class:`ChannelGroupMax` with ``out_channels`` groups takes the maximum over them.
    Where ``rotations`` divides by four, that map turns with the image: the map of an image turned by 90° is the map
    turned by 90° (with a stride, where it fits the size without a remainder). By other angles that holds roughly.

    Filters are turned counter-clockwise by steps of ``360° / rotations``. Multiples of 90° are exact; between them
    weights are interpolated linearly along both axes, with zeros outside the filter, so its corners count less. Turning
    is a fixed linear map of the weights. Only images: in one dimension there is nothing to turn, and in three there
    are many axes to turn about.

    Args:
        in_channels, out_channels: of the map, and number of filters.
        kernel_size: positions of a filter along both axes, one int.
        rotations: how many, 4 or 8 as a rule.
        stride, padding, dilation: as for ``nn.Conv2d``, an int or one per axis; padding is zeros.
        groups: as for ``nn.Conv2d``.
        bias: one for each filter, the same for its rotations.

    Raises:
        InputError: numbers that are not positive or do not go together.

    >>> import torch
    >>> turned = nn.Sequential(RotatedFilterConv(3, 6, 5, rotations=8), ChannelGroupMax(6))
    >>> x = torch.rand(1, 3, 20, 20)
    >>> torch.allclose(turned(x.rot90(1, (2, 3))), turned(x).rot90(1, (2, 3)), atol=1e-5)
    True
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        rotations: int = 4,
        stride: Sizes = 1,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        named = {"in_channels": in_channels, "out_channels": out_channels, "kernel_size": kernel_size}
        for name, number in {**named, "rotations": rotations, "groups": groups}.items():
            per_axis(name, number, 1)
        if in_channels % groups or out_channels % groups:
            why = f"{groups} do not divide {in_channels} and {out_channels} channels"
            raise InputError("groups", why, "give a divisor of both")
        self.in_channels, self.out_channels, self.kernel_size = in_channels, out_channels, kernel_size
        self.rotations, self.groups = rotations, groups
        self.stride, self.padding = checked("stride", stride), checked("padding", padding)
        self.dilation = checked("dilation", dilation)
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels // groups, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        self._turns = turns(kernel_size, rotations)  # no buffer: in float64, whatever the weights' precision
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """New weights, as those of ``nn.Conv2d``."""
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.weight[0].numel())
            nn.init.uniform_(self.bias, -bound, bound)

    def filters(self) -> Tensor:
        """All filters in all rotations, ``[out_channels * rotations, in_channels / groups, *kernel]``."""
        flat = self.weight.flatten(2).unsqueeze(1)
        turned = torch.matmul(flat, self._turns.to(self.weight.device, self.weight.dtype))
        return turned.reshape(-1, *self.weight.shape[1:])

    def forward(self, x: Tensor) -> Tensor:
        """``[N, in_channels, H, W]`` to ``[N, out_channels * rotations, H_out, W_out]``."""
        if x.ndim != 4:
            raise InputError("RotatedFilterConv", f"input of shape {tuple(x.shape)}", "give images [N, C, H, W]")
        bias = None if self.bias is None else self.bias.repeat_interleave(self.rotations)
        stride, dilation = sizes("stride", self.stride, 2), sizes("dilation", self.dilation, 2)
        return F.conv2d(x, self.filters(), bias, stride, spread(self.padding, 2), dilation, self.groups)

    def extra_repr(self) -> str:
        """The settings."""
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, rotations={self.rotations}, "
            f"stride={self.stride}, padding={self.padding}, dilation={self.dilation}, groups={self.groups}, "
            f"bias={self.bias is not None}"
        )


class ChannelGroupMax(nn.Module):
    """The maximum over groups of neighbouring channels: ``[N, groups * k, *axes]`` to ``[N, groups, *axes]``.

    Behind :class:`RotatedFilterConv` it takes each filter's best rotation; by itself it is a maxout layer.

    Args:
        groups: channels of the output.

    Raises:
        InputError: not a positive number, or (when called) one that does not divide the channels.

    >>> import torch
    >>> ChannelGroupMax(2)(torch.tensor([[1.0, 5.0, 3.0, 2.0]])).tolist()
    [[5.0, 3.0]]
    """

    def __init__(self, groups: int) -> None:
        super().__init__()
        (self.groups,) = per_axis("groups", groups, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``[N, groups * k, *axes]`` to ``[N, groups, *axes]``."""
        channels = x.shape[1]
        if channels % self.groups:
            raise InputError("ChannelGroupMax", f"{channels} channels in {self.groups} groups", "give a divisor")
        most: Tensor = x.unflatten(1, (self.groups, channels // self.groups)).amax(2)
        return most

    def extra_repr(self) -> str:
        """The settings."""
        return f"{self.groups}"


def turns(kernel_size: int, rotations: int) -> Tensor:
    """The maps from a filter's weights (a row) to those of the turned filters: ``[rotations, k * k, k * k]``, float64.

    A multiple of 90° only moves weights. What is left, less than 90°, interpolates.
    """
    maps = []
    for at in range(rotations):
        quarters, rest = divmod(4 * at, rotations)
        single = _interpolated(kernel_size, math.pi / 2 * rest / rotations)
        images = single.reshape(-1, kernel_size, kernel_size).rot90(quarters, (1, 2))
        maps.append(images.reshape(kernel_size**2, kernel_size**2))
    return torch.stack(maps)


def _interpolated(kernel_size: int, angle: float) -> Tensor:
    """For each weight (a row) its share in those of the filter turned counter-clockwise, about its centre."""
    if angle == 0:
        return torch.eye(kernel_size**2, dtype=torch.float64)
    along = torch.arange(kernel_size, dtype=torch.float64) - (kernel_size - 1) / 2
    y, x = (one.flatten() for one in torch.meshgrid(along, along, indexing="ij"))
    from_y, from_x = y * math.cos(angle) + x * math.sin(angle), x * math.cos(angle) - y * math.sin(angle)
    near = [(1 - (at[:, None] - source).abs()).clamp(min=0) for at, source in ((y, from_y), (x, from_x))]
    shares: Tensor = near[0] * near[1]
    return shares
