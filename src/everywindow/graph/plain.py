"""A captured graph as plain data, and back: what ``graph.json`` holds.

Nodes name operations of :mod:`everywindow.graph.allowed`; arguments are numbers, strings, dtypes and
references to earlier nodes. Reading it evaluates nothing: a graph that says anything else is refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import fx, nn

from everywindow.errors import CaptureError, ModelError
from everywindow.graph.allowed import INTEGER_ARITHMETIC, is_in_training, name_of, resolve
from everywindow.graph.names import is_plain
from everywindow.graph.network import Network
from everywindow.graph.shapes import record_shapes

FORMAT = "everywindow graph"
VERSION = 1
MOST_NODES = 200_000
MOST_DEPTH = 16

_DTYPES = {str(value).removeprefix("torch."): value for value in vars(torch).values() if isinstance(value, torch.dtype)}
_MEMORY_FORMATS = {
    str(value).removeprefix("torch."): value
    for value in (
        torch.contiguous_format,
        torch.preserve_format,
        torch.channels_last,
        torch.channels_last_3d,
    )
}
_REMEDY = "use a bundle written by everywindow"


def encode(network: Network) -> dict[str, Any]:
    """The network's graph as plain data (dicts, lists, numbers and strings), without the weights' values.

    Raises:
        ModelError: an operation or an argument that plain data cannot name.
    """
    nodes = [_encode_node(node) for node in network.graph.nodes if node.op != "output"]
    return {
        "format": FORMAT,
        "version": VERSION,
        "window": list(network.window),
        "channels": network.channels,
        "state": {name: _encode_tensor(tensor) for name, tensor in network.state.items()},
        "nodes": nodes,
        "output": _encode_value(network.outputs, "output"),
    }


def decode(data: Any, state: Mapping[str, torch.Tensor]) -> Network:
    """The network of a graph as plain data, with the weights ``state``.

    Raises:
        ModelError: the data names an unknown operation, a value that does not precede it or a weight
            that ``state`` does not have in that shape and dtype, or is not such data at all.
    """
    _expect(isinstance(data, dict) and data.get("format") == FORMAT, "graph", "it is not a graph")
    version = data.get("version")
    _expect(version == VERSION, "graph", f"its version is {version!r:.40}, known is {VERSION}")
    window, channels = _sizes(data.get("window"), "window"), data.get("channels")
    _expect(1 <= len(window) <= 3, "graph", "its window has not one to three axes")
    _expect(_is_size(channels), "graph", "its number of channels is not a positive integer")
    weights = _decode_state(data.get("state"), state)
    odd = next((name for name in weights if not is_plain(name)), None)
    _expect(odd is None, "graph", f"a weight is named {odd!r:.80}, which no layer of a network can be")
    graph = _Reader(weights).read(data.get("nodes"), data.get("output"))
    try:
        record_shapes(graph, weights, window, channels)
    except CaptureError as error:
        raise ModelError(f"graph, {error.what}", error.why, _REMEDY) from error
    return Network(graph, weights, window, channels)


# Writing


def _encode_tensor(tensor: torch.Tensor) -> dict[str, Any]:
    return {
        "shape": list(tensor.shape),
        "dtype": str(tensor.dtype).removeprefix("torch."),
        "parameter": isinstance(tensor, nn.Parameter),
    }


def _encode_node(node: fx.Node) -> dict[str, Any]:
    plain: dict[str, Any] = {"name": node.name}
    if node.op == "placeholder":
        return plain | {"op": "image"}
    if node.op == "get_attr":
        return plain | {"op": "state", "state": str(node.target), "layer": _layer(node)}
    where = str(node.meta.get("layer") or node.name)
    plain |= {"op": name_of(node.target), "args": [_encode_value(value, where) for value in node.args]}
    if node.kwargs:
        plain["kwargs"] = {key: _encode_value(value, where) for key, value in node.kwargs.items()}
    return plain | {"layer": _layer(node)}


def _layer(node: fx.Node) -> str:
    return str(node.meta.get("layer") or "")


def _encode_value(value: Any, where: str) -> Any:
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": str(value)}
    if isinstance(value, fx.Node):
        return {"node": value.name}
    if isinstance(value, tuple):
        return {"tuple": [_encode_value(item, where) for item in value]}
    if isinstance(value, list):
        return [_encode_value(item, where) for item in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"dict": {key: _encode_value(item, where) for key, item in value.items()}}
    return _encode_torch(value, where)


def _encode_torch(value: Any, where: str) -> dict[str, str]:
    if isinstance(value, torch.dtype):
        return {"dtype": str(value).removeprefix("torch.")}
    if isinstance(value, torch.device):
        return {"device": "cpu"}  # the weights are read to the CPU: constants are made beside them
    if isinstance(value, torch.memory_format):
        return {"memory_format": str(value).removeprefix("torch.")}
    if value is torch.strided:
        return {"layout": "strided"}
    raise ModelError(where, f"an argument of type {type(value).__name__} cannot be stored", "save it as .pt2 instead")


# Reading


class _Reader:
    """Builds the graph node by node; a name means the node that was read under it."""

    def __init__(self, state: Mapping[str, torch.Tensor]) -> None:
        self.state = state
        self.graph = fx.Graph()
        self.nodes: dict[str, fx.Node] = {}
        self.of_image: set[fx.Node] = set()

    def read(self, nodes: Any, output: Any) -> fx.Graph:
        _expect(isinstance(nodes, list) and len(nodes) <= MOST_NODES, "graph", "it has no list of nodes")
        for plain in nodes:
            self._add(plain)
        images = sum(node.op == "placeholder" for node in self.graph.nodes)
        _expect(images == 1, "graph", f"it has {images} images as input, not one")
        self.graph.output(self._value(output, "output", MOST_DEPTH))
        return self.graph

    def _add(self, plain: Any) -> None:
        name = plain.get("name") if isinstance(plain, dict) else None
        if not isinstance(name, str) or not name.isidentifier():
            raise ModelError("graph", f"node name {name!r:.40} is not one", _REMEDY)
        _expect(name not in self.nodes, f"graph, node {name}", "two nodes have this name")
        self.nodes[name] = node = self._node(name, plain)
        layer = plain.get("layer", "")
        _expect(is_plain(layer), f"graph, node {name}", f"its layer {layer!r:.80} is no name")
        node.meta["layer"] = layer or ("image" if node.op == "placeholder" else "")

    def _node(self, name: str, plain: dict[str, Any]) -> fx.Node:
        where, op = f"graph, node {name}", plain.get("op")
        _expect(isinstance(op, str), where, "it has no operation")
        if op == "image":
            image = self.graph.create_node("placeholder", name, name=name)
            self.of_image.add(image)
            return image
        if op == "state":
            tensor = plain.get("state")
            _expect(isinstance(tensor, str) and tensor in self.state, where, f"no tensor {tensor!r:.80}")
            return self.graph.create_node("get_attr", str(tensor), name=name)
        return self._call(name, str(op), plain, where)

    def _call(self, name: str, op: str, plain: dict[str, Any], where: str) -> fx.Node:
        args, kwargs = plain.get("args", []), plain.get("kwargs", {})
        _expect(isinstance(args, list) and isinstance(kwargs, dict), where, "its arguments are no list")
        _expect(all(str(key).isidentifier() for key in kwargs), where, "an argument's name is none")
        node = self.graph.create_node(
            "call_function",
            resolve(op),
            tuple(self._value(value, where, MOST_DEPTH) for value in args),
            {str(key): self._value(value, where, MOST_DEPTH) for key, value in kwargs.items()},
            name,
        )
        self._check_call(node, op, where)
        return node

    def _check_call(self, node: fx.Node, op: str, where: str) -> None:
        if any(value in self.of_image for value in node.all_input_nodes):
            self.of_image.add(node)
        _expect(not is_in_training(node, node in self.of_image), where, f"{op} is in training mode")
        if op in INTEGER_ARITHMETIC:
            _expect(all(_is_batch_size(value) for value in node.args), where, f"{op} is for sizes only")
            _expect(len(node.args) == 2 and not node.kwargs, where, f"{op} takes two sizes")
        elif op == "operator.getitem":
            fits = len(node.args) == 2 and isinstance(node.args[0], fx.Node) and type(node.args[1]) is int
            _expect(fits and not node.kwargs, where, f"{op} takes a node and a number")

    def _value(self, plain: Any, where: str, depth: int) -> Any:
        _expect(depth > 0, where, "its arguments are nested too deeply")
        if plain is None or isinstance(plain, (bool, str)):
            return plain
        if isinstance(plain, (int, float)):
            _expect(isinstance(plain, float) or abs(plain) < 2**63, where, "it names an absurdly large number")
            return plain
        if isinstance(plain, list):
            return [self._value(item, where, depth - 1) for item in plain]
        _expect(isinstance(plain, dict) and len(plain) == 1, where, "an argument is not plain data")
        tag, value = next(iter(plain.items()))
        if tag == "tuple" and isinstance(value, list):
            return tuple(self._value(item, where, depth - 1) for item in value)
        if tag == "dict" and isinstance(value, dict):
            return {key: self._value(item, where, depth - 1) for key, item in value.items()}
        return self._tagged(tag, value, where)

    def _tagged(self, tag: str, value: Any, where: str) -> Any:
        if tag == "node":
            known = isinstance(value, str) and value in self.nodes
            _expect(known, where, f"it reads {value!r:.80}, which no earlier node is")
            return self.nodes[value]
        table = _TAGS.get(tag, {})
        known = isinstance(value, str) and value in table
        _expect(known, where, f"an argument {tag!r:.40} of {value!r:.40} is unknown")
        return table[value]


_TAGS: dict[str, dict[str, Any]] = {
    "float": {"inf": math.inf, "-inf": -math.inf, "nan": math.nan},
    "dtype": _DTYPES,
    "device": {"cpu": torch.device("cpu")},
    "memory_format": _MEMORY_FORMATS,
    "layout": {"strided": torch.strided},
}


def _is_batch_size(value: object) -> bool:
    """Whether an argument is a number, or a node that gives one."""
    if isinstance(value, fx.Node):
        return value.target is torch.ops.aten.sym_size.int or value.target in INTEGER_ARITHMETIC.values()
    return type(value) is int


def _decode_state(table: Any, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    _expect(isinstance(table, dict), "graph", "it has no table of tensors")
    found: dict[str, torch.Tensor] = {}
    wrong: list[str] = [f"{name} is not in the graph" for name in state if name not in table]
    for name, entry in table.items():
        misfit = _misfit(entry, state.get(name))
        if misfit:
            wrong.append(f"{name} {misfit}")
        else:
            found[name] = _as_declared(entry, state[name])
    _expect(not wrong, "weights", f"{len(wrong)} tensors do not fit the graph: {'; '.join(wrong[:5])}")
    return found


def _misfit(entry: Any, tensor: torch.Tensor | None) -> str:
    if tensor is None:
        return "is missing"
    if not isinstance(entry, dict):
        return "is not described"
    if entry.get("shape") != list(tensor.shape):
        return f"has shape {list(tensor.shape)}, the graph has {entry.get('shape')!r:.60}"
    if entry.get("dtype") != str(tensor.dtype).removeprefix("torch."):
        return f"has dtype {tensor.dtype}, the graph has {entry.get('dtype')!r:.40}"
    return ""


def _as_declared(entry: dict[str, Any], tensor: torch.Tensor) -> torch.Tensor:
    is_parameter = entry.get("parameter") is True and tensor.is_floating_point()
    if is_parameter and tensor.is_inference():  # which cannot be trained
        tensor = tensor.clone()
    return nn.Parameter(tensor) if is_parameter else tensor


def _sizes(value: Any, name: str) -> tuple[int, ...]:
    _expect(isinstance(value, list) and all(map(_is_size, value)), "graph", f"its {name} is no list of sizes")
    return tuple(value)


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 < value < 2**31


def _expect(condition: bool, what: str, why: str) -> None:
    if not condition:
        raise ModelError(what, why, _REMEDY)
