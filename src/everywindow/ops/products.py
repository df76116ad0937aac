"""Products with weights that no conversion is known for, and recurrent layers: each item of the batch by itself."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from everywindow.geometry import Batch, Value, has_batch
from everywindow.ops.opaque import Opaque, layout_by_shape, op_name
from everywindow.ops.rule import Call, NotProved, NotReproducible, NotShared, normal_dim, overloads, per_item, shape_of


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
        return per_item(call.shape) * prod(shape[dim] for dim in call.arguments.get("dims_self", (-1,)))


class Distances(Opaque):
    """Distances between feature vectors and prototypes."""

    targets = overloads("cdist.default")
    own_dims = 1

    def _check(self, call: Call, value: Value) -> None:
        super()._check(call, value)
        if len(call.inputs) > 1 or not call.is_constant(call["x2"]):
            raise NotProved("cdist of two computed values may pair the items of the batch")

    def macs(self, call: Call) -> int:
        return per_item(call.shape) * shape_of(call["x1"])[-1]


class Recurrent(Opaque):
    """Layers that go along a sequence: every item of the batch is a sequence of its own."""

    targets = overloads("lstm.input gru.input rnn_tanh.input rnn_relu.input")

    def infer(self, call: Call) -> Value | tuple[Value, ...]:
        if call["dropout"] and call["train"]:
            raise NotReproducible("draws random numbers: the dropout between its layers is active in evaluation mode")
        value = call.value(call["input"])
        for node in call.inputs:
            self._check_batch(call.value(node), 0 if call["batch_first"] and node is call["input"] else 1)
        if any(call.value(node).mapped for node in call.inputs):
            raise NotShared(f"{op_name(call)} looks at the whole window")
        return tuple(replace(value, layout=layout_by_shape(shape, (), ())) for shape in call.shapes)

    def _check_batch(self, value: Value, dim: int) -> None:
        held = [place for place, each in enumerate(value.layout) if has_batch(each)]
        if len(value.layout) != 3 or held != [dim] or value.layout[dim] != (Batch(),):
            raise NotProved("a recurrent layer may run over the items of the batch")

    def macs(self, call: Call) -> int:
        """At each step every matrix of weights is used once."""
        steps = shape_of(call["input"])[1 if call["batch_first"] else 0]
        matrices = [shape_of(weight) for weight in call["params"]]
        return steps * sum(prod(shape) for shape in matrices if len(shape) == 2)


__all__ = ["Bilinear", "Contraction", "Distances", "Recurrent"]
