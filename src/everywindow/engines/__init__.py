"""The engines: (network, windows, tensor) to scores. They know no files and no names of classes."""

from everywindow.engines.plan import Plan
from everywindow.engines.scan import MODES, Prepared, Run, default_stride, prepare, run

__all__ = ["MODES", "Plan", "Prepared", "Run", "default_stride", "prepare", "run"]
