"""The engines: (network, windows, tensor) to scores. They know no files and no names of classes."""

from everywindow.engines.advice import Advice, advice
from everywindow.engines.crops import first_batch
from everywindow.engines.memory import memory_limit
from everywindow.engines.plan import Plan
from everywindow.engines.predicted import predicted_seconds, windows_of
from everywindow.engines.prepare import Prepared, default_stride, prepare
from everywindow.engines.price import ModeCost, mode_costs, priced_layers, priced_windows, usual_size
from everywindow.engines.scan import MODES, Run, check_mode, run
from everywindow.engines.structure import Structure, structure

__all__ = [
    "MODES",
    "Advice",
    "ModeCost",
    "Plan",
    "Prepared",
    "Run",
    "Structure",
    "advice",
    "check_mode",
    "default_stride",
    "first_batch",
    "memory_limit",
    "mode_costs",
    "predicted_seconds",
    "prepare",
    "priced_layers",
    "priced_windows",
    "run",
    "structure",
    "usual_size",
    "windows_of",
]
