"""Accuracy of a classifier over many images: one crop, several crops, every window."""

from everywindow.evaluation.protocols import PROTOCOLS, REDUCTIONS
from everywindow.evaluation.result import Evaluation
from everywindow.evaluation.run import Request, evaluated
from everywindow.evaluation.settings import SMALL, Settings, checked_settings

__all__ = ["PROTOCOLS", "REDUCTIONS", "SMALL", "Evaluation", "Request", "Settings", "checked_settings", "evaluated"]
