"""Networks in a line of code, and the demand that every mode gives the crops' scores for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

import torch
from torch import Tensor, nn

import everywindow as ew
import oracle
from everywindow.errors import ConversionError
from exactly import CropsOnly, exactly
from trial_weights import noise, with_trial_weights


class Net(nn.Module):
    """A function of itself and the image, with layers, parameters and buffers by name."""

    def __init__(self, code: Callable[[Any, Tensor], Any], **parts: nn.Module | Tensor) -> None:
        super().__init__()
        self.code = code
        for name, part in parts.items():
            if isinstance(part, nn.Module):
                self.add_module(name, part)
            elif isinstance(part, nn.Parameter):
                self.register_parameter(name, part)
            else:
                self.register_buffer(name, part)

    def forward(self, x: Tensor) -> Any:
        return self.code(self, x)


def require_crops_scores(
    module: nn.Module,
    channels: int,
    window: Sequence[int] = (9, 8),
    strides: Sequence[int] = (1, 2, 3),
    output: int | None = None,
) -> set[str]:
    """Compare all modes with the crops; the modes that hold: ``shared`` calls, ``fcn`` proved exact.

    Raises:
        AssertionError: one differs.
    """
    with_trial_weights(module, channels, window)
    image = noise((1, channels, *(size + 7 + axis for axis, size in enumerate(window))), 5)[0]
    found = set()
    for step in strides:
        stride = (step,) * len(window)
        expected = oracle.crops(module, image, window, stride, None if output is None else itemgetter(output))
        for mode in ("exact", "fcn", "crops"):
            classifier = ew.Classifier(module, window=window, channels=channels)
            try:
                scan = ew.scan(classifier, image, stride=stride, mode=mode, output=output)
            except ConversionError:
                continue
            if scan.verdict.exact:
                _require_equal(scan.scores, expected, f"{mode} at stride {step}")
                found |= {mode}
        if output is None:
            found |= _forced(module, image, window, stride, expected)
    return found


def _forced(
    module: nn.Module, image: Tensor, window: Sequence[int], stride: Sequence[int], expected: Tensor
) -> set[str]:
    """The exact engine with all that can be shared, with half of it, and in several rectangles."""
    shares = False
    for share, memory in ((None, 1.0), (0.5, 1.0), (None, 0.3)):
        try:
            forced = exactly(module, image, window, stride, share=share, memory=memory)
        except CropsOnly:
            return set()
        _require_equal(forced.scores, expected, f"share {share}, memory {memory}, stride {stride}")
        shares = shares or forced.shares
    return {"shared"} if shares else set()


def _require_equal(scores: Tensor, expected: Tensor, what: str) -> None:
    difference = oracle.relative_difference(scores.to(expected.dtype), expected)
    assert difference <= oracle.TOLERANCE[torch.float64], f"{what}: {difference}"
