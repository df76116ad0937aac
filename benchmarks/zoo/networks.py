"""The networks of the libraries: their names, how they are built, and the window that each is tried with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from torchvision_shim import make_importable

LIBRARIES = ("torchvision", "timm")
WINDOWS = tuple(range(64, 321, 32))
"""Windows that are tried; from 64 pixels on, the last map of stride 32 has more than one position."""

CLASSES = 10
"""Scores of timm's networks: large heads take time and prove nothing more."""

CHANNELS = 3


def names(library: str) -> list[str]:
    """All classifiers of a library."""
    make_importable()
    if library == "timm":
        import timm

        return list(timm.list_models())
    from torchvision import models

    return list(models.list_models(module=models))


def version(library: str) -> str:
    """The library's version."""
    make_importable()
    found = __import__(library)
    return str(found.__version__).partition("+")[0]


def module_of(library: str, name: str) -> str:
    """The file of timm that a network is defined in; nothing for torchvision."""
    if library != "timm":
        return ""
    make_importable()
    import timm

    return str(timm.models.model_entrypoint(name).__module__).rpartition(".")[2]


def build(library: str, name: str, **options: Any) -> nn.Module:
    """The network as its library defines it, with any weights."""
    make_importable()
    if library == "timm":
        import timm

        module: nn.Module = timm.create_model(name, **{"num_classes": CLASSES, **options})
        return module.eval()
    from torchvision import models

    if name in ("googlenet", "inception_v3"):
        options = {"init_weights": False, **options}
    module = models.get_model(name, **options)
    return module.eval()


@torch.no_grad()
def smallest_window(module: nn.Module) -> int:
    """The window that a network is built for, else the smallest multiple of 32 pixels that it takes.

    Adaptive poolings must have equal bins there, but for the library's own window, which is taken where none of
    :data:`WINDOWS` will do.

    Raises:
        ValueError: no window will do.
    """
    known: Mapping[str, Any] = getattr(module, "default_cfg", {})
    own = (int(known["input_size"][-1]),) if known else ()
    for window in own if known.get("fixed_input_size") else (*WINDOWS, *own):
        bins = _Bins()
        try:
            with bins:
                module(torch.zeros(1, CHANNELS, window, window, dtype=next(module.parameters()).dtype))
        except (AssertionError, IndexError, RuntimeError, ValueError, ZeroDivisionError):
            continue
        if window in own or not bins.unequal:
            return int(window)
    raise ValueError(f"no window among {WINDOWS + own}")


class _Bins(TorchDispatchMode):
    """Sees whether an adaptive pooling has unequal bins."""

    unequal = False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func.overloadpacket in _ADAPTIVE:
            image: Tensor = args[0]
            bins: Sequence[int] = args[1]
            sizes = zip(image.shape[-len(bins) :], bins, strict=True)
            self.unequal = self.unequal or any(size % count for size, count in sizes)
        return func(*args, **(kwargs or {}))


_ADAPTIVE = (torch.ops.aten._adaptive_avg_pool2d, torch.ops.aten.adaptive_max_pool2d)
