"""A warning where nobody said how a classifier's images are normalised, for the scores would be silently wrong."""

from __future__ import annotations

import sys
import warnings
from weakref import WeakSet

from torch import nn

from everywindow.graph import original
from everywindow.models.classifier import Classifier

UNKNOWN = (
    "classifier: its mean and std are not known, so the image is only scaled to 0 to 1; "
    "give the Classifier mean= and std= (0 and 1 where it was trained on just that)"
)

_WARNED: WeakSet[nn.Module] = WeakSet()


def warn_if_unknown(classifier: Classifier) -> None:
    """Warn once for each module whose ``mean`` and ``std`` are not known."""
    module = original(classifier.module)
    if classifier.mean is None and module not in _WARNED:
        warnings.warn(UNKNOWN, UserWarning, stacklevel=_callers())
        _WARNED.add(module)


def _callers() -> int:
    """The ``stacklevel`` of the first caller outside of this package."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "everywindow":
        level, frame = level + 1, frame.f_back
    return level
