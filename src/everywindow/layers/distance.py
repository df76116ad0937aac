"""A mean in which positions near the middle of the box weigh more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from everywindow.errors import InputError
from everywindow.layers.boxes import Sizes, axes_of, checked, checked_padding, sizes, spread

Weights = Literal["gaussian", "linear"]


class DistanceWeightedPool(nn.Module):
    """The mean of each box, weighted by the distance to the box's centre; channel by channel, nothing is learned.

    Takes ``[N, C, *axes]`` with one, two or three axes and gives ``[N, C, *out]``, each
    ``out = floor((n + 2 * padding - kernel_size) / stride) + 1``. The weights of a box add up to one. Padding is zeros
    that count with their weights, as in ``nn.AvgPool2d``: near the border the result is smaller.

    With distances ``d`` in positions from the box's centre (between two positions where the kernel is even):

    - ``"gaussian"``: ``exp(-Σ (d_axis / sigma_axis)² / 2)``
    - ``"linear"``: ``1 - |d| / (D + 1)`` with ``D`` the distance of the farthest position, which so keeps some weight

    Args:
        kernel_size: positions of a box, an int or one per axis.
        stride: positions between boxes; ``kernel_size`` by default.
        padding: zeros on each side, at most half of the kernel.
        weights: ``"gaussian"`` or ``"linear"``.
        sigma: of the Gaussian, in positions, one number or one per axis; a quarter of the kernel by default.

    Raises:
        InputError: unknown weights, a sigma that is not positive, or sizes that do not go together.

    >>> import torch
    >>> DistanceWeightedPool(3, weights="linear")(torch.tensor([[[1.0, 2.0, 1.0]]]))
    tensor([[[1.5000]]])
    """

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        weights: Weights = "gaussian",
        sigma: float | Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = checked("kernel_size", kernel_size)
        self.stride = self.kernel_size if stride is None else checked("stride", stride)
        self.padding = checked_padding(self.kernel_size, padding)
        self.weights = weights
        self.sigma = _checked_sigma(weights, sigma)

    def kernel(self, axes: int) -> Tensor:
        """The weights of a box with this number of axes, ``[*kernel_size]`` in float64.

        >>> DistanceWeightedPool(4, sigma=1.0).kernel(1).sum()
        tensor(1., dtype=torch.float64)
        """
        lengths = sizes("kernel_size", self.kernel_size, axes)
        away = [torch.arange(n, dtype=torch.float64) - (n - 1) / 2 for n in lengths]
        if self.weights == "gaussian":
            away = [one / sigma for one, sigma in zip(away, self._sigmas(lengths), strict=True)]
        square = sum(one**2 for one in torch.meshgrid(*away, indexing="ij"))
        assert isinstance(square, Tensor)
        weights = (
            torch.exp(-square / 2) if self.weights == "gaussian" else 1 - square.sqrt() / (square.max().sqrt() + 1)
        )
        return weights / weights.sum()

    def forward(self, x: Tensor) -> Tensor:
        """``[N, C, *axes]`` to ``[N, C, *out]``."""
        axes, channels = axes_of(x, "DistanceWeightedPool"), x.shape[1]
        kernel = self.kernel(axes).to(x.device, x.dtype)
        convolve = (F.conv1d, F.conv2d, F.conv3d)[axes - 1]
        shared = kernel.expand(channels, 1, *kernel.shape)
        stride = sizes("stride", self.stride, axes)
        pooled: Tensor = convolve(x, shared, stride=stride, padding=spread(self.padding, axes), groups=channels)
        return pooled

    def _sigmas(self, lengths: tuple[int, ...]) -> tuple[float, ...]:
        if self.sigma is None:
            return tuple(n / 4 for n in lengths)
        given = (self.sigma,) * len(lengths) if isinstance(self.sigma, float) else self.sigma
        if len(given) != len(lengths):
            remedy = f"give one number, or {len(lengths)} of them"
            raise InputError("sigma", f"{len(given)} numbers for {len(lengths)} axes", remedy)
        return given

    def extra_repr(self) -> str:
        """The settings."""
        settings = f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"
        return f"{settings}, weights={self.weights!r}" + ("" if self.sigma is None else f", sigma={self.sigma}")


def _checked_sigma(weights: str, sigma: float | Sequence[float] | None) -> float | tuple[float, ...] | None:
    if weights not in ("gaussian", "linear"):
        raise InputError("weights", f"{weights!r} is not known", 'give "gaussian" or "linear"')
    if sigma is None:
        return None
    if weights == "linear":
        raise InputError("sigma", "linear weights have none", 'leave it out, or give weights="gaussian"')
    values = tuple(float(one) for one in sigma) if isinstance(sigma, Sequence) else float(sigma)
    if not all(one > 0 for one in (values if isinstance(values, tuple) else (values,))):
        raise InputError("sigma", f"{sigma} is not positive", "give a number of positions above 0")
    return values
