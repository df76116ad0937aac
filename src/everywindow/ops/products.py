"""Products with weights that no conversion is known for: each item of the batch by itself."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from everywindow.geometry import Value
from everywindow.ops.opaque import Opaque, op_name
from everywindow.ops.rule import Call, NotProved, normal_dim, overloads, per_item, shape_of

NO_PRODUCT = 2
"""How ``cdist`` calls its mode that takes no matrix product, whatever the number of rows."""


class Bilinear(Opaque):
    """Every feature of one input times every feature of the other, with a matrix of weights for each output."""

    targets = overloads("bilinear.default")
    own_dims = 1

    def infer(self, call: Call) -> Value | tuple[Value, ...]:
        call.require_constant("weight", "bias")
        if len({call.value(node).layout[0] for node in call.inputs}) > 1:
            raise NotProved("bilinear pairs the items of the batch in different orders")
        return super().infer(call)

    def macs(self, call: Call) -> int:
        """Each matrix times the second input, and that times the first."""
        _, first, second = shape_of(call["weight"])
        return per_item(call.shape) * first * (second + 1)


class Contraction(Opaque):
    """A computed value times weights, summed over dimensions behind the batch."""

    targets = overloads("tensordot.default inner.default mv.default")
    own_dims = 1

    def _check(self, call: Call, value: Value) -> None:
        super()._check(call, value)
        weights = call["vec"] if "vec" in call.arguments else call["other"]
        if not call.is_constant(weights):
            raise NotProved(f"{op_name(call)} of two computed values may pair the items of the batch")
        dims = call.arguments.get("dims_self", (-1,))
        if any(normal_dim(dim, len(value.layout)) == 0 for dim in dims):
            raise NotProved("tensordot may run over the items of the batch")

    def macs(self, call: Call) -> int:
        shape = shape_of(call["self"])
        summed: Sequence[int] = call.arguments.get("dims_self", (-1,))
        return per_item(call.shape) * prod(shape[dim] for dim in summed)


class Distances(Opaque):
    """Distances between feature vectors and prototypes."""

    targets = overloads("cdist.default")
    own_dims = 1

    def _check(self, call: Call, value: Value) -> None:
        super()._check(call, value)
        if len(call.inputs) > 1 or not call.is_constant(call["x2"]):
            raise NotProved("cdist of two computed values may pair the items of the batch")
        if len(value.layout) == 2 and call["p"] == 2 and call["compute_mode"] != NO_PRODUCT:
            raise NotProved(
                "cdist computes in another way where the batch is large, which is off by far more than rounding"
            )

    def macs(self, call: Call) -> int:
        return per_item(call.shape) * shape_of(call["x1"])[-1]
