"""Fully connected layers behind a flatten, for windows that lie in memory with their features last.

A flatten that puts channels before rows and columns would copy every window into another order. For many windows it is
less work to bring the columns of the weights into the windows' order, once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from everywindow.geometry import Atom, Batch, Feature, Space, Value, coalesced, has_batch, is_space
from everywindow.ops import Call, Reshape, is_in_place, rule_for

LINEAR = torch.ops.aten.linear.default


@dataclass(frozen=True)
class Refold:
    """Another order of a flattened vector.

    Attributes:
        flatten: the call that makes the vector.
        source: the windows that it takes.
        order: the window's dimensions, batch first, as they lie in memory.
        weights: the weights of the layers that take the vector.
        sizes: what the vector is made of, outermost first.
        columns: the same parts in the order of the memory.
    """

    flatten: fx.Node
    source: fx.Node
    order: tuple[int, ...]
    weights: tuple[fx.Node, ...]
    sizes: tuple[int, ...]
    columns: tuple[int, ...]

    def vector(self, windows: Tensor) -> Tensor:
        """The windows as vectors in the memory's order."""
        vector: Tensor = windows.permute(self.order).flatten(1)
        return vector

    def weight(self, weight: Tensor) -> Tensor:
        """The weights with their columns in the memory's order."""
        parts = weight.unflatten(1, self.sizes).permute(0, *(1 + part for part in self.columns))
        changed: Tensor = parts.flatten(1).contiguous()
        return changed


def refolds(
    rest: Sequence[fx.Node], frontier: Sequence[fx.Node], values: Mapping[fx.Node, Any], windows: int
) -> tuple[Refold, ...]:
    """Where it pays to bring weights into the order of the windows' memory."""
    found = (_refold(node, values) for node in rest if node.args and node.args[0] in frontier)
    return tuple(one for one in found if one is not None and _pays(one, windows))


def _pays(refold: Refold, windows: int) -> bool:
    return all(weight.meta["shape"][0] <= windows for weight in refold.weights)


def _refold(node: fx.Node, values: Mapping[fx.Node, Any]) -> Refold | None:
    source = node.args[0]
    if not isinstance(source, fx.Node) or not _is_flatten(node) or not isinstance(values[node], Value):
        return None
    before, after = values[source], values[node]
    if not is_in_place(before.layout) or len(after.layout) != 2 or after.layout[0] != (Batch(),):
        return None
    spaces = [dim for dim, atoms in enumerate(before.layout) if is_space(atoms)]
    others = [dim for dim, atoms in enumerate(before.layout) if not is_space(atoms) and not has_batch(atoms)]
    weights = _weights_of(node, values)
    vector = coalesced(after.layout[1])
    if weights is None or len(spaces) != len(before.axes) or len(_features(vector)) > 1:
        return None
    in_memory: list[Atom] = [atom for dim in _by_axis(spaces, before) for atom in before.layout[dim]]
    in_memory += _features(vector)
    if sorted(in_memory, key=repr) != sorted(vector, key=repr):
        return None
    sizes = tuple(atom.size if isinstance(atom, Feature) else before.axis(atom.axis).n for atom in vector)  # type: ignore[union-attr]
    columns = tuple(vector.index(atom) for atom in in_memory)
    return Refold(node, source, (0, *_by_axis(spaces, before), *others), weights, sizes, columns)


def _by_axis(spaces: Sequence[int], value: Value) -> list[int]:
    """The spatial dimensions in the order of their axes: the order in memory."""
    return sorted(spaces, key=lambda dim: [atom.axis for atom in value.layout[dim] if isinstance(atom, Space)])


def _features(vector: Sequence[Atom]) -> list[Atom]:
    return [atom for atom in vector if isinstance(atom, Feature)]


def _is_flatten(node: fx.Node) -> bool:
    return isinstance(rule_for(node.target), Reshape)


def _weights_of(node: fx.Node, values: Mapping[fx.Node, Any]) -> tuple[fx.Node, ...] | None:
    """The weights of the fully connected layers that alone read a vector; None where something else reads it."""
    weights: list[fx.Node] = []
    waiting = list(node.users)
    while waiting:
        user = waiting.pop()
        rule = rule_for(user.target) if user.op == "call_function" else None
        if rule is not None and rule.passes_on and user.args[0] is not None and _same_shape(user):
            waiting.extend(user.users)
        elif user.target is LINEAR and isinstance(user.args[1], fx.Node) and len(user.args[1].users) == 1:
            if Call(user, values).is_constant(user.args[0]) or user.args[1].op != "get_attr":
                return None
            weights.append(user.args[1])
        else:
            return None
    return tuple(weights) or None


def _same_shape(node: fx.Node) -> bool:
    source = node.args[0]
    return isinstance(source, fx.Node) and source.meta.get("shape") == node.meta.get("shape")


def refolded(refolds: Sequence[Refold], constants: Mapping[fx.Node, Any]) -> dict[fx.Node, Any]:
    """All constants, with those weights whose columns are brought into another order."""
    changed = {weight: refold.weight(constants[weight]) for refold in refolds for weight in refold.weights}
    return {**constants, **changed}


__all__ = ["Refold", "refolded", "refolds"]
