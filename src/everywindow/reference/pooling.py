"""Poolings by a window that slides: each channel by itself, no parameters, any number of spatial axes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from everywindow.reference.arrays import Array, Sizes, doubles
from everywindow.reference.windows import Padding, Sliding, sliding


def max_pool(
    x: ArrayLike,
    kernel: Sizes,
    stride: Sizes | None = None,
    padding: Padding = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
) -> Array:
    """``y[n, c, p] = max_k x[n, c, p·stride + k·dilation]``; padding never is the largest.

    Args:
        x: ``[N, C, *size]``.
        kernel, dilation: one number for all spatial axes or one per axis.
        stride: the kernel by default, so that the windows touch.
        padding: positions around the map: one number, or per axis one number or a pair (before, after).
        ceil_mode: also a last window that hangs over the end.

    Returns:
        ``[N, C, *counts]``, where ``counts = ⌊(size + padding - dilation·(kernel - 1) - 1) / stride⌋ + 1``.

    Raises:
        ValueError: the kernel does not fit.

    >>> max_pool([[[1, 5, 2, 0, 3, 4]]], kernel=3, stride=2).tolist()
    [[[5.0, 3.0]]]
    """
    x = doubles(x)
    how = sliding(x.shape[2:], kernel, stride, padding, dilation, ceil_mode)
    y: Array = _seen(how.padded(x, -np.inf), how).max(0)
    return y


def max_pool_backward(
    dy: ArrayLike,
    x: ArrayLike,
    kernel: Sizes,
    stride: Sizes | None = None,
    padding: Padding = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
) -> Array:
    """``dx``: each ``dy[p]`` goes to the position that was the largest, to the first of equal ones.

    >>> max_pool_backward([[[1, 10]]], [[[1, 5, 2, 0, 3, 4]]], kernel=3, stride=2).tolist()
    [[[0.0, 1.0, 0.0, 0.0, 10.0, 0.0]]]
    """
    dy, x = doubles(dy), doubles(x)
    how = sliding(x.shape[2:], kernel, stride, padding, dilation, ceil_mode)
    largest = _seen(how.padded(x, -np.inf), how).argmax(0)
    return _returned(np.stack([dy * (largest == i) for i, _ in enumerate(how.taps())]), how)


def mean_pool(
    x: ArrayLike,
    kernel: Sizes,
    stride: Sizes | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Array:
    """``y[n, c, p] = Σ_k x[n, c, p·stride + k] / count[p]``, with zeros around ``x``.

    ``count[p]`` is how many positions of the window lie in the map or its padding; without ``count_include_pad`` how
    many lie in the map. What hangs over the end in ceil mode never counts. Other arguments are those of
    :func:`max_pool`.

    >>> mean_pool([[[1, 5, 3, 0, 3, 6]]], kernel=3, stride=2).tolist()
    [[[3.0, 2.0]]]
    >>> mean_pool([[[4, 2]]], kernel=2, stride=1, padding=1, count_include_pad=False).tolist()
    [[[4.0, 3.0, 2.0]]]
    """
    x = doubles(x)
    how = sliding(x.shape[2:], kernel, stride, padding, 1, ceil_mode)
    y: Array = _seen(how.padded(x), how).sum(0) / _counts(how, count_include_pad)
    return y


def mean_pool_backward(
    dy: ArrayLike,
    x: ArrayLike,
    kernel: Sizes,
    stride: Sizes | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Array:
    """``dx``: each position of a window gets ``dy[p] / count[p]``.

    >>> mean_pool_backward([[[3, 30]]], [[[1, 5, 3, 0, 3, 6]]], kernel=3, stride=2).tolist()
    [[[1.0, 1.0, 11.0, 10.0, 10.0, 0.0]]]
    """
    dy, x = doubles(dy), doubles(x)
    how = sliding(x.shape[2:], kernel, stride, padding, 1, ceil_mode)
    share = dy / _counts(how, count_include_pad)
    return _returned(np.stack([share for _ in how.taps()]), how)


def lp_pool(
    x: ArrayLike, p: float, kernel: Sizes, stride: Sizes | None = None, padding: Padding = 0, mean: bool = False
) -> Array:
    """``y = (Σ_k |x_k|ᵖ)^(1/p)`` over each window; with ``mean`` the sum is divided by the window's positions.

    Computed as ``m·(Σ_k (|x_k| / m)ᵖ)^(1/p)``, ``m`` being the largest ``|x_k|``, so that no power is too large.
    ``p = inf`` gives that largest one. Other arguments are those of :func:`max_pool`; padding is zeros.

    Args:
        p: 1 or more.

    >>> lp_pool([[[3, -4, 0, 1]]], p=2, kernel=2).tolist()
    [[[5.0, 1.0]]]
    >>> lp_pool([[[3, -4, 0, 1]]], p=np.inf, kernel=2).tolist()
    [[[4.0, 1.0]]]
    """
    x = doubles(x)
    how = sliding(x.shape[2:], kernel, stride, padding)
    sizes = _seen(np.abs(how.padded(x)), how)
    largest: Array = sizes.max(0)
    if np.isinf(p):
        return largest
    powers = (sizes / _nonzero(largest)) ** p
    total: Array = powers.mean(0) if mean else powers.sum(0)
    return largest * total ** (1 / p)


def lp_pool_backward(
    dy: ArrayLike,
    x: ArrayLike,
    p: float,
    kernel: Sizes,
    stride: Sizes | None = None,
    padding: Padding = 0,
    mean: bool = False,
) -> Array:
    """``dx_k = dy · sign(x_k) · (|x_k| / y)^(p-1)``; with ``mean`` over the window's positions; 0 where all are 0.

    ``p = inf``: to the largest ``|x_k|`` alone, the first of equal ones.

    >>> lp_pool_backward([[[5, 1]]], [[[3, -4, 0, 1]]], p=2, kernel=2).tolist()
    [[[3.0, -4.0, 0.0, 1.0]]]
    """
    dy, x = doubles(dy), doubles(x)
    how = sliding(x.shape[2:], kernel, stride, padding)
    seen = _seen(how.padded(x), how)
    if np.isinf(p):
        taps = np.arange(len(seen)).reshape(-1, *(1 for _ in x.shape))
        return _returned(dy * np.sign(seen) * (np.abs(seen).argmax(0) == taps), how)
    y = lp_pool(x, p, kernel, stride, padding, mean)
    shares = np.sign(seen) * (np.abs(seen) / _nonzero(y)) ** (p - 1)
    return _returned(dy * shares / (len(seen) if mean else 1), how)


def weighted_pool(x: ArrayLike, weights: ArrayLike, stride: Sizes | None = None, padding: Padding = 0) -> Array:
    """``y[n, c, p] = Σ_k g[k] · x[n, c, p·stride + k]``: a mean with a weight for each place in the window.

    Args:
        x: ``[N, C, *size]``.
        weights: ``g``, ``[*kernel]``; of :func:`distance_weights`, for example.
        stride, padding: as for :func:`max_pool`; padding is zeros.

    >>> weighted_pool([[[4, 8, 0, 4]]], [0.25, 0.5, 0.25], stride=1).tolist()
    [[[5.0, 3.0]]]
    """
    x, g = doubles(x), doubles(weights)
    how = sliding(x.shape[2:], g.shape, stride, padding)
    return np.tensordot(g.reshape(-1), _seen(how.padded(x), how), axes=1)


def weighted_pool_backward(
    dy: ArrayLike, x: ArrayLike, weights: ArrayLike, stride: Sizes | None = None, padding: Padding = 0
) -> Array:
    """``dx``: each position of a window gets ``g[k] · dy[p]``.

    >>> weighted_pool_backward([[[4, 8]]], [[[4, 8, 0, 4]]], [0.25, 0.5, 0.25], stride=1).tolist()
    [[[1.0, 4.0, 5.0, 2.0]]]
    """
    dy, x, g = doubles(dy), doubles(x), doubles(weights)
    how = sliding(x.shape[2:], g.shape, stride, padding)
    return _returned(np.multiply.outer(g.reshape(-1), dy), how)


def distance_weights(kernel: Sequence[int], sigma: float | None = None) -> Array:
    """Weights for :func:`weighted_pool` that fall with the distance ``d`` to the window's centre, and add up to one.

    With ``sigma`` a Gaussian, ``exp(-d² / (2·sigma²))``; without it linear, ``1 - d / (D + 1)``, where ``D`` is the
    distance of the farthest place.

    Args:
        kernel: places of the window per axis.
        sigma: in places.

    >>> distance_weights((3,)).tolist()
    [0.25, 0.5, 0.25]
    """
    away = [np.arange(n) - (n - 1) / 2 for n in kernel]
    distance: Array = np.sqrt(sum(one**2 for one in np.meshgrid(*away, indexing="ij")))
    linear = 1 - distance / (distance.max() + 1)
    weights: Array = linear if sigma is None else np.exp(-(distance**2) / (2 * sigma**2))
    total: Array = weights / weights.sum()
    return total


def group_max(x: ArrayLike, size: int) -> Array:
    """``y[n, g] = max_r x[n, g·size + r]``: the largest of each ``size`` neighbouring channels, place by place.

    Raises:
        ValueError: the channels do not divide.

    >>> group_max([[[1, 2], [3, 0], [5, 5], [4, 6]]], size=2).tolist()
    [[[3.0, 2.0], [5.0, 6.0]]]
    """
    y: Array = _grouped(doubles(x), size).max(2)
    return y


def group_max_backward(dy: ArrayLike, x: ArrayLike, size: int) -> Array:
    """``dx``: each ``dy`` goes to the channel of its group that was the largest, to the first of equal ones.

    >>> group_max_backward([[[7, 8]]], [[[1, 2], [3, 0]]], size=2).tolist()
    [[[0.0, 8.0], [7.0, 0.0]]]
    """
    dy, x = doubles(dy), doubles(x)
    largest = _grouped(x, size).argmax(2)
    return np.stack([dy * (largest == r) for r in range(size)], axis=2).reshape(x.shape)


def _grouped(x: Array, size: int) -> Array:
    if x.shape[1] % size:
        raise ValueError(f"size: {x.shape[1]} channels do not make groups of {size}: give a divisor")
    return x.reshape(len(x), -1, size, *x.shape[2:])


def _seen(padded: Array, how: Sliding) -> Array:
    """What each tap of the kernel sees at every output: ``[taps, N, C, *counts]``."""
    return np.stack([padded[how.seen(tap)] for tap in how.taps()])


def _returned(shares: Array, how: Sliding) -> Array:
    """The reverse of :func:`_seen`: shares ``[taps, N, C, *counts]`` added up where the taps saw."""
    lengths = np.add(np.add(how.lower, how.upper), np.add(how.size, how.overhang))
    padded = np.zeros((*shares.shape[1:3], *lengths))
    for tap, share in zip(how.taps(), shares, strict=True):
        padded[how.seen(tap)] += share
    return how.inside(padded)


def _counts(how: Sliding, count_include_pad: bool) -> Array:
    """How many positions of each window count: ``[*counts]``."""
    counted = how.padded(np.ones(how.size), float(count_include_pad))
    for axis, over in enumerate(how.overhang):
        np.moveaxis(counted, axis, -1)[..., counted.shape[axis] - over :] = 0
    counts: Array = _seen(counted, how).sum(0)
    return counts


def _nonzero(values: Array) -> Array:
    """The values, with 1 in the place of 0: to divide zeros by."""
    return np.where(values == 0, 1.0, values)
