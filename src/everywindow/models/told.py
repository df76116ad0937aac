"""What a module says about itself, so that nobody needs to repeat it: of timm, of transformers, a converted network.

Read from the module's own attributes; the libraries are not imported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

_ACTIVATIONS = {"multi_label_classification": "sigmoid", "regression": "none"}
"""By the problem that a configuration of transformers names."""


@dataclass(frozen=True)
class Told:
    """What is known; None for what the module does not say."""

    window: tuple[int, ...] | None = None
    channels: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    classes: tuple[str, ...] | None = None
    activation: str | None = None


def told(module: Any) -> Told:
    """What a module says about itself."""
    if is_converted(module):
        return module.known  # type: ignore[no-any-return]
    pretrained = getattr(module, "pretrained_cfg", None)
    if isinstance(pretrained, Mapping) and pretrained.get("input_size"):
        return _timm(module, pretrained)
    if hasattr(getattr(module, "config", None), "id2label"):
        return _transformers(module)
    return Told()


def distinct(names: Iterable[str]) -> tuple[str, ...]:
    """Names of which each stands for one output: those that stand for several get its index.

    >>> distinct(["crane", "dog", "crane"])
    ('crane (0)', 'dog', 'crane (2)')
    """
    listed = tuple(names)
    times = Counter(listed)
    return tuple(name if times[name] == 1 else f"{name} ({index})" for index, name in enumerate(listed))


def is_converted(module: Any) -> bool:
    """Whether a module is a converted network, which knows its windows."""
    return hasattr(getattr(module, "geometry", None), "tile_spans")


def _timm(module: nn.Module, pretrained: Mapping[str, Any]) -> Told:
    """The size that the weights were trained at, as timm's own default: ``test_input_size`` is for whole photographs.

    Normalisation is of the configuration's channels; of a network that was made for others nobody knows it.
    """
    known, *size = pretrained["input_size"]
    channels = int(getattr(module, "in_chans", known))
    fits = channels == known and pretrained.get("mean") is not None and pretrained.get("std") is not None
    names = pretrained.get("label_names")
    return Told(
        _pair(getattr(getattr(module, "patch_embed", None), "img_size", None)) or tuple(size),
        channels,
        _numbers(pretrained["mean"]) if fits else None,
        _numbers(pretrained["std"]) if fits else None,
        distinct(map(str, names)) if names and len(names) == getattr(module, "num_classes", None) else None,
    )


def _transformers(module: nn.Module) -> Told:
    """Size, channels and names; the normalisation is the image processor's, which the module does not know."""
    config: Any = module.config
    channels = getattr(config, "num_channels", None)
    classifies = any("ForImageClassification" in kind.__name__ for kind in type(module).__mro__)
    names = config.id2label if classifies else None
    return Told(
        _pair(getattr(config, "image_size", None)),
        channels if isinstance(channels, int) else None,
        classes=distinct(str(names[index]) for index in sorted(names)) if names else None,
        activation=_ACTIVATIONS.get(str(getattr(config, "problem_type", None))),
    )


def _pair(size: Any) -> tuple[int, int] | None:
    """A size on both axes, from one number or two."""
    numbers = tuple(size) if isinstance(size, Iterable) else (size, size)
    fits = len(numbers) == 2 and all(type(number) is int and number > 0 for number in numbers)
    return (numbers[0], numbers[1]) if fits else None


def _numbers(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
