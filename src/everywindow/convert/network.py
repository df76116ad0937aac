"""The converted network: an ordinary trainable module for images of any size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor, fx, nn

from everywindow.convert.frozen import frozen, thawed
from everywindow.convert.shown import calls_in_words
from everywindow.errors import ConversionError, InputError
from everywindow.geometry import MapSize, Verdict, WindowGrid, times
from everywindow.graph import first_odd_name
from everywindow.graph import original as as_written
from everywindow.models import Classifier, Told

KNOWN = ("mean", "std", "classes", "activation")
"""What a classifier knows that the network itself does not need."""


@dataclass(frozen=True)
class Geometry:
    """Where the scores of a converted network lie, per spatial axis, in pixels.

    Attributes:
        window: size of the window that each score is for.
        stride: distance between neighbouring windows.
        offset: first pixel of the first window.
        receptive_field: extent that one score sees; larger than the window where the network pads, for at the
            image's inside the padding's place is taken by real pixels.
        network_stride: product of the strides of the network's layers.
        tile_spans: the first pixel that a part of an image must hold for a window, relative to its start, and the one
            after the last, so that the part has the whole image's score there; None where it must hold the whole axis.
    """

    window: tuple[int, ...]
    stride: tuple[int, ...]
    offset: tuple[int, ...]
    receptive_field: tuple[int, ...]
    network_stride: tuple[int, ...]
    tile_spans: tuple[tuple[int, int] | None, ...]

    def grid(self, image_size: tuple[int, ...]) -> WindowGrid:
        """The windows of an image of this size."""
        return WindowGrid(image_size, self.window, self.stride)


Original = TypeVar("Original", nn.Module, Classifier)


class FullyConvolutional(nn.Module):
    """Scores of every window in one pass: ``[N, C, *size]`` to ``[N, K, *counts]``, any size from the window up.

    Parameters and buffers have the names and shapes of the original network's, so weights go to and fro with
    ``load_state_dict``; what its ``state_dict`` leaves out is left out here too. A fully connected weight stays
    ``[out, C·h·w]``: each row, reshaped to C×h×w (or the order of the network's flatten), is the kernel of the
    convolution that it has become.

    Several outputs stay several, in the same tuples, lists and dicts. Named tuples and dataclasses become dicts, and
    what is no tensor becomes None.

    Attributes:
        geometry: window, stride, receptive field and offset of the first window.
        verdict: whether the scores equal the crops', proved from the graph, and the layers that are the reason if not.
        maps: the size of every value, as a function of the image's.
        mean, std, classes, activation: as the classifier has them, None where it does not know. They do nothing here:
            images come normalised, and scores are the network's own. A weight of such a name goes before it.
        known: the same in one record.
    """

    def __init__(
        self,
        graph: fx.Graph,
        state: Mapping[str, Tensor],
        modules: Mapping[str, nn.Module],
        geometry: Geometry,
        verdict: Verdict,
        channels: int,
        maps: tuple[MapSize, ...] = (),
        unsaved: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__()
        self.geometry = geometry
        self.verdict = verdict
        self.channels = channels
        self.known = Told(geometry.window, channels)
        self.maps = maps
        self.graph = graph
        for name in state:  # first: parameters then come in the original's order
            _container(self, name.rpartition(".")[0])
        for path, module in modules.items():
            _put_module(self, path, module)
        for name, tensor in state.items():
            _put_tensor(self, name, tensor, name not in unsaved)
        self._run = _compiled(graph)

    @property
    def code(self) -> str:
        """The pass as Python source."""
        return str(self.graph.python_code("self").src)

    def forward(self, image: Tensor) -> Any:
        """Scores ``[N, K, *counts]`` (nested as the original's outputs, where it has several).

        Raises:
            InputError: another number of channels or axes, or an image smaller than the window.
        """
        if not torch.compiler.is_exporting():
            self._check(image)
        return self._run(_Inside(self), image)

    def to_classifier(self, original: Original) -> Original:
        """Put this network's weights, trained on, into the classifier that it was made of.

        Args:
            original: the module or ``Classifier``; its parameters and buffers of the same names are overwritten in
                place.

        Returns:
            That module or ``Classifier``.

        Raises:
            InputError: it has no such weights, or of other shapes.

        >>> from everywindow import convolutionalize
        >>> net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2, 2))
        >>> fcn = convolutionalize(net, window=3)
        >>> with torch.no_grad():
        ...     fcn.get_parameter("2.bias").fill_(7.0)
        Parameter containing:
        tensor([7., 7.], requires_grad=True)
        >>> fcn.to_classifier(net)[2].bias.tolist()
        [7.0, 7.0]
        """
        module = as_written(original.module if isinstance(original, Classifier) else original)
        known = module.state_dict()
        for name, tensor in self.state_dict().items():
            if name not in known or known[name].shape != tensor.shape:
                raise InputError(
                    f"weight {name}", "the classifier has none of this shape", "give the network's original"
                )
        module.load_state_dict(self.state_dict(), strict=False)
        return original

    def knowing(self, classifier: Classifier) -> FullyConvolutional:
        """This network, with what a classifier knows besides its weights."""
        told = {name: getattr(classifier, name) for name in KNOWN}
        object.__setattr__(self, "known", replace(self.known, **told))  # a layer may be called so
        return self

    def with_modes_of(self, original: nn.Module) -> FullyConvolutional:
        """This network, each layer in training or evaluation mode as the original's of that name."""
        modes = {name: layer.training for name, layer in original.named_modules(remove_duplicate=False)}
        for name, layer in self.named_modules():
            layer.training = modes.get(name, original.training)
        return self

    def _check(self, image: Tensor) -> None:
        axes = len(self.geometry.window)
        if image.ndim != axes + 2 or image.shape[1] != self.channels:
            raise InputError(
                "input",
                f"shape {tuple(image.shape)} is not [N, {self.channels}] and {axes} spatial axes",
                "give a batch of normalised images",
            )
        self.geometry.grid(tuple(image.shape[2:]))

    def extra_repr(self) -> str:
        """Window, stride and verdict, and what else is known."""
        window, stride = times(self.geometry.window), times(self.geometry.stride)
        known = [f"{name}={_brief(getattr(self.known, name))}" for name in KNOWN if getattr(self.known, name)]
        return ", ".join([f"window={window}", f"stride={stride}", self.verdict.summary(), *known])

    def __repr__(self) -> str:
        lines = [self.extra_repr(), *calls_in_words(self, self.graph, len(self.geometry.window))]
        body = "".join(f"\n{line}" for line in lines).replace("\n", "\n  ")
        return f"{type(self).__name__}({body}\n)"

    def __getattr__(self, name: str) -> Any:
        # After weights and layers, of which one may be called "mean".
        known = self.__dict__.get("known")
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name in KNOWN and known is not None:
                return getattr(known, name)
            raise

    def __getstate__(self) -> dict[str, Any]:
        kept = {name: value for name, value in self.__dict__.items() if name != "_run"}
        return kept | {"graph": frozen(self.graph)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state | {"graph": thawed(state["graph"])})
        self._run = _compiled(self.graph)


