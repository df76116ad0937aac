"""Routines that compute what the library's do, in less time."""

from everywindow.kernels.activations import FASTER, tanh_
from everywindow.kernels.bands import MaxPool, Rows, Shape, convolved
from everywindow.kernels.minimal import convolution, saves, scratch, worthwhile
from everywindow.kernels.taps import every, taps

__all__ = [
    "FASTER",
    "MaxPool",
    "Rows",
    "Shape",
    "convolution",
    "convolved",
    "every",
    "saves",
    "scratch",
    "tanh_",
    "taps",
    "worthwhile",
]
