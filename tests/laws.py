"""What a converted network must obey, as measures that a test bounds by ``oracle.TOLERANCE``."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

import oracle
from trial_weights import noise, tells_windows_apart

EQUAL = oracle.TOLERANCE[torch.float64]


@torch.no_grad()
def native_scores(
    module: nn.Module, window: Sequence[int], channels: int, seed: int = 7, count: int = 6
) -> tuple[Tensor, Tensor]:
    """Some images of the window's size, and the module's scores ``[K, count]`` of them."""
    dtype = next(module.parameters()).dtype
    images = noise((count, channels, *window), seed, dtype)
    scores = torch.stack([module(image.clone().unsqueeze(0)).reshape(-1) for image in images], dim=1)
    return images, scores


@torch.no_grad()
def native_difference(module: nn.Module, converted: nn.Module, window: Sequence[int], channels: int) -> float:
    """Relative difference between the converted network and the original on images of the window's size."""
    images, expected = native_scores(module, window, channels)
    assert tells_windows_apart(expected), "these weights tell no windows apart"
    scores = converted(images)
    assert scores.shape == (len(images), len(expected), *(1 for _ in window)), tuple(scores.shape)
    return oracle.relative_difference(scores.flatten(1).T, expected)


@torch.no_grad()
def larger_difference(
    module: nn.Module, converted: nn.Module, image: Tensor, window: Sequence[int], stride: Sequence[int]
) -> float:
    """Relative difference between the converted network and the crops on an image ``[C, *size]``."""
    expected = oracle.crops(module, image, window, stride)
    scores = converted(image.unsqueeze(0))
    assert scores.shape == (1, *expected.shape), f"{tuple(scores.shape)} for {tuple(expected.shape)}"
    _, native = native_scores(module, window, image.shape[0])
    return oracle.relative_difference(scores[0], expected, max(oracle.spread(expected), oracle.spread(native)))
