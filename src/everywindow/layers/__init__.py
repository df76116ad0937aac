"""Layers of the family between fully connected and convolutional, and each direction of that relation as a function.

Ordinary torch modules: they train, export and convert, a scan shares what they compute, and their cost is counted.
"""

from everywindow.layers.adaptive import AdaptiveWindowPool
from everywindow.layers.counts import MatrixCounts, matrix_counts
from everywindow.layers.distance import DistanceWeightedPool
from everywindow.layers.lp import LpPool
from everywindow.layers.pyramid import SpatialPyramidPool
from everywindow.layers.rotated import ChannelGroupMax, RotatedFilterConv
from everywindow.layers.sparse import SparseLinear
from everywindow.layers.to_conv import linear_to_conv
from everywindow.layers.to_linear import conv_to_linear
from everywindow.layers.toeplitz import toeplitz_figure

__all__ = [
    "AdaptiveWindowPool",
    "ChannelGroupMax",
    "DistanceWeightedPool",
    "LpPool",
    "MatrixCounts",
    "RotatedFilterConv",
    "SparseLinear",
    "SpatialPyramidPool",
    "conv_to_linear",
    "linear_to_conv",
    "matrix_counts",
    "toeplitz_figure",
]
