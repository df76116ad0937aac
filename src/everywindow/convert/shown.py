"""A network in words, as it was and converted: its calls in order, each as the layer that it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn

Weights = nn.Module | Mapping[str, Tensor]
"""Where the weights of a graph are: in its module, or by name."""

HIDDEN = frozenset(
    ["window_counts", "rearrange", "axis_first", "cut_to", "positions_left", "windows_to_batch", "spread", "getitem"]
)
"""Calls that compute nothing: they bring values to the place where the next one takes them."""

NEUTRAL = {"stride": 1, "padding": 0, "output_padding": 0, "dilation": 1, "groups": 1}
"""Settings that are not worth a word."""

_LAYERS = {name.lower(): name for name in dir(nn) if isinstance(getattr(nn, name), type)}
"""``max_pool2d`` is the layer ``MaxPool2d``: names of layers by those of their calls."""

_POOLINGS = {"mean": "AvgPool", "amax": "MaxPool"}


class Shown(NamedTuple):
    """A call: the layer that it belongs to, by the user's name, and what it is."""

    layer: str
    words: str


def shown_calls(root: Weights, graph: fx.Graph, axes: int | None) -> list[Shown]:
    """Each call that computes something from the image, in words.

    ``axes`` is how many a converted network's maps have: on them a fully connected layer is a convolution. None for a
    network as it was, where it is not.
    """
    shown = ((node, _shown(root, node, axes)) for node in graph.nodes if "layer" in node.meta)
    return [Shown(str(node.meta["layer"]), words) for node, words in shown if words]


def calls_in_words(root: nn.Module, graph: fx.Graph, axes: int) -> list[str]:
    """A line for each call that computes something from the image: its layer, its kind, its settings."""
    return [f"({_where(layer)}): {words}" for layer, words in shown_calls(root, graph, axes)]


def layer_at(root: nn.Module, path: str) -> nn.Module:
    """A layer by its path, also one that is called as an attribute of the network is."""
    for name in path.split(".") if path else ():
        layer = root._modules[name]
        assert layer is not None
        root = layer
    return root


def _where(layer: str) -> str:
    """The layer alone, of ``add (in layer1.0)`` too: what the call is stands behind it."""
    return layer.partition(" (in ")[2].removesuffix(")") or layer


def _shown(root: Weights, node: fx.Node, axes: int | None) -> str:
    if node.op == "call_module":
        assert isinstance(root, nn.Module)
        return repr(layer_at(root, str(node.target)))
    if node.op != "call_function":
        return ""
    if isinstance(node.target, torch._ops.OpOverload):
        return _of_library(root, node, node.target, axes)
    name = str(getattr(node.target, "__name__", node.target))
    if name in HIDDEN:
        return ""
    return _OWN[name](root, node) if name in _OWN else name


def _of_library(root: Weights, node: fx.Node, target: Any, axes: int | None) -> str:
    """A call of torch's, by the name of its layer where it has one."""
    known = dict(zip((argument.name for argument in target._schema.arguments), node.args, strict=False)) | node.kwargs
    name = target._schema.name.removeprefix("aten::")
    if name == "linear":  # on a map, or for each window: a convolution with a kernel of one position
        features = _features(root, known["weight"])
        return (
            _layer("Linear", features, {})
            if axes is None
            else _layer(f"Conv{axes}d", features, {"kernel_size": (1,) * axes})
        )
    layer = _LAYERS.get(name.replace("_", ""), name)
    if name.startswith("conv"):
        shape, groups = _shape(root, known["weight"]), known.get("groups", 1)
        return _layer(layer, _channels(shape, groups, "transpose" in name), {"kernel_size": shape[2:], **known})
    return _layer(layer, (), known)


def _channels(shape: tuple[int, ...], groups: int, transposed: bool) -> tuple[int, ...]:
    if not shape:
        return ()
    return (shape[0], shape[1] * groups) if transposed else (shape[1] * groups, shape[0])


def _window_linear(root: Weights, node: fx.Node) -> str:
    """The convolution that a fully connected layer has become."""
    kernel, dilation, stride = zip(*_listed(node.args[3]), strict=True)
    depth = 1
    for size in _listed(node.args[5]):
        depth *= max(1, -size)
    features = (depth, *_features(root, node.args[1])[1:])
    settings = {"kernel_size": kernel, "stride": stride, "dilation": dilation}
    return _layer(f"Conv{len(kernel)}d", features, settings)


def _window_reduce(root: Weights, node: fx.Node) -> str:
    """The pooling that a mean or maximum over the window has become."""
    _, kernel, dilation, stride = zip(*_listed(node.args[2]), strict=True)
    name = f"{_POOLINGS.get(str(node.args[4]), node.args[4])}{len(kernel)}d"
    return _layer(name, (), {"kernel_size": kernel, "stride": stride, "dilation": dilation})


def _average_pool(root: Weights, node: fx.Node) -> str:
    _, kernel, dilation, stride, *_ = zip(*_listed(node.args[1]), strict=True)
    return _layer(f"AvgPool{len(kernel)}d", (), {"kernel_size": kernel, "stride": stride, "dilation": dilation})


def _box_max(root: Weights, node: fx.Node) -> str:
    """Pooling along one axis, where no layer does it along all."""
    _, _, kernel, dilation, stride = node.args
    return _layer("MaxPool1d", (), {"kernel_size": kernel, "stride": stride, "dilation": dilation})


_OWN: dict[str, Callable[[Weights, fx.Node], str]] = {
    "window_linear": _window_linear,
    "window_reduce": _window_reduce,
    "average_pool": _average_pool,
    "box_max": _box_max,
}


def _layer(name: str, features: tuple[int, ...], known: Mapping[str, Any]) -> str:
    """``Conv2d(3, 6, kernel_size=(5, 5))``, with the settings that say something."""
    settings = {key: known[key] for key in ("kernel_size", "output_size", *NEUTRAL) if known.get(key)}
    words = [
        f"{key}={_plain(value)}"
        for key, value in settings.items()
        if any(item != NEUTRAL.get(key) for item in _listed(value))
    ]
    inside = ", ".join([*map(str, features), *words])
    return f"{name}({inside})" if inside or name[0].isupper() else name


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _listed(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else (value,)


def _features(root: Weights, weight: Any) -> tuple[int, ...]:
    return tuple(reversed(_shape(root, weight)))


def _shape(root: Weights, weight: Any) -> tuple[int, ...]:
    """The shape of a weight; of one that is computed from others nobody knows it here."""
    if not isinstance(weight, fx.Node):
        return ()
    if weight.op == "get_attr":
        found = _tensor(root, str(weight.target))
        return tuple(found.shape) if isinstance(found, Tensor) else ()
    shape = weight.meta.get("shape", ())
    return tuple(shape) if all(isinstance(size, int) for size in shape) else ()


def _tensor(root: Weights, name: str) -> Any:
    if not isinstance(root, nn.Module):
        return root.get(name)
    owner, _, leaf = name.rpartition(".")
    return getattr(layer_at(root, owner), leaf, None)
