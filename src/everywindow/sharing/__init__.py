"""The crops' own numbers with shared computation: which calls are shared, and the steps that compute them."""

from everywindow.costing import window_macs
from everywindow.sharing.kept import program_for
from everywindow.sharing.program import Ends, Program, SharedStep, build, positions_share
from everywindow.sharing.refold import Refold
from everywindow.sharing.weights import constants
from everywindow.sharing.work import (
    Work,
    exact_macs,
    frontier_elements,
    program_macs,
    rest_calls,
    rest_peak,
    shared_peak,
    shared_work,
    stand_ins,
    window_work,
)

__all__ = [
    "Ends",
    "Program",
    "Refold",
    "SharedStep",
    "Work",
    "build",
    "constants",
    "exact_macs",
    "frontier_elements",
    "positions_share",
    "program_for",
    "program_macs",
    "rest_calls",
    "rest_peak",
    "shared_peak",
    "shared_work",
    "stand_ins",
    "window_macs",
    "window_work",
]