class _Inside:
    """The weights and layers of a network, also those that are called as one of its attributes is."""

    def __init__(self, root: nn.Module) -> None:
        self.__root = root

    def __getattr__(self, name: str) -> Any:
        for kept in (self.__root._modules, self.__root._parameters, self.__root._buffers):
            if name in kept:
                return kept[name]
        return getattr(self.__root, name)


def _brief(value: Any, most: int = 5) -> str:
    long = isinstance(value, tuple) and len(value) > most
    return f"<{len(value)}>" if long else repr(value)


def _compiled(graph: fx.Graph) -> Any:
    odd = first_odd_name(graph)
    if odd is not None:
        raise ConversionError(f"{odd!r}", "a layer or weight of this name cannot be written as code", "rename it")
    code = graph.python_code("self")
    scope = dict(code.globals)
    exec(code.src, scope)  # the source is made here from the graph's own nodes
    return scope["forward"]


def _put_module(root: nn.Module, path: str, module: nn.Module) -> None:
    parent, _, leaf = path.rpartition(".")
    _container(root, parent)._modules[leaf] = module


def _put_tensor(root: nn.Module, name: str, tensor: Tensor, saved: bool) -> None:
    parent, _, leaf = name.rpartition(".")
    holder = _container(root, parent)
    if isinstance(tensor, nn.Parameter):
        holder._parameters[leaf] = tensor
    else:
        holder._buffers[leaf] = tensor
        if not saved:
            holder._non_persistent_buffers_set.add(leaf)
    if isinstance(holder, nn.modules.batchnorm._BatchNorm) and leaf == "running_mean":
        holder.num_features = len(tensor)


def _container(root: nn.Module, path: str) -> nn.Module:
    for part in path.split(".") if path else ():
        child = root._modules.get(part)
        if child is None:
            child = root._modules[part] = nn.Module()
        root = child
    return root
