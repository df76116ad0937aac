"""A kept graph is captured anew when anything changes that the module's code reads."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from functools import partial
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import everywindow as ew
from everywindow.graph import cache
from everywindow.graph.fingerprint import fingerprint
from oracle import TOLERANCE, crops, relative_difference
from trial_weights import noise, with_trial_weights

FACTOR = 1.0
CONFIG = SimpleNamespace(gain=1.0)


def _scaled(x: Tensor) -> Tensor:
    return x * FACTOR


class _Net(nn.Module):
    gain = 1.0
    table = {"gain": 1.0}  # noqa: RUF012

    def __init__(self, how: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.a, self.h, self.how = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 2), how
        self.some, self.line = {1, 2}, deque([1, 2])

    def forward(self, x: Tensor) -> Tensor:
        return self.h(torch.tanh(self.how(self, self.a(x))).mean((2, 3)))


class _ByGlobal(_Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.h(torch.tanh(self.a(x) * FACTOR * CONFIG.gain).mean((2, 3)))


class _Config:
    gain = 1.0


class _ByClass(_Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.h(torch.tanh(self.a(x) * _Config.gain).mean((2, 3)))


SETTINGS = ModuleType("settings")
SETTINGS.gain = 1.0  # type: ignore[attr-defined]
TABLE = {"gain": 1.0}
LONG = [1.0] * 20_000


class _ByModule(_Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.h(torch.tanh(self.a(x) * SETTINGS.gain).mean((2, 3)))


class _ByDefault(_Net):
    def forward(self, x: Tensor, table: dict[str, float] = TABLE) -> Tensor:
        return self.h(torch.tanh(self.a(x) * table["gain"]).mean((2, 3)))


class _ByEnvironment(_Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.h(torch.tanh(self.a(x) * float(os.environ.get("GAIN_OF_A_TEST", "1"))).mean((2, 3)))


class _ByFunction(_Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.h(torch.tanh(_scaled(self.a(x))).mean((2, 3)))


CASES: dict[str, tuple[type[_Net], Callable[[Any, Tensor], Tensor], Callable[[Any, Any], object]]] = {
    "class attribute": (_Net, lambda m, y: y * m.gain, lambda patch, m: patch.setattr(_Net, "gain", 3.0)),
    "class table": (_Net, lambda m, y: y * m.table["gain"], lambda patch, m: patch.setitem(_Net.table, "gain", 3.0)),
    "set": (_Net, lambda m, y: y * len(m.some), lambda patch, m: m.some.add(5)),
    "deque": (_Net, lambda m, y: y * len(m.line), lambda patch, m: m.line.append(5)),
    "global": (_ByGlobal, lambda m, y: y, lambda patch, m: patch.setitem(_ByGlobal.forward.__globals__, "FACTOR", 3.0)),
    "object": (_ByGlobal, lambda m, y: y, lambda patch, m: patch.setattr(CONFIG, "gain", 3.0)),
    "function": (_ByFunction, lambda m, y: y, lambda patch, m: patch.setitem(_scaled.__globals__, "FACTOR", 3.0)),
    "class of settings": (_ByClass, lambda m, y: y, lambda patch, m: patch.setattr(_Config, "gain", 3.0)),
    "module of settings": (_ByModule, lambda m, y: y, lambda patch, m: patch.setattr(SETTINGS, "gain", 3.0)),
    "default": (_ByDefault, lambda m, y: y, lambda patch, m: patch.setitem(TABLE, "gain", 3.0)),
    "function as attribute": (
        *(_Net, lambda m, y: y * TABLE["gain"]),
        lambda patch, m: patch.setitem(TABLE, "gain", 3.0),
    ),
    "partial": (
        *(_Net, partial(lambda table, m, y: y * table["gain"], TABLE)),
        lambda patch, m: patch.setitem(TABLE, "gain", 3.0),
    ),
    "function in a function": (
        *(_Net, lambda m, y: (lambda z: z * TABLE["gain"])(y)),
        lambda patch, m: patch.setitem(TABLE, "gain", 3.0),
    ),
    # What no fingerprint sees: the kept graph is tried.
    "long list": (_Net, lambda m, y: y * LONG[3], lambda patch, m: LONG.__setitem__(3, 3.0)),
    "environment": (_ByEnvironment, lambda m, y: y, lambda patch, m: patch.setenv("GAIN_OF_A_TEST", "3")),
}


def _differs(module: nn.Module) -> float:
    image = noise((1, 3, 24, 24), 3)[0]
    found = ew.scan(module, image, window=8, stride=1, progress=False)
    assert found.verdict.exact
    return relative_difference(found.scores, crops(module, image, (8, 8), (1, 1)))


@pytest.mark.parametrize("name", CASES)
def test_other_settings_are_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, how, change = CASES[name]
    module = with_trial_weights(kind(how), 3, (8, 8), seed=1)
    assert _differs(module) <= TOLERANCE[torch.float64]
    change(monkeypatch, module)
    assert _differs(module) <= TOLERANCE[torch.float64]


def test_closures_are_seen() -> None:
    def made() -> tuple[nn.Module, Callable[[float], None]]:
        gain = 1.0

        class Closed(_Net):
            def forward(self, x: Tensor) -> Tensor:
                return self.h(torch.tanh(self.a(x) * gain).mean((2, 3)))

        def change(value: float) -> None:
            nonlocal gain
            gain = value

        return with_trial_weights(Closed(lambda m, y: y), 3, (8, 8), seed=1), change

    module, change = made()
    assert _differs(module) <= TOLERANCE[torch.float64]
    change(3.0)
    assert _differs(module) <= TOLERANCE[torch.float64]


def test_global_hooks_are_seen() -> None:
    module = with_trial_weights(_Net(lambda m, y: y), 3, (8, 8), seed=1)
    assert _differs(module) <= TOLERANCE[torch.float64]
    hook = torch.nn.modules.module.register_module_forward_hook(
        lambda layer, inputs, output: output * 2 if isinstance(layer, nn.Conv2d) else output
    )
    try:
        assert _differs(module) <= TOLERANCE[torch.float64]
    finally:
        hook.remove()
    assert _differs(module) <= TOLERANCE[torch.float64]


def _captures(monkeypatch: pytest.MonkeyPatch) -> list[nn.Module]:
    """The modules that are captured from now on."""
    found: list[nn.Module] = []
    capture = cache.capture

    def counted(module: nn.Module, window: tuple[int, ...], channels: int) -> Any:
        found.append(module)
        return capture(module, window, channels)

    monkeypatch.setattr(cache, "capture", counted)
    return found


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_what_has_not_changed_is_captured_once(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    found = _captures(monkeypatch)
    layers = [nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    module = with_trial_weights(nn.Sequential(*layers, nn.Linear(6, 2)), 3, (8, 8), seed=1).to(dtype)
    image = noise((1, 3, 12, 12), 3)[0].to(dtype)
    for mode in ("exact", "fcn", "crops", "exact"):
        ew.scan(module, image, window=8, stride=1, mode=mode, progress=False)
    with torch.no_grad():
        for weight in module.parameters():
            weight.data = 1.5 * weight.data  # other values, without a trace
    for _ in range(2):
        scores = ew.scan(module, image, window=8, stride=1, progress=False).scores
    assert found == [module]
    if dtype == torch.float64:
        assert relative_difference(scores, crops(module, image, (8, 8), (1, 1))) <= TOLERANCE[dtype]


def test_functions_that_name_one_another_are_read_once() -> None:
    holder: list[Any] = []

    def gain(m: Any, y: Tensor) -> Tensor:
        return y * len(holder)

    holder.append(gain)
    module = _Net(gain)
    assert fingerprint(module) == fingerprint(module)
    before = fingerprint(module)
    holder.append(2)
    assert fingerprint(module) != before
