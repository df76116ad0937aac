"""A captured network as an ordinary module again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import fx, nn

from everywindow.errors import InputError, ModelError
from everywindow.graph.network import Network
from everywindow.graph.shapes import record_shapes

Place = tuple[torch.dtype, torch.device]

VIEWS = (torch.ops.aten.view.default, torch.ops.aten._unsafe_view.default)
"""Calls that want their input to lie in memory as it was foretold."""


class GraphNetwork(nn.Module):
    """Runs a :class:`Network`.

    The weights are registered under their dotted names, so the ``state_dict`` has the network's names.
    The module computes what was captured, whether it is in training mode or not.

    Raises:
        ModelError: two names of the state exclude each other (``a`` and ``a.b``).
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self._names = tuple(network.state)
        self._window, self._channels = network.window, network.channels
        self._captured = (_place(network.state), network.graph)
        self._latest = self._captured
        for name, tensor in network.state.items():
            _register(self, name, tensor)

    @property
    def network(self) -> Network:
        """The graph with the present weights, on their present device and in their present dtype."""
        state = self._tensors()
        return Network(self._graph(state), state, self._window, self._channels)

    def forward(self, image: torch.Tensor) -> Any:
        """The network's output for images ``[N, channels, *window]``."""
        expected = (self._channels, *self._window)
        if tuple(image.shape[1:]) != expected:
            raise InputError(
                "input",
                f"shape {tuple(image.shape)} is not [N, {', '.join(map(str, expected))}]",
                "give images of the window's size, or convert the network with convolutionalize",
            )
        state = self._tensors()
        return run(self._graph(state), state, image)

    def _tensors(self) -> dict[str, torch.Tensor]:
        parameters = dict(self.named_parameters(remove_duplicate=False))
        buffers = dict(self.named_buffers(remove_duplicate=False))
        return {name: parameters[name] if name in parameters else buffers[name] for name in self._names}

    def _graph(self, state: Mapping[str, torch.Tensor]) -> fx.Graph:
        """The captured graph, its constants made where the weights are now."""
        now = _place(state)
        if self._latest[0] != now:
            graph = _moved(self._captured[1], self._captured[0], now)
            record_shapes(graph, state, self._window, self._channels)
            self._latest = (now, graph)
        return self._latest[1]


def run(
    graph: fx.Graph,
    state: Mapping[str, torch.Tensor],
    image: torch.Tensor,
    watch: Callable[[fx.Node, Any], None] | None = None,
) -> Any:
    """The graph's output for a batch of images; a value is dropped after its last use.

    ``watch`` is shown every value when it is there.
    """
    values: dict[fx.Node, Any] = {}
    frees = last_uses(graph.nodes)
    for node in graph.nodes:
        if node.op == "placeholder":
            values[node] = image
        elif node.op == "get_attr":
            values[node] = state[str(node.target)]
        elif node.op == "call_function":
            args, kwargs = fx.node.map_arg((node.args, node.kwargs), values.__getitem__)
            # Strides that torch.export foretold may be others in truth: a view copies then.
            target = torch.ops.aten.reshape.default if node.target in VIEWS else node.target
            values[node] = target(*args, **kwargs)
        else:
            return fx.node.map_arg(node.args[0], values.__getitem__)
        if watch is not None:
            watch(node, values[node])
        for dead in frees.get(node, ()):
            del values[dead]
    raise ModelError("graph", "it has no output", "use a bundle written by everywindow")


def last_uses(nodes: Iterable[fx.Node]) -> dict[fx.Node, list[fx.Node]]:
    """For each node the values that no later one reads; one that nobody reads goes at once."""
    last: dict[fx.Node, fx.Node] = {}
    for node in nodes:
        last[node] = node
        for used in node.all_input_nodes:
            last[used] = node
    found: dict[fx.Node, list[fx.Node]] = {}
    for value, node in last.items():
        found.setdefault(node, []).append(value)
    return found


def _register(root: nn.Module, name: str, tensor: torch.Tensor) -> None:
    """Put a weight under its dotted name.

    The containers' dictionaries are written directly: a layer may have a name that a module's own
    attributes have too (``network``, ``forward``).
    """
    *path, leaf = name.split(".")
    module = root
    for part in path:
        if part in module._parameters or part in module._buffers:
            raise _clash(name)
        module = module._modules.setdefault(part, nn.Module())  # type: ignore[assignment]
    if leaf in module._modules or not leaf:
        raise _clash(name)
    if isinstance(tensor, nn.Parameter):
        module._parameters[leaf] = tensor
    else:
        module._buffers[leaf] = tensor


def _clash(name: str) -> ModelError:
    return ModelError(
        f"tensor {name!r}",
        "the name is empty or the name of a layer too",
        "use a bundle written by everywindow",
    )


def _place(state: Mapping[str, torch.Tensor]) -> Place:
    tensors: Iterator[torch.Tensor] = iter(state.values())
    first = next((t for t in tensors if t.is_floating_point()), torch.empty(0))
    return first.dtype, first.device


def _moved(graph: fx.Graph, old: Place, new: Place) -> fx.Graph:
    """A copy of the graph whose constants are made in the new place.

    A dtype that the graph names is taken for the weights' own where it is the one that they had.
    """

    def move(value: Any) -> Any:
        if isinstance(value, torch.dtype):
            return new[0] if value == old[0] else value
        return new[1] if isinstance(value, torch.device) else value

    copy = fx.Graph()
    mapping: dict[fx.Node, fx.Node] = {}
    result = copy.graph_copy(graph, mapping)
    copy.output(result)
    for node in copy.nodes:
        node.args = fx.node.map_aggregate(node.args, move)
        node.kwargs = fx.node.map_aggregate(node.kwargs, move)
    return copy
