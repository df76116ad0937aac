"""Calls of a converted network that run together in bands of rows, for inference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn

from everywindow.kernels import FASTER, MaxPool, Shape, convolved
from everywindow.ops import IN_PLACE, window_linear

aten = torch.ops.aten

OVERWRITING = frozenset(IN_PLACE.values())


class Chain(nn.Module):
    """Some calls in a row as one; takes the first one's tensors, then the others' weights."""

    def __init__(self, run: Callable[..., Tensor], names: str) -> None:
        super().__init__()
        self._chain, self._names = run, names

    def forward(self, *tensors: Any) -> Tensor:
        """The last call's value."""
        return self._chain(*tensors)

    def extra_repr(self) -> str:
        """The calls."""
        return self._names


def fuse(graph: fx.Graph) -> dict[str, nn.Module]:
    """Put chains of calls in the place of convolutions and whole-window layers with what follows them.

    The graph's elementwise calls must be in place already where they may be. Returns the modules that it now calls.
    """
    found: dict[str, nn.Module] = {}
    for node in list(graph.nodes):
        made = _convolution_chain(node) or _head_chain(node)
        if made is None:
            continue
        chain, arguments, last = made
        name = f"chain_{len(found)}"
        found[name] = chain
        with graph.inserting_after(last):
            call = graph.call_module(name, arguments)
        call.meta = dict(last.meta)
        last.replace_all_uses_with(call)
        _erase(graph, node, last)
    return found


def _erase(graph: fx.Graph, first: fx.Node, last: fx.Node) -> None:
    while True:
        before = last.args[0]
        graph.erase_node(last)
        if last is first:
            return
        assert isinstance(before, fx.Node)
        last = before


def _followers(node: fx.Node, wanted: Callable[[fx.Node], bool]) -> list[fx.Node]:
    """The calls that read nothing else, one behind the other, each the only reader of the one before."""
    found: list[fx.Node] = []
    while len(node.users) == 1:
        user = next(iter(node.users))
        if user.op != "call_function" or user.args[:1] != (node,) or not wanted(user):
            break
        found.append(user)
        node = user
    return found


def _overwrites(node: fx.Node) -> bool:
    """Whether a call overwrites its only tensor."""
    return node.target in OVERWRITING and len(node.all_input_nodes) == 1 and not node.kwargs


def _convolution_chain(node: fx.Node) -> tuple[Chain, tuple[Any, ...], fx.Node] | None:
    if node.target is not aten.conv2d.default or len(node.args) != 7:
        return None
    x, weight, bias, stride, padding, dilation, groups = node.args
    members = [node, *_followers(node, _overwrites)]
    steps = [partial(_called, member.target, tuple(member.args[1:])) for member in members[1:]]
    pool = None
    for user in _followers(members[-1], _is_plain_pooling)[:1]:
        members.append(user)
        pool = MaxPool(_pair(user.args[1]), _pair(user.args[2]), _pair(user.args[4]))
    shape = Shape(_pair(stride), _pair(padding), _pair(dilation), int(groups))  # type: ignore[arg-type]

    def run(image: Tensor, kernel: Tensor, offset: Tensor | None) -> Tensor:
        return convolved(image, kernel, offset, shape, steps, pool)

    return Chain(run, _names(members)), (x, weight, bias), members[-1]


def _called(target: Any, arguments: Sequence[Any], x: Tensor) -> Tensor:
    made: Tensor = FASTER.get(target, target)(x, *arguments)
    return made


def _is_plain_pooling(node: fx.Node) -> bool:
    """Whether a call is max pooling without padding, whose arguments are all given."""
    plain = node.target is aten.max_pool2d.default and len(node.args) == 6
    return plain and list(_pair(node.args[3])) == [0, 0] and node.args[5] is False


def _head_chain(node: fx.Node) -> tuple[Chain, tuple[Any, ...], fx.Node] | None:
    if node.target is not window_linear or len(node.args) != 6:
        return None
    members = [node, *_followers(node, lambda user: _overwrites(user) or _is_linear(user))]
    weights = [argument for member in members[1:] if _is_linear(member) for argument in member.args[1:]]
    kinds = [
        (member.target, len(member.args) - 1, None if _is_linear(member) else tuple(member.args[1:]))
        for member in members[1:]
    ]

    def run(x: Tensor, weight: Tensor, bias: Tensor | None, counts: Sequence[int], *later: Tensor | None) -> Tensor:
        left = list(later)
        steps = []
        for target, count, numbers in kinds:
            arguments = left[:count] if numbers is None else numbers
            left = left[count if numbers is None else 0 :]
            steps.append(partial(_called, target, tuple(arguments)))
        return window_linear(x, weight, bias, axes, counts, order, steps)

    given: tuple[Any, ...] = node.args
    x, weight, bias, axes, counts, order = given
    return Chain(run, _names(members)), (x, weight, bias, counts, *weights), members[-1]


def _is_linear(node: fx.Node) -> bool:
    """Whether a call is a fully connected layer with weights."""
    constant = all(source.op == "get_attr" for source in node.all_input_nodes[1:])
    return node.target is aten.linear.default and constant and not node.kwargs


def _pair(numbers: Any) -> tuple[int, int]:
    first, *others = numbers if isinstance(numbers, list | tuple) else (numbers,)
    return int(first), int(others[0] if others else first)


def _names(members: Sequence[fx.Node]) -> str:
    return ", ".join(member.name for member in members)
