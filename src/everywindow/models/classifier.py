"""A network with what is needed to use it: window, normalisation, names of the classes."""

from __future__ import annotations

import dataclasses
import math
import operator
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from everywindow.errors import InputError
from everywindow.geometry import times
from everywindow.graph import CONVOLUTIONS, Applied, GraphNetwork, applied, first_convolution, original
from everywindow.models.told import Told, is_converted, told

ACTIVATIONS = ("softmax", "sigmoid", "none")
FARTHEST = 2.0
"""A mean or deviation beyond this is not in units of 0 to 1."""

TOLD: Any = "told"
"""In the place of a value: as the module tells it, if it is of a library whose modules do."""


@dataclass(init=False, frozen=True, eq=False, repr=False)
class Classifier:
    """A trained classifier.

    Attributes:
        module: takes images ``[N, channels, *window]``; the scores may be one of several outputs.
        window: the input size that it was trained for, in pixels per axis. One number stands for all
            axes; how many there are is then seen from the module's first convolution. A timm network brings it (and
            channels, mean, std and names, each of which may be given instead), a classifier of transformers where
            its configuration has ``image_size`` (and channels and names).
        channels: channels of the input; where they are not given, those of the module's first convolution; without
            one, as many as ``mean`` or ``std`` has numbers, or 3.
        mean, std: what the input is normalised with, in units of 0 to 1, one number for all channels or one for
            each; 0 and 1 for no normalisation. Both None where it is not known (and for a timm network that is not to
            bring its own): images are then only scaled to 0 to 1, and the first scan of one warns.
        classes: names of the classes, in the order of the output.
        activation: what makes probabilities of the scores: ``"softmax"``, ``"sigmoid"`` or ``"none"``
            (they are probabilities, or not meant to be any); None to see it from the network's end.
        constants: further arguments of the module's ``forward`` beside the image, by name, the same for every window.
            Tensors follow to the module's device and dtype; those of a first dimension of 1 hold for any number of
            windows. They become part of ``module``, which then takes images alone (the one given is its ``.module``).
        architecture: the network's name in a library (``"torchvision:vgg16"``).
        spacing_um_px: micrometres per pixel that it was trained at.
        name: what it is called in reports; of a bundle its folder's name. By default ``architecture``, or the module's
            class.

    Raises:
        InputError: an attribute that does not fit.

    >>> Classifier(nn.Conv2d(1, 2, 5), window=5, channels=1, mean=[0.5], std=[0.2], classes=["no", "yes"])
    Classifier(Conv2d, window=(5, 5), channels=1, classes=('no', 'yes'))

    >>> class Scaled(nn.Conv2d):
    ...     def forward(self, image, gain):
    ...         return super().forward(image) * gain
    >>> Classifier(Scaled(1, 2, 5), window=5, constants={"gain": 3.0})
    Classifier(Scaled, window=(5, 5), channels=1, classes=None)
    """

    module: nn.Module
    window: tuple[int, ...]
    channels: int = 3
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    classes: tuple[str, ...] | None = None
    activation: str | None = None
    architecture: str | None = None
    spacing_um_px: float | None = None
    name: str | None = None

    def __init__(
        self,
        module: nn.Module,
        window: int | Sequence[int] | None = None,
        channels: int | None = None,
        mean: float | Iterable[float] | None = TOLD,
        std: float | Iterable[float] | None = TOLD,
        classes: Sequence[str] | None = TOLD,
        activation: str | None = None,
        architecture: str | None = None,
        spacing_um_px: float | None = None,
        constants: Mapping[str, Any] | None = None,
        name: str | None = None,
    ) -> None:
        if not isinstance(module, nn.Module):
            raise InputError("module", f"a {type(module).__name__} is not a network", "give a torch.nn.Module")
        known = told(original(module))
        if channels is None:
            channels = known.channels or _seen_channels(module, mean, std)
        channels = _positive(channels, "channels")
        mean, std = _normalisation(mean, std, known, channels)
        self._set("module", module)
        self._set("window", _window(known.window if window is None else window, module))
        self._set("channels", channels)
        self._set("mean", _in_units(_per_channel(mean, channels, "mean"), "mean"))
        self._set("std", _in_units(_spread(std, channels), "std"))
        _check_pair(self.mean, self.std)
        self._set("classes", known.classes if classes is TOLD else _classes(classes))
        self._set("activation", _activation(activation) or known.activation)
        self._set("architecture", architecture)
        self._set("spacing_um_px", spacing_um_px)
        self._set("name", name)
        _check_graph(self)
        if constants:
            self._set("module", _with_constants(self, constants))

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    @property
    def title(self) -> str:
        """What it is called in reports."""
        return self.name or self.architecture or type(original(self.module)).__name__

    def __repr__(self) -> str:
        names = self.classes if self.classes is None or len(self.classes) <= 5 else f"<{len(self.classes)} names>"
        kind = self.architecture or type(original(self.module)).__name__
        return f"Classifier({kind}, window={self.window}, channels={self.channels}, classes={names})"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a bundle: a directory with ``config.json``, ``model.safetensors`` and, where the network is
        not one of a known library, ``graph.json``. An older bundle of that name is replaced.

        Raises:
            InputError: ``path`` cannot be written, or is something else than a bundle.
            CaptureError, ModelError: the network cannot be stored as plain data.
        """
        from everywindow.models.bundle import save

        save(self, path)


def as_classifier(
    classifier: Any, window: int | Sequence[int] | None = None, channels: int | None = None
) -> Classifier:
    """A classifier as it is, or a bare module with its window; ``window`` and ``channels`` replace its own.

    Raises:
        InputError: a bare module without a window, or neither of the two.

    >>> as_classifier(nn.Conv1d(2, 4, 8), window=8)
    Classifier(Conv1d, window=(8,), channels=2, classes=None)
    """
    if isinstance(classifier, Classifier):
        if isinstance(classifier.module, Applied):
            classifier.module.follow()  # weights may have been moved since
        new: dict[str, Any] = {"window": window, "channels": channels}
        given = {name: value for name, value in new.items() if value is not None}
        return dataclasses.replace(classifier, **given) if given else classifier
    if not isinstance(classifier, nn.Module):
        why = f"a {type(classifier).__name__} is not a classifier"
        raise InputError("classifier", why, "give a Classifier, a torch.nn.Module, or everywindow.load(name)")
    if isinstance(classifier, GraphNetwork):
        window = window or classifier.network.window
    return Classifier(classifier, window, channels)


def _with_constants(known: Classifier, constants: Mapping[str, Any]) -> Applied:
    if isinstance(known.module, GraphNetwork):
        raise InputError("constants", "a network of a bundle takes images alone", "give them before it is saved")
    return applied(original(known.module), constants, known.window, known.channels)


def spatial_axes(module: nn.Module) -> int:
    """Number of spatial axes of a module's input, from its first convolution; 2 where it has none."""
    if isinstance(module, GraphNetwork):
        return len(module.network.window)
    known = told(module).window
    if known is not None:
        return len(known)
    first = first_convolution(module)
    return 2 if first is None else next(axes for kind, axes in CONVOLUTIONS.items() if isinstance(first, kind))


