"""What a network puts out: tensors nested in tuples, lists and dicts, and one of them by its place."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, fx

from everywindow.errors import InputError

Step = int | str
Output = Step | tuple[Step, ...] | None
"""Which of several outputs: an index or a key, several of them where outputs are nested, or the first."""


def plain_outputs(outputs: Any) -> Any:
    """The outputs in plain tuples, lists and dicts; what has names becomes a dict with text for keys."""
    if isinstance(outputs, Mapping):
        return {str(key): plain_outputs(item) for key, item in outputs.items()}
    if isinstance(outputs, list):
        return [plain_outputs(item) for item in outputs]
    if isinstance(outputs, tuple):
        items = tuple(plain_outputs(item) for item in outputs)
        names = getattr(outputs, "_fields", ())
        return dict(zip(names, items, strict=True)) if names else items
    if dataclasses.is_dataclass(outputs) and not isinstance(outputs, type):
        return {field.name: plain_outputs(getattr(outputs, field.name)) for field in dataclasses.fields(outputs)}
    return outputs


def chosen(outputs: Any, output: Output = None) -> Any:
    """One tensor (or node of a graph) among the outputs: the first, or the first behind a place.

    A place that is text and no key is taken apart at its dots: ``"aux.1"``.

    Raises:
        InputError: no tensor there; it names those that there are.
    """
    outputs = plain_outputs(outputs)
    for place in _places(outputs, output):
        found = next((leaf for _, leaf in leaves(_at(outputs, place))), None)
        if found is not None:
            return found
    names = [name for name, _ in leaves(outputs)]
    if not names:
        raise InputError("output", f"the network puts out no tensor ({type(outputs).__name__})", "let it return scores")
    if names == [""]:
        raise InputError("output", f"the network has one output, not {output!r}", "leave output= out")
    raise InputError("output", f"{output!r} is none of {_few(names)}", "give one of them")


def leaves(outputs: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The tensors among plain outputs by their places: ``aux.1``."""
    if isinstance(outputs, Tensor) or (isinstance(outputs, fx.Node) and "shape" in outputs.meta):
        yield name, outputs
    for key, item in _entries(outputs):
        yield from leaves(item, f"{name}.{key}" if name else key)


def _places(outputs: Any, output: Output) -> list[tuple[Step, ...]]:
    """The ways to read a place."""
    if output is None or (output == 0 and not _entries(outputs)):
        return [()]
    if isinstance(output, tuple):
        return [output]
    return [(output,), tuple(output.split("."))] if isinstance(output, str) else [(output,)]


def _at(outputs: Any, place: tuple[Step, ...]) -> Any:
    for step in place:
        outputs = _entry(outputs, str(step))
    return outputs


def _entry(outputs: Any, step: str) -> Any:
    """An entry by its key, or else by its number; None where there is none."""
    entries = _entries(outputs)
    numbered = {str(index): item for index, (_, item) in enumerate(entries)}
    return (numbered | dict(entries)).get(step)


def _entries(outputs: Any) -> list[tuple[str, Any]]:
    if isinstance(outputs, Mapping):
        return [(str(key), item) for key, item in outputs.items()]
    return [(str(index), item) for index, item in enumerate(outputs)] if isinstance(outputs, tuple | list) else []


def _few(names: list[str], most: int = 12) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
