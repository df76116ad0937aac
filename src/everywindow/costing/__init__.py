"""Mult-adds and memory, counted from the records before anything runs."""

from everywindow.costing.table import Cost, LayerCost, cost_table
from everywindow.costing.totals import calls, crops_macs, fcn_macs, fcn_peak_bytes, window_macs, window_peak_bytes

__all__ = [
    "Cost",
    "LayerCost",
    "calls",
    "cost_table",
    "crops_macs",
    "fcn_macs",
    "fcn_peak_bytes",
    "window_macs",
    "window_peak_bytes",
]
