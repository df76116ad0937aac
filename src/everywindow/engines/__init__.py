"""The engines: (network, windows, tensor) to scores. They know no files and no names of classes."""

from everywindow.engines.plan import Plan
from everywindow.engines.predicted import predicted_seconds, windows_of
from everywindow.engines.prepare import Prepared, default_stride, prepare
from everywindow.engines.scan import MODES, Run, check_mode, run

__all__ = [
    "MODES",
    "Plan",
    "Prepared",
    "Run",
    "check_mode",
    "default_stride",
    "predicted_seconds",
    "prepare",
    "run",
    "windows_of",
]
