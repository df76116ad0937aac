"""A kept graph is captured anew when anything changes that the module's code reads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import everywindow as ew
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
