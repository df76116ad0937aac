"""Run a trained classifier on every window of an image of any size, and compute once what the windows share.

>>> import everywindow as ew
>>> from torch import nn
>>> net = nn.Sequential(nn.Conv2d(1, 4, 5), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 4 * 4, 10))
>>> ew.convolutionalize(net, window=8).verdict.exact
True
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from everywindow.errors import (
    CaptureError,
    ConversionError,
    DependencyError,
    EverywindowError,
    IndependenceError,
    InputError,
    ModelError,
    StoppedError,
    TrustError,
)

if TYPE_CHECKING:
    from everywindow.api import (
        Classifier,
        Comparison,
        Cost,
        Detection,
        Evaluation,
        Explanation,
        Exported,
        FullyConvolutional,
        Probe,
        Pyramid,
        ScoreMap,
        Streamed,
        compare,
        convolutionalize,
        cost,
        evaluate,
        explain,
        export,
        load,
        probe,
        pyramid,
        scan,
        stream,
    )
    from everywindow.inferer import DenseInferer
    from everywindow.layers import MatrixCounts, conv_to_linear, linear_to_conv, matrix_counts, toeplitz_figure

__version__ = "0.1.0"

__all__ = [
    "CaptureError",
    "Classifier",
    "Comparison",
    "ConversionError",
    "Cost",
    "DenseInferer",
    "DependencyError",
    "Detection",
    "Evaluation",
    "EverywindowError",
    "Explanation",
    "Exported",
    "FullyConvolutional",
    "IndependenceError",
    "InputError",
    "MatrixCounts",
    "ModelError",
    "Probe",
    "Pyramid",
    "ScoreMap",
    "StoppedError",
    "Streamed",
    "TrustError",
    "compare",
    "conv_to_linear",
    "convolutionalize",
    "cost",
    "evaluate",
    "explain",
    "export",
    "linear_to_conv",
    "load",
    "matrix_counts",
    "probe",
    "pyramid",
    "scan",
    "stream",
    "toeplitz_figure",
]

ROOMS = ("layers", "reference")
"""Public as modules."""

_HOMES = {
    "DenseInferer": "everywindow.inferer",
    **dict.fromkeys(
        ("MatrixCounts", "conv_to_linear", "linear_to_conv", "matrix_counts", "toeplitz_figure"), "everywindow.layers"
    ),
}
"""Where the public names are that are not of ``everywindow.api``."""


def __getattr__(name: str) -> Any:
    """The functions that need torch, and whole rooms, are imported when they are first asked for."""
    if name in __all__:
        value = getattr(import_module(_HOMES.get(name, "everywindow.api")), name)
        globals()[name] = value
        return value
    if name in ROOMS:
        return import_module(f"everywindow.{name}")
    raise AttributeError(f"module 'everywindow' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *ROOMS})
