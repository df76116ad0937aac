"""Elementwise layers: ReLU and dropout."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from everywindow.reference.arrays import Array, doubles


def relu(x: ArrayLike) -> Array:
    """``y = max(x, 0)``.

    >>> relu([-1, 0, 2]).tolist()
    [0.0, 0.0, 2.0]
    """
    return np.maximum(doubles(x), 0)


def relu_backward(dy: ArrayLike, x: ArrayLike) -> Array:
    """``dx = dy`` where ``x > 0``, else 0.

    >>> relu_backward([5, 6, 7], [-1, 0, 2]).tolist()
    [0.0, 0.0, 7.0]
    """
    return doubles(dy) * (doubles(x) > 0)


def dropout_mask(shape: Sequence[int], keep: float, generator: np.random.Generator) -> Array:
    """1 with probability ``keep``, else 0: what one step of training keeps.

    Raises:
        ValueError: ``keep`` is not above 0 and at most 1.

    >>> dropout_mask((2, 3), 1.0, np.random.default_rng(0)).tolist()
    [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """
    if not 0 < keep <= 1:
        raise ValueError(f"keep: {keep} is no probability to keep something: give one above 0, and 1 at most")
    return (generator.random(tuple(shape)) < keep).astype(np.float64)


def dropout(x: ArrayLike, keep: float = 1.0, mask: ArrayLike | None = None) -> Array:
    """In training ``y = x·mask / keep``, whose mean over the masks is ``x``; at test time (no mask) ``y = x``.

    Args:
        x: of any shape.
        keep: probability with which ``mask`` was drawn.
        mask: of :func:`dropout_mask`, shaped as ``x``.

    Inverted dropout: since training divides by ``keep``, the test needs no factor.

    >>> dropout([1, 2, 3], keep=0.5, mask=[1, 0, 1]).tolist(), dropout([1, 2, 3]).tolist()
    ([2.0, 0.0, 6.0], [1.0, 2.0, 3.0])
    """
    return doubles(x) if mask is None else doubles(x) * doubles(mask) / keep


def dropout_backward(dy: ArrayLike, keep: float = 1.0, mask: ArrayLike | None = None) -> Array:
    """``dx = dy·mask / keep``: what was dropped learns nothing; at test time ``dx = dy``.

    >>> dropout_backward([1, 1, 1], keep=0.5, mask=[1, 0, 1]).tolist()
    [2.0, 0.0, 2.0]
    """
    return dropout(dy, keep, mask)
