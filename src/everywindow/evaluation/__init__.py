"""Accuracy of a classifier over many images: one crop, several crops, every window."""

from everywindow.evaluation.labels import as_path
from everywindow.evaluation.protocols import PROTOCOLS, REDUCTIONS
from everywindow.evaluation.result import Evaluation
from everywindow.evaluation.run import Request, evaluated
from everywindow.evaluation.settings import SMALL, Settings, checked_settings, told_of

__all__ = [
    "PROTOCOLS",
    "REDUCTIONS",
    "SMALL",
    "Evaluation",
    "Request",
    "Settings",
    "as_path",
    "checked_settings",
    "evaluated",
    "told_of",
]
