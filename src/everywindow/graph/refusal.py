"""Why ``torch.export`` cannot follow a module's code, in the words of its user."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from everywindow.errors import CaptureError, EverywindowError, InputError
from everywindow.geometry import times
from everywindow.graph.applied import Applied, lacking_arguments, original

LONGEST = 120
"""Characters of a message of torch's, or of a line of code, that are passed on."""

_OURS = (str(Path(torch.__file__).parent), str(Path(__file__).parent.parent))

_BATCH = "Constraints violated (L['"
_FIXED_BATCH = "].size()[0]"


def refusal(module: nn.Module, image: Tensor, error: Exception) -> EverywindowError:
    """The error to raise where ``torch.export`` failed with ``error`` on a batch like ``image``.

    An ``InputError`` where the module itself takes no such window: nothing can score it then.
    """
    name = type(original(module)).__name__
    window = times(tuple(image.shape[1:]))
    misfit = _misfit(module, image)
    lacking = lacking_arguments(module)
    if misfit is not None and lacking:
        remedy = f"give it for all windows: Classifier(..., constants={{{lacking[0]!r}: ...}})"
        return InputError("forward()", f"{name} takes {' and '.join(lacking)} beside the image", remedy)
    if misfit is not None:
        constants = _constants(module)
        beside = f" beside {constants}" if constants else ""
        remedy = f"check constants=, {_CHECK.removeprefix('check ')}" if constants else _CHECK
        return InputError("window", f"{name} does not take a window of {window}{beside} ({misfit})", remedy)
    return CaptureError(name, _why(error, window), "scan() runs such a network on one window at a time")


_CHECK = "check window= and channels="


def _constants(module: nn.Module) -> str:
    """The tensors that a module gets beside the image, with their shapes."""
    tensors = module.tensors if isinstance(module, Applied) else {}
    return ", ".join(f"{key} {list(value.shape)}" for key, value in tensors.items() if value is not None)


def _misfit(module: nn.Module, image: Tensor) -> str | None:
    """What the module says to a window, whatever its values are; None where it takes it."""
    said = [_said(module, values) for values in _tries(image[:1])]
    return said[0] if all(said) else None


def _tries(window: Tensor) -> Iterator[Tensor]:
    """Windows of unlike values, for code may refuse some."""
    generator = torch.Generator().manual_seed(0)
    yield torch.zeros_like(window)
    yield torch.rand(window.shape, generator=generator).to(window)
    yield torch.randn(window.shape, generator=generator).to(window)


def _said(module: nn.Module, window: Tensor) -> str | None:
    try:
        module(window)
    except (MemoryError, torch.OutOfMemoryError):
        return None
    except Exception as error:  # whatever the module's code raises
        return _first_line(error)
    return None


def _why(error: Exception, window: str) -> str:
    first = _first_line(error)
    if first.startswith(_BATCH) and _FIXED_BATCH in first:
        return (
            "its code fixes the size of the batch as a Python number, as len(x) or int(x.shape[0]) do "
            "(x.shape[0] does not)"
        )
    kind = type(error).__name__
    if "data-dependent" in first or kind in ("DynamicOutputShapeException", "DataDependentOutputException"):
        return f"its code depends on values: {_line(error) or first}"
    where = _line(error)
    return f"torch.export cannot follow it on windows of {window} ({first}{f': {where}' if where else ''})"


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return _short(lines[0]) if lines else type(error).__name__


def _line(error: Exception) -> str:
    """The innermost line of code that is not torch's: what it says, and where it is."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(_OURS)]
    if not frames or not frames[-1].line:
        return ""
    last = frames[-1]
    return f"{_short(str(last.line))} ({Path(last.filename).name}, line {last.lineno})"


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
