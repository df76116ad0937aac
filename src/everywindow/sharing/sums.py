"""Sums over each window's positions, added up from the shared values without taking windows apart.

A window's sum is a sum of sums: along one axis first, for all windows of a column of the image at once, then along the
next. That reads each shared position once for each window of *one* axis, where taking windows apart copies it for each
window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx
from torch.nn import functional as F

from everywindow.ops import Call, features_last, rule_for, wide


@dataclass(frozen=True)
class WindowSum:
    """A call that sums each window's positions.

    Attributes:
        node: the call.
        source: the shared value that it sums.
        divisor: what the sum is divided by.
    """

    node: fx.Node
    source: fx.Node
    divisor: int

    def of(self, value: Tensor, dims: Sequence[int], tables: Sequence[Tensor]) -> Tensor:
        """The call's value for all windows, ``[*windows, 1, *features]``.

        Args:
            value: the shared value.
            dims: its spatial dimensions.
            tables: per axis ``[windows, n]``, where the positions of a window lie.
        """
        total = wide(features_last(value, dims))
        for axis, table in enumerate(tables):
            rows = total.movedim(axis, 0)
            sums = F.embedding_bag(table, rows.reshape(len(rows), -1), mode="sum")
            total = sums.view(len(table), *rows.shape[1:]).movedim(0, axis)
        return (total / self.divisor).to(value.dtype)

    def windows(self, sums: Tensor, members: Tensor) -> Tensor:
        """The call's value for some windows, given by their place: ``[batch, *its dimensions]``."""
        return sums[tuple(members.T)].reshape(len(members), *self.node.meta["shape"][1:])


def window_sums(rest: Sequence[fx.Node], shared: set[fx.Node], values: Mapping[fx.Node, Any]) -> tuple[WindowSum, ...]:
    """The calls behind the shared part that sum windows of shared values."""
    found = (_window_sum(node, shared, values) for node in rest)
    return tuple(one for one in found if one is not None)


def _window_sum(node: fx.Node, shared: set[fx.Node], values: Mapping[fx.Node, Any]) -> WindowSum | None:
    rule = rule_for(node.target)
    sources = node.all_input_nodes
    if rule is None or len(sources) != 1 or sources[0] not in shared:
        return None
    divisor = rule.sums(Call(node, values))
    return None if divisor is None else WindowSum(node, sources[0], divisor)
