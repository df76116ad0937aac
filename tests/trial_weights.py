"""Weights and images with which a wrong result cannot hide.

At its initial weights many a network tells windows apart by 1e-7 of its score, or not at all: zero heads,
zero gammas, layer scales of 1e-6. A comparison of such scores proves nothing. Here every parameter is drawn
anew and BatchNorm takes its statistics from images of the kind that will be scored.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn

LEAST_SPREAD = 1e-2
"""Spread between windows that a comparison needs, relative to the largest score."""

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def noise(shape: Sequence[int], seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Images ``[N, C, *size]``: white noise, with a contrast and a mean that change over the image."""
    generator = torch.Generator().manual_seed(seed)
    batch, channels, *size = shape

    def smooth() -> Tensor:
        field = torch.zeros(batch, channels, *size, dtype=torch.float64)
        for axis, n in enumerate(size):
            where = torch.arange(n, dtype=torch.float64) / max(8, min(n, 40))
            phase = torch.rand(batch, channels, 1, generator=generator, dtype=torch.float64) * 6.3
            wave = torch.sin(6.3 * where + phase)
            field += wave.reshape(batch, channels, *(n if a == axis else 1 for a in range(len(size))))
        return field / len(size)

    white = torch.randn(batch, channels, *size, generator=generator, dtype=torch.float64)
    return (white * (1 + 0.6 * smooth()) + smooth()).to(dtype)


@torch.no_grad()
def redraw(module: nn.Module, seed: int) -> None:
    """Draw every parameter anew: none is zero, matrices keep the size of the signal."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in module.named_parameters():
        values = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        if parameter.ndim >= 2 and "embed" not in name and "token" not in name and "scale" not in name:
            fan_in = parameter[0].numel()
            values *= (2 / fan_in) ** 0.5
        elif name.endswith("bias"):
            values *= 0.2
        else:
            values = 1 + 0.2 * values.clamp(-3, 3)
        parameter.copy_(values.to(parameter.dtype))


@torch.no_grad()
def calibrate(module: nn.Module, images: Tensor) -> None:
    """Let every BatchNorm layer take its mean and variance from a batch of images."""
    norms = [layer for layer in module.modules() if isinstance(layer, BATCH_NORMS)]
    if not norms:
        return
    module.eval()
    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        layer.reset_running_stats()
        layer.momentum = None
        layer.train()
    module(images)
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum
    module.eval()


@torch.no_grad()
def with_trial_weights(
    module: nn.Module,
    channels: int,
    window: Sequence[int],
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
    most: int = 96,
) -> nn.Module:
    """The module in eval mode, with weights that tell windows apart.

    Small windows end in few positions: statistics of too few values make a deep network tell apart even roundings.
    So BatchNorm takes its statistics from as many windows as it needs, and from ``most`` at most.
    """
    module.to(dtype).eval()
    redraw(module, seed)
    images = max(8, min(most, 400_000 // prod(window)))
    calibrate(module, noise((images, channels, *window), seed + 1, dtype))
    return module


@torch.no_grad()
def amplification(module: nn.Module, images: Tensor) -> float:
    """How far roundings of the pixels move the scores, in units of the largest score and the rounding.

    The most of some images ``[N, C, *window]``.
    """
    rounding = 4 * torch.finfo(images.dtype).eps
    generator = torch.Generator().manual_seed(0)
    signs = torch.randint(0, 2, images.shape, generator=generator).to(images.dtype) * 2 - 1
    moved = images * (1 + rounding * signs)
    before, after = (torch.stack([module(x.unsqueeze(0)).reshape(-1) for x in batch]) for batch in (images, moved))
    return float((after - before).abs().max() / before.abs().max()) / rounding


@torch.no_grad()
def positive_twin(module: nn.Module, seed: int = 0) -> nn.Module:
    """Make every layer increase in every input: positive weights whose sum is about one, no mean taken off.

    With a positive image no padding can then hide behind a difference of signs.
    """
    generator = torch.Generator().manual_seed(seed)
    module.eval()
    for name, parameter in module.named_parameters():
        values = 0.5 + torch.rand(parameter.shape, generator=generator, dtype=torch.float64)
        if parameter.ndim >= 2:
            values /= parameter[0].numel()
        elif name.endswith("bias"):
            values *= 0.1
        parameter.copy_(values.to(parameter.dtype))
    for layer in module.modules():
        if isinstance(layer, BATCH_NORMS):
            layer.reset_running_stats()
    return module


def tells_windows_apart(scores: Tensor, least: float = LEAST_SPREAD) -> bool:
    """Whether scores ``[K, ...]`` differ enough between windows for a comparison to mean something.

    ``least`` is the spread that is enough, relative to the largest score.
    """
    flat = scores.reshape(scores.shape[0], -1)
    spread = (flat.max(dim=1).values - flat.min(dim=1).values).max()
    return bool(torch.isfinite(flat).all()) and float(spread) >= least * float(flat.abs().max())


@torch.no_grad()
def sees_the_border(module: nn.Module, image: Tensor, axis: int = 0) -> bool:
    """Whether one of some pixels on the low border of a window ``[C, *window]`` changes a score by 1e-6 of it.

    A single one may end behind a maximum, or in an activation that is at rest.
    """
    before = module(image.unsqueeze(0)).reshape(-1)
    for part in (2, 3, 5, 8):
        at = [n // part for n in image.shape[1:]]
        at[axis] = 0
        changed = image.clone()
        pixel: tuple[int | slice, ...] = (slice(None), *at)
        changed[pixel] += 3
        after = module(changed.unsqueeze(0)).reshape(-1)
        if float((after - before).abs().max()) > 1e-6 * float(before.abs().max()):
            return True
    return False
