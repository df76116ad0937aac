"""Errors that name the thing, the reason and the remedy, in one line."""

from __future__ import annotations


class EverywindowError(Exception):
    """Base of all errors of this package.

    Args:
        what: the layer, file or argument that is at fault.
        why: the reason.
        remedy: what works instead.

    >>> raise InputError("stride", "0 is not positive", "give a stride of 1 or more")
    Traceback (most recent call last):
    ...
    everywindow.errors.InputError: stride: 0 is not positive; give a stride of 1 or more
    """

    def __init__(self, what: str, why: str, remedy: str) -> None:
        self.what = what
        self.why = why
        self.remedy = remedy
        super().__init__(what, why, remedy)

    def __str__(self) -> str:
        return f"{self.what}: {self.why}; {self.remedy}"


class InputError(EverywindowError, ValueError):
    """An argument or an image that cannot be used."""


class ModelError(EverywindowError, ValueError):
    """A bundle, weights file or model name that cannot be used."""


class TrustError(ModelError):
    """A model file that runs code when read, given without trust."""


class CaptureError(EverywindowError):
    """A network whose computation cannot be captured."""


class IndependenceError(CaptureError):
    """A network that mixes the items of a batch, or gives another result each time: windows cannot be scored apart."""


class ConversionError(EverywindowError):
    """A layer that has no equal in a fully convolutional network."""

    @property
    def layer(self) -> str:
        """Name of the layer that cannot be converted."""
        return self.what


class DependencyError(EverywindowError, ImportError):
    """An optional package that is not installed."""


class StoppedError(EverywindowError):
    """A run that a signal asked to stop; ``signal`` is its number. What is done stays, and the run can be resumed."""

    def __init__(self, what: str, why: str, remedy: str, signal: int) -> None:
        self.signal = signal
        super().__init__(what, why, remedy)
