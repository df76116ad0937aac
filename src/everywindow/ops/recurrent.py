"""Recurrent layers: every step multiplies by all of a layer's matrices."""

from __future__ import annotations

from typing import NoReturn

from everywindow.ops.rule import Call, NotProved, NotReproducible, Rule, overloads, per_item, shape_of


class Recurrent(Rule):
    """LSTM, GRU and plain recurrent layers: counted, and not shared; which dimension is the batch is not told."""

    targets = overloads("lstm.input gru.input rnn_tanh.input rnn_relu.input")

    def infer(self, call: Call) -> NoReturn:
        if call["train"] and call["dropout"]:
            raise NotReproducible(f"{call.target} draws random numbers")
        raise NotProved(f"nothing is known about {call.target}")

    def macs(self, call: Call) -> int:
        steps = per_item(shape_of(call["input"])[:-1])
        matrices = [shape for weights in call["params"] if len(shape := shape_of(weights)) == 2]
        return steps * sum(rows * columns for rows, columns in matrices)
