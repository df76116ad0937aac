"""Mult-adds and memory, counted from the records before anything runs."""

from everywindow.costing.layers import LayerCost, layer_costs
from everywindow.costing.totals import calls, crops_macs, fcn_macs, fcn_peak_bytes, window_macs, window_peak_bytes
from everywindow.costing.whatif import WhatIf, as_fully_connected, stacked

__all__ = [
    "LayerCost",
    "WhatIf",
    "as_fully_connected",
    "calls",
    "crops_macs",
    "fcn_macs",
    "fcn_peak_bytes",
    "layer_costs",
    "stacked",
    "window_macs",
    "window_peak_bytes",
]
