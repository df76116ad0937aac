"""Weights of a softmax over a window's positions, before they are divided by their sum."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from everywindow.geometry import Batch, Value
from everywindow.ops.emitter import Emitter, Mapped
from everywindow.ops.rule import Call, NotShared, Rule


def positive_weights(a: Tensor) -> Tensor:
    """``exp`` of each item's values, less the item's largest: no weight is above 1, and ratios are those of ``exp``.

    None is 0: where all of a window's values are far below the largest of the image, its positions weigh the same.
    """
    least = 0.9 * math.log(torch.finfo(a.dtype).tiny)
    return (a - a.amax(tuple(range(1, a.ndim)), keepdim=True)).clamp_min(least).exp()


class PositiveWeights(Rule):
    """On the image-wide map the largest value is that of the image: ratios between positions stay."""

    targets = (positive_weights,)

    def infer(self, call: Call) -> Value:
        value = call.value(call.inputs[0])
        if not value.layout or value.layout[0] != (Batch(),):
            raise NotShared("the batch is not the first dimension")
        return value

    def convert(self, call: Call, emit: Emitter) -> Mapped:
        mapped = emit.mapped(call.inputs[0])
        return replace(mapped, node=emit.call(positive_weights, mapped.node), value=self.infer(call))
