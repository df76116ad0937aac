"""A module whose forward() takes more than the image, as one that takes the image alone."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from everywindow.errors import InputError
from everywindow.graph.evaluating import evaluating, precision
from everywindow.graph.outputs import plain_outputs

INSIDE = "module."
"""Stands before the names of the original's weights."""


class _Place(NamedTuple):
    """Stands for a tensor among the arguments."""

    name: str
    shape: tuple[int, ...]
    is_floating_point: bool


CONVOLUTIONS: dict[type[nn.Module], int] = {nn.Conv1d: 1, nn.Conv2d: 2, nn.Conv3d: 3}
"""Layers by which an input is known, and its spatial axes."""


class Applied(nn.Module):
    """The original with the same further arguments for every window; its outputs as plain data.

    Tensors among the arguments are buffers: they follow to other devices and dtypes, and are stored with the weights.

    Attributes:
        module: the original.
        names: of the further arguments.
        expands: whether tensors whose first dimension has size 1 get the size of the batch there: code that puts
            them beside the image's features needs it, code that adds them may not bear it.
    """

    def __init__(self, module: nn.Module, constants: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.module = module
        self.expands = False
        self.names = tuple(constants or {})
        tensors: dict[str, Tensor] = {}
        self._given = _taken_out(dict(constants or {}), (), tensors)
        # A name that the original has no layer of; the buffers directly, for an argument may be called "train".
        self._holder = "constants"
        while hasattr(module, self._holder):
            self._holder += "_"
        self.add_module(self._holder, nn.Module())
        self.tensors.update({name: tensor.detach().clone() for name, tensor in tensors.items()})
        self.follow()

    @property
    def tensors(self) -> dict[str, Tensor | None]:
        """The tensors among the arguments."""
        return self.get_submodule(self._holder)._buffers

    def forward(self, image: Tensor) -> Any:
        """The original's outputs for images ``[N, channels, *window]``."""
        return plain_outputs(self.module(image, **self.arguments(image)))

    def arguments(self, image: Tensor | None = None) -> dict[str, Any]:
        """The further arguments, for a batch of images."""
        tensors = {name: self._for_batch(value, image) for name, value in self.tensors.items()}
        given: dict[str, Any] = _put_in(self._given, tensors)
        return given

    def plain_arguments(self) -> Any:
        """The further arguments as plain data: numbers and texts as they are, of anything else its kind."""
        return _plain(self._given)

    def refill(self, constants: Mapping[str, Any]) -> bool:
        """Take other tensors of the same shapes; False, and nothing changed, where more than that differs."""
        tensors: dict[str, Tensor] = {}
        if _taken_out(dict(constants), (), tensors) != self._given:
            return False
        with torch.no_grad():
            for name, tensor in self.tensors.items():
                assert tensor is not None
                tensor.copy_(tensors[name])
        return True

    def follow(self) -> None:
        """Bring the arguments to where the original's weights are now, and into their dtype."""
        like = next((p for p in (*self.module.parameters(), *self.module.buffers()) if p.is_floating_point()), None)
        for name, value in self.tensors.items():
            if like is not None and value is not None:
                self.tensors[name] = value.to(like.device, like.dtype if value.is_floating_point() else value.dtype)

    def _for_batch(self, value: Tensor | None, image: Tensor | None) -> Tensor | None:
        if value is None or image is None or not self.expands or not value.ndim or value.shape[0] != 1:
            return value
        return value.expand(image.shape[0], *value.shape[1:])


def named_arguments(module: nn.Module, positional: Sequence[Any], named: Mapping[str, Any]) -> dict[str, Any]:
    """Further arguments of a call by the names that ``forward`` has for them.

    Raises:
        InputError: there are more than it takes.
    """
    names = [p.name for p in _parameters(module)[1:] if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    if len(positional) > len(names):
        raise InputError(
            "arguments",
            f"{len(positional)} beside the image, {type(module).__name__} takes {len(names)}",
            "leave some out",
        )
    return {**dict(zip(names, positional, strict=False)), **named}


def applied(module: nn.Module, constants: Mapping[str, Any], window: tuple[int, ...], channels: int) -> Applied:
    """The module with further arguments of its ``forward``, by name.

    A batch of two windows tells whether it takes them as they are or with the size of the batch.

    Raises:
        InputError: ``forward`` takes no such arguments.
    """
    _check_names(module, constants)
    made = Applied(module, constants)
    if made.tensors and not _takes_two(made, window, channels):
        made.expands = True
        made.expands = _takes_two(made, window, channels)
    return made


def original(module: nn.Module) -> nn.Module:
    """The module as its author wrote it."""
    return module.module if isinstance(module, Applied) else module


def lacking_arguments(module: nn.Module) -> list[str]:
    """What ``forward`` takes beside the image, has no default for and was not given."""
    given = module.names if isinstance(module, Applied) else ()
    required = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    further = [p for p in _parameters(original(module))[1:] if p.kind in required]
    return [p.name for p in further if p.default is inspect.Parameter.empty and p.name not in given]


def first_convolution(module: nn.Module) -> nn.Module | None:
    """The convolution that comes first among a module's layers, where there is one."""
    return next((part for part in module.modules() if isinstance(part, tuple(CONVOLUTIONS))), None)


def tensors_in(value: Any) -> list[Tensor]:
    """The tensors among arguments or outputs."""
    tensors: dict[str, Tensor] = {}
    _taken_out(value, (), tensors)
    return list(tensors.values())


def _taken_out(value: Any, path: tuple[str, ...], tensors: dict[str, Tensor]) -> Any:
    """The arguments with places for their tensors, which are put into ``tensors`` by name."""
    if isinstance(value, Tensor):
        name = "_".join(path)
        while name in tensors:  # "a_b", and "b" in "a"
            name += "_"
        tensors[name] = value
        return _Place(name, tuple(value.shape), value.is_floating_point())
    if isinstance(value, dict):
        return {key: _taken_out(item, (*path, str(key)), tensors) for key, item in value.items()}
    if type(value) in (tuple, list):
        return type(value)(_taken_out(item, (*path, str(index)), tensors) for index, item in enumerate(value))
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return [[str(key), _plain(item)] for key, item in value.items()]
    if type(value) in (tuple, list):
        return [_plain(item) for item in value]
    known = value is None or isinstance(value, int | float | complex | str | bytes | _Place)
    return repr(value) if known else type(value).__qualname__


def _put_in(value: Any, tensors: Mapping[str, Tensor | None]) -> Any:
    if isinstance(value, _Place):
        return tensors[value.name]
    if isinstance(value, dict):
        return {key: _put_in(item, tensors) for key, item in value.items()}
    return type(value)(_put_in(item, tensors) for item in value) if type(value) in (tuple, list) else value


def _check_names(module: nn.Module, constants: Mapping[str, Any]) -> None:
    kind = type(module).__name__
    if not isinstance(constants, Mapping) or not all(isinstance(name, str) for name in constants):
        raise InputError("constants", f"{constants!r:.40} are not values by name", 'give {"name": value}')
    taken = _parameters(module)
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in taken):
        return
    names = [parameter.name for parameter in taken[1:]]
    for name in constants:
        if taken and name not in names:
            has = f"beside the image it takes {', '.join(names)}" if names else "it takes the image alone"
            raise InputError(f"constants {name!r}", f"{kind}.forward() has no such argument", has)


def _parameters(module: nn.Module) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(module.forward).parameters.values())
    except (TypeError, ValueError):
        return []


def _takes_two(module: Applied, window: tuple[int, ...], channels: int) -> bool:
    dtype, device = precision(module, window, channels)
    try:
        with torch.inference_mode(False), torch.no_grad(), evaluating(module):
            module(torch.zeros((2, channels, *window), dtype=dtype, device=device))
    except Exception:  # whatever the module's code raises
        return False
    return True
