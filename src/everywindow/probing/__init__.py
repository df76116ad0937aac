"""Measures on a network and on images what layers and answers do under shifts, rotations, scales and padding."""

from everywindow.probing.asked import Asked, asked_of
from everywindow.probing.whole import probed

__all__ = ["Asked", "asked_of", "probed"]
