"""The fully connected layer."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from everywindow.reference.arrays import Array, Gradients, doubles


def linear(x: ArrayLike, w: ArrayLike, b: ArrayLike | None = None) -> Array:
    """``y = x·Wᵀ + b``: every output is a weighted sum of all inputs.

    Args:
        x: ``[N, inputs]``.
        w: ``[outputs, inputs]``.
        b: ``[outputs]``.

    Returns:
        ``[N, outputs]``.

    >>> linear([[1, 2]], [[3, 4], [5, 6], [7, 8]], [0, 0, 1]).tolist()
    [[11.0, 17.0, 24.0]]
    """
    y = doubles(x) @ doubles(w).T
    return y if b is None else y + doubles(b)


def linear_backward(dy: ArrayLike, x: ArrayLike, w: ArrayLike) -> Gradients:
    """``dx = dy·W``, ``dW = dyᵀ·x``, ``db = dyᵀ·1``: a product with a vector of ones sums over the batch.

    Args:
        dy: derivative of the loss by the output, ``[N, outputs]``.
        x, w: as for :func:`linear`.

    >>> back = linear_backward([[1, 0, 2]], [[1, 2]], [[3, 4], [5, 6], [7, 8]])
    >>> back.dx.tolist(), back.dw.tolist(), back.db.tolist()
    ([[17.0, 20.0]], [[1.0, 2.0], [0.0, 0.0], [2.0, 4.0]], [1.0, 0.0, 2.0])
    """
    dy, x, w = doubles(dy), doubles(x), doubles(w)
    return Gradients(dx=dy @ w, dw=dy.T @ x, db=dy.T @ np.ones(len(dy)))
