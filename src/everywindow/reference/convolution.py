"""The convolution (as networks have it: a cross-correlation), over any number of spatial axes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from everywindow.reference.arrays import Array, Gradients, Sizes, at, doubles
from everywindow.reference.windows import Padding, Sliding, sliding


def conv(
    x: ArrayLike,
    w: ArrayLike,
    b: ArrayLike | None = None,
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Array:
    """``y[n, o, p] = b[o] + Σ_c Σ_k w[o, c, k] · x[n, c, p·stride + k·dilation]``, with zeros around ``x``.

    Args:
        x: ``[N, C, *size]``.
        w: ``[O, C / groups, *kernel]``: one kernel per output channel.
        b: ``[O]``.
        stride, dilation: one number for all spatial axes or one per axis.
        padding: zeros around the map: one number, or per axis one number or a pair (before, after).
        groups: the channels are cut into so many groups, and each output sees one of them.

    Returns:
        ``[N, O, *counts]``, where ``counts = ⌊(size + padding - dilation·(kernel - 1) - 1) / stride⌋ + 1``.

    Raises:
        ValueError: the kernel does not fit, or the channels do not divide.

    >>> conv([[[1, 2, 3, 4]]], [[[1, 0, -1]]]).tolist()
    [[[-2.0, -2.0]]]
    >>> conv([[[1, 2, 3, 4]]], [[[1, 0, -1]]], padding=[(0, 2)], stride=2).tolist()
    [[[-2.0, 3.0]]]
    """
    x, w = doubles(x), doubles(w)
    how = sliding(x.shape[2:], w.shape[2:], stride, padding, dilation)
    kernels, grouped = _kernels(x, w, groups), _grouped(how.padded(x), groups)
    y = np.zeros((len(x), *kernels.shape[:2], *how.counts))
    for tap in how.taps():
        y += np.einsum("goc,ngc...->ngo...", kernels[at(tap)], grouped[how.seen(tap)])
    y = y.reshape(len(x), len(w), *how.counts)
    return y if b is None else y + _along_channels(doubles(b), how)


def conv_backward(
    dy: ArrayLike,
    x: ArrayLike,
    w: ArrayLike,
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Gradients:
    """Each product of :func:`conv` gives its share: to the weight what it met, to the position the weight it met.

    ``dw[o, c, k] = Σ_n Σ_p dy[n, o, p] · x[n, c, p·stride + k·dilation]``;
    ``dx[n, c, q] = Σ dy[n, o, p] · w[o, c, k]`` over all ``o, p, k`` with ``q = p·stride + k·dilation``;
    ``db[o] = Σ_n Σ_p dy[n, o, p]``.

    Args:
        dy: derivative of the loss by the output, ``[N, O, *counts]``.
        x, w, stride, padding, dilation, groups: as for :func:`conv`.

    >>> back = conv_backward([[[1, 10]]], [[[1, 2, 3, 4]]], [[[1, 0, -1]]])
    >>> back.dx.tolist(), back.dw.tolist(), back.db.tolist()
    ([[[1.0, 10.0, -1.0, -10.0]]], [[[21.0, 32.0, 43.0]]], [11.0])
    """
    dy, x, w = doubles(dy), doubles(x), doubles(w)
    how = sliding(x.shape[2:], w.shape[2:], stride, padding, dilation)
    kernels, grouped = _kernels(x, w, groups), _grouped(how.padded(x), groups)
    outputs = _grouped(dy, groups)
    dx, dw = np.zeros_like(grouped), np.zeros_like(kernels)
    for tap in how.taps():
        dx[how.seen(tap)] += np.einsum("goc,ngo...->ngc...", kernels[at(tap)], outputs)
        dw[at(tap)] = np.einsum("ngop,ngcp->goc", _flat(outputs), _flat(grouped[how.seen(tap)]))
    axes = tuple(range(2, dy.ndim))
    return Gradients(dx=how.inside(dx).reshape(x.shape), dw=dw.reshape(w.shape), db=dy.sum((0, *axes)))


def _grouped(x: Array, groups: int) -> Array:
    """``[N, C, ...]`` as ``[N, groups, C / groups, ...]``."""
    return x.reshape(len(x), groups, x.shape[1] // groups, *x.shape[2:])


def _flat(x: Array) -> Array:
    """``[N, groups, channels, *size]`` with all positions in one axis."""
    return x.reshape(*x.shape[:3], -1)


def _kernels(x: Array, w: Array, groups: int) -> Array:
    """``[O, C / groups, ...]`` as ``[groups, O / groups, C / groups, ...]``."""
    if x.shape[1] != groups * w.shape[1] or len(w) % groups:
        raise ValueError(
            f"groups: {x.shape[1]} channels and weights {w.shape} do not make {groups} groups: "
            "give weights [O, C / groups, *kernel], with O a multiple of groups"
        )
    return w.reshape(groups, len(w) // groups, *w.shape[1:])


def _along_channels(b: Array, how: Sliding) -> Array:
    return b.reshape(-1, *(1 for _ in how.size))
