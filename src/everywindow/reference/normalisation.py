"""Batch normalisation."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from everywindow.reference.arrays import Array, Gradients, doubles


class Statistics(NamedTuple):
    """Mean and variance per channel, ``[C]``."""

    mean: Array
    variance: Array


def batch_statistics(x: ArrayLike) -> Statistics:
    """Mean and variance of each channel over the batch and all positions; the variance divides by their number.

    >>> batch_statistics([[[1, 3]], [[5, 7]]])
    Statistics(mean=array([4.]), variance=array([5.]))
    """
    x = doubles(x)
    return Statistics(x.mean(_others(x)), x.var(_others(x)))


def running_statistics(x: ArrayLike, mean: ArrayLike, variance: ArrayLike, momentum: float = 0.1) -> Statistics:
    """What training keeps for the test: ``(1 - momentum)·old + momentum·new``; this variance divides by one less.

    >>> running_statistics([[[1, 3]], [[5, 7]]], mean=[0], variance=[0], momentum=0.5)
    Statistics(mean=array([2.]), variance=array([3.33333333]))
    """
    x = doubles(x)
    new = Statistics(x.mean(_others(x)), x.var(_others(x), ddof=1))
    old = Statistics(doubles(mean), doubles(variance))
    return Statistics(*((1 - momentum) * a + momentum * b for a, b in zip(old, new, strict=True)))


def batch_norm(
    x: ArrayLike, w: ArrayLike, b: ArrayLike, statistics: Statistics | None = None, eps: float = 1e-5
) -> Array:
    """``y = w·x̂ + b`` with ``x̂ = (x - mean) / √(variance + eps)``, channel by channel.

    Args:
        x: ``[N, C, *size]``, any number of spatial axes.
        w, b: scale and shift, ``[C]``.
        statistics: those that training kept, at test time; in training (None) those of the batch itself.

    >>> batch_norm([[[1, 3]], [[5, 7]]], [3], [1], eps=4).tolist()
    [[[-2.0, 0.0]], [[2.0, 4.0]]]
    >>> batch_norm([[[1, 3]], [[5, 7]]], [2], [1], Statistics(np.array([3.0]), np.array([4.0])), eps=0).tolist()
    [[[-1.0, 1.0]], [[3.0, 5.0]]]
    """
    x = doubles(x)
    return _spread(w, x) * _normalised(x, statistics or batch_statistics(x), eps) + _spread(b, x)


def batch_norm_backward(
    dy: ArrayLike, x: ArrayLike, w: ArrayLike, statistics: Statistics | None = None, eps: float = 1e-5
) -> Gradients:
    """``dw = Σ dy·x̂`` and ``db = Σ dy`` over the batch and all positions.

    At test time ``dx = w·dy / √(variance + eps)``. In training mean and variance depend on ``x``, too, so that
    ``dx = w·(dy - mean(dy) - x̂·mean(dy·x̂)) / √(variance + eps)``.

    >>> back = batch_norm_backward([[[1, 0]], [[0, 0]]], [[[1, 3]], [[5, 7]]], [2], eps=4)
    >>> back.dw.tolist(), back.db.tolist(), abs(float(back.dx.sum())) < 1e-12
    ([-1.0], [1.0], True)
    """
    dy, x = doubles(dy), doubles(x)
    known = statistics or batch_statistics(x)
    normal = _normalised(x, known, eps)
    change = dy
    if statistics is None:
        mean_dy, mean_product = dy.mean(_others(x)), (dy * normal).mean(_others(x))
        change = dy - _spread(mean_dy, x) - normal * _spread(mean_product, x)
    dx = _spread(w, x) * change / np.sqrt(_spread(known.variance, x) + eps)
    return Gradients(dx=dx, dw=(dy * normal).sum(_others(x)), db=dy.sum(_others(x)))


def _normalised(x: Array, known: Statistics, eps: float) -> Array:
    return (x - _spread(known.mean, x)) / np.sqrt(_spread(known.variance, x) + eps)


def _others(x: Array) -> tuple[int, ...]:
    """All axes but that of the channels."""
    return (0, *range(2, x.ndim))


def _spread(per_channel: ArrayLike, x: Array) -> Array:
    """A number per channel, laid out to be combined with ``x``."""
    return doubles(per_channel).reshape(-1, *(1 for _ in x.shape[2:]))