def _seen_channels(module: nn.Module, *normalisation: Any) -> int:
    """Channels of the input as the first convolution has them, or else what was given for each channel."""
    if isinstance(module, GraphNetwork):
        return module.network.channels
    first = int(getattr(first_convolution(module), "in_channels", 0))
    lengths = (len(values) for values in normalisation if isinstance(values, Sequence) and not isinstance(values, str))
    return first or next(filter(None, lengths), 3)


def _normalisation(mean: Any, std: Any, known: Told, channels: int) -> tuple[Any, Any]:
    """What is given, else what the module tells for these channels."""
    if mean is TOLD and std is TOLD and known.mean is not None and len(known.mean) == channels:
        return known.mean, known.std
    return None if mean is TOLD else mean, None if std is TOLD else std


def _window(window: Any, module: nn.Module) -> tuple[int, ...]:
    if window is None:
        raise InputError("window", "the module does not say it", "give window=, such as window=224")
    try:
        sizes = tuple(window)
    except TypeError:
        sizes = (window,) * spatial_axes(module)
    if not 1 <= len(sizes) <= 3 or isinstance(window, str):
        raise InputError("window", f"{window!r} has not one to three axes", "give a size per spatial axis")
    return tuple(_positive(size, "window") for size in sizes)


def _positive(value: Any, name: str) -> int:
    """Any kind of integer, of NumPy too."""
    try:
        number = 0 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = 0
    if number < 1:
        raise InputError(name, f"{value!r} is not a positive integer", f"give {name} in whole numbers from 1")
    return number


