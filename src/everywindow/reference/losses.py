"""Softmax and cross-entropy."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from everywindow.reference.arrays import Array, doubles


def softmax(z: ArrayLike) -> Array:
    """``y_k = exp(z_k) / Σ_j exp(z_j)`` over the classes.

    The largest ``z`` is taken off first, which changes nothing and keeps every exponential at 1 or below.

    Args:
        z: scores ``[N, K, *size]``: of images, or of every window of them.

    >>> softmax([[0, 0], [1000, 0]]).tolist()
    [[0.5, 0.5], [1.0, 0.0]]
    """
    powers: Array = np.exp(doubles(z) - doubles(z).max(1, keepdims=True))
    y: Array = powers / powers.sum(1, keepdims=True)
    return y


def softmax_backward(dy: ArrayLike, z: ArrayLike) -> Array:
    """``dz_k = y_k·(dy_k - Σ_j dy_j·y_j)``.

    >>> softmax_backward([[1, 0]], [[0, 0]]).tolist()
    [[0.25, -0.25]]
    """
    dy, y = doubles(dy), softmax(z)
    dz: Array = y * (dy - (dy * y).sum(1, keepdims=True))
    return dz


def cross_entropy(z: ArrayLike, labels: ArrayLike) -> float:
    """``-log softmax(z)[label]``, its mean over all that have a label.

    Args:
        z: scores ``[N, K, *size]``.
        labels: index of the right class, ``[N, *size]``.

    >>> round(cross_entropy([[0, 0]], [1]), 6)  # log 2
    0.693147
    """
    z = doubles(z)
    largest = z.max(1, keepdims=True)
    logs = z - largest - np.log(np.exp(z - largest).sum(1, keepdims=True))
    return float(-(_one_hot(z, labels) * logs).sum() / np.asarray(labels).size)


def cross_entropy_backward(z: ArrayLike, labels: ArrayLike) -> Array:
    """``dz = (softmax(z) - one_hot(labels)) / number of labels``: probability given, minus probability wanted.

    >>> cross_entropy_backward([[0, 0]], [1]).tolist()
    [[0.5, -0.5]]
    """
    z = doubles(z)
    return (softmax(z) - _one_hot(z, labels)) / np.asarray(labels).size


def _one_hot(z: Array, labels: ArrayLike) -> Array:
    """1 at the right class of each, else 0: shaped as ``z``."""
    classes = np.arange(z.shape[1]).reshape(-1, *(1 for _ in z.shape[2:]))
    chosen = classes == np.expand_dims(np.asarray(labels), 1)
    return np.where(chosen, 1.0, 0.0)
