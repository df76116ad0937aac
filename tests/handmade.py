"""Networks written out node by node, for tests that must not depend on capture."""

from __future__ import annotations

import operator

import torch
from torch import fx, nn

from everywindow.graph.network import Network
from everywindow.graph.shapes import record_shapes

aten = torch.ops.aten


class Lenet(nn.Module):
    """The module that :func:`lenet` is the graph of."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, stride=2)
        self.head = nn.Linear(4 * 5 * 5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.flatten(torch.relu(self.conv(x)), 1))


def lenet(module: nn.Module | None = None) -> Network:
    """Window 12 by 12, one channel, three classes; the batch size is read with ``sym_size``."""
    state = dict((module or Lenet()).state_dict(keep_vars=True))
    graph = fx.Graph()
    image = graph.create_node("placeholder", "image", name="image")
    weights = [graph.create_node("get_attr", name) for name in state]
    size = graph.call_function(aten.sym_size.int, (image, 0))
    conv = graph.call_function(aten.conv2d.default, (image, weights[0], weights[1], [2, 2]))
    relu = graph.call_function(aten.relu.default, (conv,))
    flat = graph.call_function(aten.view.default, (relu, [size, 100]))
    head = graph.call_function(aten.linear.default, (flat, weights[2], weights[3]))
    for node, layer in ((conv, "conv"), (head, "head")):
        node.meta["layer"] = layer
    image.meta["layer"] = "image"
    graph.output(head)
    record_shapes(graph, state, (12, 12), 1)
    return Network(graph, state, (12, 12), 1)


def odd_arguments() -> Network:
    """1-D, with every kind of argument: inf, dtype, device, slices by getitem, arithmetic, nesting."""
    state = {"scale": nn.Parameter(torch.randn(2, 8)), "mask": torch.zeros(1, 8, dtype=torch.bool)}
    graph = fx.Graph()
    image = graph.create_node("placeholder", "image", name="image")
    scale = graph.create_node("get_attr", "scale")
    mask = graph.create_node("get_attr", "mask")
    size = graph.call_function(aten.sym_size.int, (image, 0))
    twice = graph.call_function(operator.mul, (size, 2))
    halves = graph.call_function(aten.split.Tensor, (image, 1, 1))
    first = graph.call_function(operator.getitem, (halves, 0))
    second = graph.call_function(operator.getitem, (halves, 1))
    both = graph.call_function(aten.cat.default, ([first, second], 1))
    steps = graph.call_function(
        aten.arange.default,
        (8,),
        {"dtype": torch.float32, "device": torch.device("cpu"), "pin_memory": False},
    )
    product = graph.call_function(aten.mul.Tensor, (both, scale))
    total = graph.call_function(aten.add.Tensor, (product, steps), {"alpha": 2})
    masked = graph.call_function(aten.masked_fill.Scalar, (total, mask, float("-inf")))
    copied = graph.call_function(aten.clone.default, (masked,), {"memory_format": torch.contiguous_format})
    rows = graph.call_function(aten.view.default, (copied, [twice, 8]))
    back = graph.call_function(aten.view.default, (rows, [-1, 2, 8]))
    image.meta["layer"] = "image"
    graph.output({"map": back, "pair": (first, [second])})
    record_shapes(graph, state, (8,), 2)
    return Network(graph, state, (8,), 2)
