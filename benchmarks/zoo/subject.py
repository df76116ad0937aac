"""A network that is ready to be tried: captured, with weights that tell windows apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import everywindow as ew
from benchmarks.zoo.networks import CHANNELS
from benchmarks.zoo.row import STEADY, Row
from everywindow.costing import crops_macs
from everywindow.engines.prepare import Prepared, default_stride, prepare
from everywindow.geometry import WindowGrid
from trial_weights import BATCH_NORMS, amplification, calibrate, noise, tells_windows_apart, with_trial_weights

_Plan = TypeVar("_Plan")

IMAGES = {0: (96, 12), 3 * 10**8: (24, 6), 10**9: (16, 3)}
"""Windows from which norms take their statistics, at most, and on which is tried how far roundings are amplified; by
the mult-adds of a window."""

QUIET = 1000
"""How much further below the limit a network must stay on some windows to be left as it is: others may amplify more."""

DAMPINGS = 3
"""So often a network is quietened, at most."""

DAMPED = 0.3
"""What the scales of norms are multiplied with where it does not: less of each block adds up to more."""

DAMPED_WEIGHTS = 0.75
"""The same for the scales of standardised weights, each of which the next layer multiplies again."""


SEEDS = (1, 2, 3)
"""Of weights, until some tell windows apart: of large attention networks not all do."""


class Subject(NamedTuple):
    """A network with weights, as it is tried.

    Attributes:
        macs: mult-adds of a window; 0 where the network cannot be captured.
        amplified: how far roundings were amplified.
    """

    row: Row
    module: nn.Module
    window: int
    prepared: Prepared
    stride: int
    macs: int
    amplified: float

    @property
    def classifier(self) -> ew.Classifier:
        return ew.Classifier(self.module, self.window, CHANNELS)


def made_ready(row: Row, module: nn.Module) -> Subject:
    """The network with weights that tell windows apart, and do not amplify roundings where that can be had."""
    window = row.window
    macs = _window_macs(prepare(module, (window, window), CHANNELS), window)
    calibrated, tried = by_macs(IMAGES, macs) if row.library == "timm" else IMAGES[0]
    images = noise((tried, CHANNELS, window, window), 9)
    for seed in SEEDS:
        with_trial_weights(module, CHANNELS, (window, window), seed=seed, most=calibrated)
        if _tells_apart(module, images):
            break
    amplified = amplification(module, images)
    for _ in range(DAMPINGS):
        if amplified <= STEADY / QUIET:
            break
        _quieten(module, window, min(32, calibrated))
        amplified = amplification(module, images)
    prepared = prepare(module, (window, window), CHANNELS)
    row = replace(row, single=_computes_in_single(module, images[:1]))
    return Subject(row, module, window, prepared, default_stride(prepared, (window, window))[0], macs, amplified)


@torch.no_grad()
def _tells_apart(module: nn.Module, images: Tensor) -> bool:
    return tells_windows_apart(torch.stack([module(image.unsqueeze(0)).flatten() for image in images[:4]], dim=1))


@torch.no_grad()
def _computes_in_single(module: nn.Module, image: Tensor) -> bool:
    """Whether parts of a network in float64 compute in float32."""
    casts = _Casts()
    with casts:
        module(image)
    return casts.narrowed


class _Casts(TorchDispatchMode):
    """Sees whether numbers of float64 become numbers of float32."""

    narrowed = False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func.overloadpacket is torch.ops.aten._to_copy and args[0].dtype is torch.float64:
            self.narrowed = self.narrowed or result.dtype is torch.float32
        return result


def _quieten(module: nn.Module, window: int, images: int) -> None:
    """Damp the norms of a network that amplifies roundings, as the deepest with squeeze-and-excitation do, and the
    numbers that scale whole blocks, or the weights, of those without norms."""
    norms = [layer.weight for layer in module.modules() if isinstance(layer, BATCH_NORMS)]
    blocks = [scale for scale in module.parameters() if scale.ndim == 0]
    weights = [scale for name, scale in module.named_parameters() if name.endswith(".gain")]
    with torch.no_grad():
        for scale in (*norms, *blocks):
            scale.mul_(DAMPED)
        for scale in weights:
            scale.mul_(DAMPED_WEIGHTS)
    calibrate(module, noise((images, CHANNELS, window, window), 2))


def _window_macs(prepared: Prepared, window: int) -> int:
    if prepared.network is None:
        return 0
    return crops_macs(prepared.network, WindowGrid((window,) * 2, (window,) * 2, (window,) * 2))


def by_macs(plans: Mapping[int, _Plan], macs: int) -> _Plan:
    """The plan for a network of so many mult-adds."""
    return next(plan for least, plan in reversed(list(plans.items())) if macs >= least)