def _per_channel(values: Any, channels: int, name: str) -> tuple[float, ...] | None:
    if values is None:
        return None
    try:
        numbers = tuple(map(float, values if isinstance(values, Iterable) else (values,) * channels))
    except (TypeError, ValueError):
        raise InputError(name, f"{values!r:.60} is not numbers", "give one number per channel") from None
    if len(numbers) != channels:
        raise InputError(name, f"{len(numbers)} numbers for {channels} channels", "give one per channel, or channels=")
    if not all(map(math.isfinite, numbers)):
        raise InputError(name, f"{numbers} is not finite", "give one number per channel")
    return numbers


def _spread(values: Any, channels: int) -> tuple[float, ...] | None:
    numbers = _per_channel(values, channels, "std")
    if numbers is not None and min(numbers) <= 0:
        raise InputError("std", f"{numbers} is not positive everywhere", "give the deviation per channel, or None")
    return numbers


def _in_units(numbers: tuple[float, ...] | None, name: str) -> tuple[float, ...] | None:
    """Those of pixels from 0 to 255 are a mistake that shows in nothing but bad scores."""
    if numbers is not None and max(map(abs, numbers)) > FARTHEST:
        raise InputError(name, f"{numbers} is not in units of 0 to 1, as pixels are taken", "divide it by 255")
    return numbers


def _check_pair(mean: tuple[float, ...] | None, std: tuple[float, ...] | None) -> None:
    if (mean is None) != (std is None):
        given, absent, neutral = ("mean", "std", 1) if std is None else ("std", "mean", 0)
        raise InputError(
            given, f"is given without {absent}", f"give both; {neutral} per channel where there is no {absent}"
        )


def _classes(names: Any) -> tuple[str, ...] | None:
    if names is None:
        return None
    is_list = isinstance(names, Iterable) and not isinstance(names, str)
    listed = tuple(names) if is_list else ()
    if not listed or not all(isinstance(name, str) for name in listed):
        raise InputError("classes", f"{names!r:.60} is not a list of names", "give one name per output, or None")
    twice = next((name for place, name in enumerate(listed) if name in listed[:place]), None)
    if twice is not None:
        raise InputError("classes", f"{twice!r} stands there twice", "give every output a name of its own")
    return listed


def _activation(activation: Any) -> str | None:
    if activation is not None and activation not in ACTIVATIONS:
        known = ", ".join(ACTIVATIONS)
        raise InputError("activation", f"{activation!r} is unknown", f"give one of {known}, or None")
    return activation  # type: ignore[no-any-return]


def _check_graph(classifier: Classifier) -> None:
    """A graph is of one window, and so is a converted network."""
    module: Any = classifier.module
    if isinstance(module, GraphNetwork):
        what, made = "this network was saved", {"window": module.network.window, "channels": module.network.channels}
    elif is_converted(module):
        what, made = "this network was converted", {"window": module.geometry.window, "channels": module.channels}
    else:
        return
    for name, value in made.items():
        if getattr(classifier, name) != value:
            given, own = (times(v) if isinstance(v, tuple) else v for v in (getattr(classifier, name), value))
            raise InputError(name, f"{what} for {own}, and takes no {given}", f"leave {name}= out, or give {own}")
