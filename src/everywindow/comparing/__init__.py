"""Runs the modes on one image or several, and measures how far each is from the crops."""

from everywindow.comparing.asked import Asked, wanted_modes
from everywindow.comparing.maps import described, read_for, scored, warn_of_pixels
from everywindow.comparing.one import compare_one
from everywindow.comparing.several import compare_several, listed

__all__ = [
    "Asked",
    "compare_one",
    "compare_several",
    "described",
    "listed",
    "read_for",
    "scored",
    "wanted_modes",
    "warn_of_pixels",
]
