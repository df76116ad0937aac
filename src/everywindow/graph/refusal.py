"""Why ``torch.export`` cannot follow a module's code, in the words of its user."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from everywindow.errors import CaptureError, EverywindowError, InputError
from everywindow.geometry import times
from everywindow.graph.applied import Applied, first_convolution, lacking_arguments, original, tensors_in

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
        return _not_taken(module, image, misfit)
    several = _several_rows(module, image[:1])
    if several is not None:
        return several
    return CaptureError(name, _why(error, window), "scan() runs such a network on one window at a time")


_CHECK = "check window= and channels="


def check_arguments(module: Applied, image: Tensor) -> None:
    """See that a module takes its further arguments: an export without values does not notice each wrong type.

    Raises:
        InputError: it does not take any window with them.
    """
    misfit = _misfit(module, image) if module.names else None
    if misfit is not None:
        raise _not_taken(module, image, misfit)


def _not_taken(module: nn.Module, image: Tensor, misfit: str) -> InputError:
    """What does not fit of channels, window and further arguments, as far as it is seen."""
    taken, given = getattr(first_convolution(module), "in_channels", None), image.shape[1]
    refused = f"{type(original(module)).__name__} does not take a window of {times(tuple(image.shape[1:]))}"
    if taken not in (None, given) and "channels" in misfit:
        why = f"{refused} (its first convolution takes {taken} channels, not {given})"
        return InputError("channels", why, f"give channels={taken}")
    constants = _constants(module)
    beside = f" beside {constants}" if constants else ""
    remedy = f"check constants=, {_CHECK.removeprefix('check ')}" if constants else _CHECK
    return InputError("window", f"{refused}{beside} ({misfit})", remedy)


def _constants(module: nn.Module) -> str:
    """What a module gets beside the image: tensors with their shapes, other values as they are."""
    if not isinstance(module, Applied):
        return ""
    tensors = {key: list(value.shape) for key, value in module.tensors.items() if value is not None}
    others = {key: _short(repr(value)) for key, value in module.arguments().items() if not tensors_in(value)}
    return ", ".join(f"{key} {value}" for key, value in {**tensors, **others}.items())


def _several_rows(module: nn.Module, window: Tensor) -> InputError | None:
    """The further argument that makes of one window several, as a tensor with a row for each of some images does."""
    tensors = module.tensors if isinstance(module, Applied) else {}
    rows = {key: value for key, value in tensors.items() if value is not None and value.ndim and len(value) > 1}
    if not rows:
        return None
    try:
        outputs = tensors_in(module(window))
    except Exception:  # whatever the module's code raises
        return None
    for key, value in rows.items():
        if outputs and all(output.ndim > 1 and len(output) == len(value) for output in outputs):
            why = f"with {list(value.shape)} one window gets {len(value)} rows of scores"
            return InputError(f"constants {key!r}", why, "give it once for all windows, with a first dimension of 1")
    return None


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
