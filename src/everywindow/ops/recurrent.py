"""Recurrent layers: each item of the batch is a sequence of its own."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from everywindow.geometry import Value, has_batch
from everywindow.ops.opaque import Opaque, layout_by_shape, op_name
from everywindow.ops.rule import Call, NotProved, NotReproducible, NotShared, overloads, per_item, shape_of


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
        if len(value.layout) != 3 or held != [dim]:
            raise NotProved("a recurrent layer may run over the items of the batch")

    def macs(self, call: Call) -> int:
        """At each step every matrix of weights is used once."""
        steps = per_item(shape_of(call["input"])[:-1])
        matrices = [shape_of(weight) for weight in call["params"]]
        return steps * sum(prod(shape) for shape in matrices if len(shape) == 2)
