"""Routines that compute what the library's do, in less time."""

from everywindow.kernels.activations import FASTER, tanh_
from everywindow.kernels.bands import MaxPool, Rows, Shape, convolved, in_bands
from everywindow.kernels.minimal import convolution, saves, scratch, worthwhile

__all__ = [
    "FASTER",
    "MaxPool",
    "Rows",
    "Shape",
    "convolution",
    "convolved",
    "in_bands",
    "saves",
    "scratch",
    "tanh_",
    "worthwhile",
]
