"""Runs the modes on one image or several, and measures how far each is from the crops."""

from everywindow.comparing.asked import Asked, wanted_modes
from everywindow.comparing.maps import activation_of, read_for, score_map, warn_of_pixels
from everywindow.comparing.one import compare_one
from everywindow.comparing.several import compare_several, listed

__all__ = [
    "Asked",
    "activation_of",
    "compare_one",
    "compare_several",
    "listed",
    "read_for",
    "score_map",
    "wanted_modes",
    "warn_of_pixels",
]
