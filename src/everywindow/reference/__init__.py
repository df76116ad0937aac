"""The layers in plain NumPy, forward and backward: each function reads like its formula.

To learn from, and to test with: everything is in double precision, for any number of spatial axes, and nothing is fast.
Uses nothing else of this package.

A network's loss, and what one step of training needs:

>>> import numpy as np
>>> from everywindow import reference as ref
>>> x, labels = np.arange(18.0).reshape(1, 2, 9), [1]
>>> w, fc = np.ones((3, 2, 3)), np.eye(2, 9)
>>> maps = ref.conv(x, w)
>>> flat = ref.max_pool(ref.relu(maps), kernel=2).reshape(1, -1)
>>> loss = ref.cross_entropy(ref.linear(flat, fc), labels)
>>> back = ref.linear_backward(ref.cross_entropy_backward(ref.linear(flat, fc), labels), flat, fc)
>>> pooled = ref.max_pool_backward(back.dx.reshape(1, 3, 3), ref.relu(maps), kernel=2)
>>> ref.conv_backward(ref.relu_backward(pooled, maps), x, w).dw.shape
(3, 2, 3)
"""

from everywindow.reference.activations import dropout, dropout_backward, dropout_mask, relu, relu_backward
from everywindow.reference.arrays import Gradients
from everywindow.reference.bins import adaptive_pool, adaptive_pool_backward, pyramid_pool, pyramid_pool_backward
from everywindow.reference.convolution import conv, conv_backward
from everywindow.reference.linear import linear, linear_backward
from everywindow.reference.losses import cross_entropy, cross_entropy_backward, softmax, softmax_backward
from everywindow.reference.normalisation import (
    Statistics,
    batch_norm,
    batch_norm_backward,
    batch_statistics,
    running_statistics,
)
from everywindow.reference.pooling import (
    distance_weights,
    group_max,
    group_max_backward,
    lp_pool,
    lp_pool_backward,
    max_pool,
    max_pool_backward,
    mean_pool,
    mean_pool_backward,
    weighted_pool,
    weighted_pool_backward,
)

__all__ = [
    "Gradients",
    "Statistics",
    "adaptive_pool",
    "adaptive_pool_backward",
    "batch_norm",
    "batch_norm_backward",
    "batch_statistics",
    "conv",
    "conv_backward",
    "cross_entropy",
    "cross_entropy_backward",
    "distance_weights",
    "dropout",
    "dropout_backward",
    "dropout_mask",
    "group_max",
    "group_max_backward",
    "linear",
    "linear_backward",
    "lp_pool",
    "lp_pool_backward",
    "max_pool",
    "max_pool_backward",
    "mean_pool",
    "mean_pool_backward",
    "pyramid_pool",
    "pyramid_pool_backward",
    "relu",
    "relu_backward",
    "running_statistics",
    "softmax",
    "softmax_backward",
    "weighted_pool",
    "weighted_pool_backward",
]
