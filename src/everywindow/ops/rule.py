"""What the project knows about an operation: how windows share it, how it converts, what it costs.

A rule answers four questions about a call of one of its ATen overloads. :meth:`Rule.infer` propagates the
records; :meth:`Rule.convert` emits the image-wide counterpart; :meth:`Rule.share` computes what windows share and what
each has to itself; :meth:`Rule.macs` counts mult-adds. A new
operation is one rule and its name in :mod:`everywindow.ops.registry`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch import fx

from everywindow.geometry import Dim, Reason, Value, has_batch
from everywindow.ops.batch import BATCH

if TYPE_CHECKING:
    from everywindow.ops.emitter import Emitter, Mapped
    from everywindow.ops.places import Places, Step

Shape = tuple[int, ...]


class NotShared(Exception):
    """Windows share nothing behind this call; the message says why."""


class NotProved(Exception):
    """Windows share nothing behind this call, and it may let the items of a batch see each other; says why."""


class MixesBatch(Exception):
    """The call lets the items of a batch see each other; the message says how."""


class NotReproducible(Exception):
    """The call gives another result each time; the message says why."""


@dataclass(frozen=True)
class Call:
    """One node of the captured graph, with its arguments by name and the records of its inputs."""

    node: fx.Node
    values: Mapping[fx.Node, Value | tuple[Value, ...] | None]
    one_pass: bool = False
    """Whether a position may take the context of the window around it, where windows differ in what they have there."""

    @property
    def layer(self) -> str:
        """The user's name for the layer."""
        return str(self.node.meta["layer"])

    @property
    def target(self) -> Any:
        """The ATen overload."""
        return self.node.target

    @cached_property
    def arguments(self) -> dict[str, Any]:
        """All arguments by their name in the operator's schema, defaults filled in."""
        schema = self.target._schema
        given = dict(zip([argument.name for argument in schema.arguments], self.node.args, strict=False))
        given |= self.node.kwargs
        return {argument.name: given.get(argument.name, argument.default_value) for argument in schema.arguments}

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    @property
    def inputs(self) -> list[fx.Node]:
        """The nodes among the arguments that depend on the image, in order."""
        return [node for node in self.node.all_input_nodes if self.values[node] is not None]

    def value(self, node: fx.Node) -> Value:
        """The record of an input that depends on the image."""
        value = self.values[node]
        assert isinstance(value, Value), f"{node} is a constant or has several outputs"
        return value

    def is_constant(self, node: Any) -> bool:
        """Whether an argument does not depend on the image (numbers and None included)."""
        return not isinstance(node, fx.Node) or self.values[node] is None

    def require_constant(self, *names: str) -> None:
        """Raise NotShared where a weight is computed from the image."""
        for name in names:
            if not self.is_constant(self[name]):
                raise NotShared(f"{name} depends on the image")

    @property
    def shape(self) -> Shape:
        """Shape of the output at the recording batch size; of the first where there are several."""
        return self.shapes[0]

    @property
    def shapes(self) -> list[Shape]:
        """Shapes of all outputs."""
        recorded = self.node.meta["shape"]
        return [tuple(shape) for shape in recorded] if isinstance(recorded, list) else [tuple(recorded)]

    def because(self, why: str) -> Reason:
        """A reason that names this layer."""
        return Reason(self.layer, why)


def shape_of(node: fx.Node) -> Shape:
    """Shape of a node's tensor at the recording batch size."""
    return tuple(node.meta["shape"])


def numbers(value: Any, count: int) -> tuple[int, ...]:
    """A list argument of ATen, one number for each of ``count`` dimensions (a single one serves all)."""
    listed = list(value) if isinstance(value, Sequence) else [value]
    return tuple(listed * count if len(listed) == 1 else listed)


def normal_dim(dim: int, rank: int) -> int:
    """A dimension counted from the front."""
    return dim + rank if dim < 0 else dim


def refuse_batch(dim: Dim, doing: str) -> None:
    """Raise MixesBatch where a dimension holds the batch."""
    if has_batch(dim):
        raise MixesBatch(f"{doing} the items of the batch")


class Rule:
    """Base of the rules; ``targets`` are the ATen overloads that it answers for."""

    targets: tuple[Any, ...] = ()
    passes_on = False
    """Whether :meth:`share` may give its input's own memory."""
    macs_by_input = False
    """Whether mult-adds grow with the positions of the first input, not with the output's."""

    def infer(self, call: Call) -> Value | tuple[Value, ...]:
        """The records of the output.

        Raises:
            NotShared: no sharing and no conversion behind this call.
            MixesBatch, NotReproducible: the call is refused everywhere.
        """
        raise NotImplementedError

    def convert(self, call: Call, emit: Emitter) -> Mapped | tuple[Mapped, ...]:
        """Emit the image-wide counterpart of a call that :meth:`infer` accepted."""
        raise NotImplementedError

    def share(self, call: Call, places: Places, after: Value) -> Step:
        """How to compute the call on values shared by a rectangle of windows (:mod:`everywindow.ops.blocks`).

        ``after`` is the record of the output, of the first where there are several.

        Raises:
            NotShared: the call takes whole windows.
        """
        raise NotShared("it takes whole windows")

    def sums(self, call: Call) -> int | None:
        """What the sum over all positions of a window is divided by; None where the call is no such sum."""
        return None

    def macs(self, call: Call) -> int:
        """Mult-adds of the call for one window; 0 where nothing is multiplied and added up."""
        return 0

    def comparisons(self, call: Call) -> int:
        """Values that go into the maxima of a pooling, for one window."""
        return 0

    def additions(self, call: Call) -> int:
        """Values that are added up to the means of a pooling, for one window."""
        return 0


def overloads(names: str) -> tuple[Any, ...]:
    """ATen overloads from names like ``relu.default``; those that this version of torch lacks are left out.

    >>> overloads("relu.default no_such_op.default")
    (<OpOverload(op='aten.relu', overload='default')>,)
    """
    found: list[Any] = []
    for name in names.split():
        packet, _, overload = name.partition(".")
        operation = getattr(getattr(torch.ops.aten, packet, None), overload or "default", None)
        if operation is not None:
            found.append(operation)
    return tuple(found)


def per_item(shape: Sequence[int]) -> int:
    """Number of elements for one item of the batch."""
    return prod(shape) // BATCH


Registry = dict[Callable[..., Any], Rule]
