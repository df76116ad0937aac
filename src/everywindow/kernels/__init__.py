"""Routines that compute what the library's do, in less time."""

from everywindow.kernels.bands import MaxPool, Rows, Shape, convolved, in_bands
from everywindow.kernels.minimal import convolution, saves, worthwhile

__all__ = ["MaxPool", "Rows", "Shape", "convolution", "convolved", "in_bands", "saves", "worthwhile"]
