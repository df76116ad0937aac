"""The engines: (network, windows, tensor) to scores. They know no files and no names of classes."""

from everywindow.engines.advice import Advice, advice
from everywindow.engines.crops import first_batch
from everywindow.engines.given import window_scores
from everywindow.engines.memory import free_bytes, memory_limit
from everywindow.engines.pages import give_back, share_pages
from everywindow.engines.plan import Plan
from everywindow.engines.predicted import predicted_seconds, windows_of
from everywindow.engines.prepare import Prepared, default_stride, for_output, network_of, prepare
from everywindow.engines.price import ModeCost, mode_costs, priced_layers, priced_windows, usual_size
from everywindow.engines.scan import MODES, Run, check_mode, run
from everywindow.engines.settings import Settings, settle
from everywindow.engines.structure import Structure, refused, structure
from everywindow.engines.tile import TileEngine

__all__ = [
    "MODES",
    "Advice",
    "ModeCost",
    "Plan",
    "Prepared",
    "Run",
    "Settings",
    "Structure",
    "TileEngine",
    "advice",
    "check_mode",
    "default_stride",
    "first_batch",
    "for_output",
    "free_bytes",
    "give_back",
    "memory_limit",
    "mode_costs",
    "network_of",
    "predicted_seconds",
    "prepare",
    "priced_layers",
    "priced_windows",
    "refused",
    "run",
    "settle",
    "share_pages",
    "structure",
    "usual_size",
    "window_scores",
    "windows_of",
]
