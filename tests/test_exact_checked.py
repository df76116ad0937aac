"""The comparison with the crops is itself tested: what is broken on purpose must show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import oracle
from everywindow.engines import exact as engine
from everywindow.geometry import AxisRecord, Positions
from everywindow.ops import blocks, pooling
from everywindow.sharing import program
from exactly import exactly
from laws import EQUAL
from trial_weights import noise, with_trial_weights

WINDOW = (20, 22)
SIZE = (34, 40)


def convolutions() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.Tanh(),
        nn.Conv2d(4, 4, 3, stride=2, padding=1),
        nn.Flatten(),
        nn.Linear(440, 3),
    )


def max_pooled() -> nn.Module:
    """Negative values, so that a fill of zero is larger than they are."""
    return nn.Sequential(
        nn.Conv2d(2, 4, 3),
        nn.LogSigmoid(),
        nn.MaxPool2d(3, 2, 1),
        nn.Flatten(),
        nn.Linear(360, 3),
    )


def averaged() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.AvgPool2d(3, 2, 1, count_include_pad=False), nn.Flatten(), nn.Linear(360, 3)
    )


def thinned() -> nn.Module:
    """Every other position is left out, and no two outputs read the same one."""
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.Tanh(), nn.Conv2d(4, 4, 1, stride=2), nn.Flatten(), nn.Linear(360, 3))


def halved() -> nn.Module:
    """Boxes that do not overlap, the first and the last half in the padding."""
    return nn.Sequential(nn.Conv2d(2, 4, 1), nn.Tanh(), nn.MaxPool2d(2, 2, 1), nn.Flatten(), nn.Linear(528, 3))


def difference(build: Callable[[], nn.Module], stride: tuple[int, int] = (2, 2), memory: float = 1.0) -> float:
    """Relative difference of the exact engine to the crops; infinite where it fails."""
    module = with_trial_weights(build(), 2, WINDOW)
    image = noise((1, 2, *SIZE), 4)[0]
    found = exactly(module, image, WINDOW, stride, memory=memory)
    assert found.shares
    return oracle.relative_difference(found.scores, oracle.crops(module, image, WINDOW, stride))


@pytest.mark.parametrize("build", [convolutions, max_pooled, averaged, thinned, halved])
@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (3, 1)])
def test_unbroken_it_is_right(build: Callable[[], nn.Module], stride: tuple[int, int]) -> None:
    assert difference(build, stride) <= EQUAL


def _broken_positions(monkeypatch: pytest.MonkeyPatch, change: Callable[[AxisRecord], AxisRecord]) -> None:
    right = Positions.of
    monkeypatch.setattr(
        Positions, "of", classmethod(lambda cls, record, windows, stride: right(change(record), windows, stride))
    )


def test_a_head_one_too_small_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    _broken_positions(monkeypatch, lambda record: replace(record, head=max(0, record.head - 1)))
    assert difference(convolutions) > 1e-3


def test_a_tail_one_too_small_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    _broken_positions(monkeypatch, lambda record: replace(record, tail=max(0, record.tail - 1)))
    assert difference(halved) > 1e-3


def test_forgotten_phases_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows every 3 pixels behind a stride of 2: neighbours do not share."""

    def of(cls: type[Positions], record: AxisRecord, windows: int, stride: int) -> Positions:
        step = max(1, stride // record.jump)
        return cls(windows, record.n, record.head, record.tail, 1, step)

    monkeypatch.setattr(Positions, "of", classmethod(of))
    assert difference(thinned, (3, 3)) > 1e-3


def test_slabs_that_contradict_each_other_are_not_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second net below the records: where overlapping boxes would read different positions, windows share nothing."""
    _broken_positions(monkeypatch, lambda record: replace(record, tail=max(0, record.tail - 1)))
    module = with_trial_weights(convolutions(), 2, WINDOW)
    image = noise((1, 2, *SIZE), 4)[0]
    found = exactly(module, image, WINDOW, (1, 1))
    assert not found.shares
    assert oracle.relative_difference(found.scores, oracle.crops(module, image, WINDOW, (1, 1))) <= EQUAL


def test_another_fill_of_max_pooling_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    right = blocks.Moves.run

    def run(self: Any, x: Tensor, fill: float, apply: Callable[[Tensor], Tensor]) -> Tensor:
        return right(self, x, 0.0, apply)

    monkeypatch.setattr(blocks.Moves, "run", run)
    assert difference(max_pooled) > 1e-3
    assert difference(convolutions) <= EQUAL


def test_another_fill_of_convolutions_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    right = blocks.Moves.run

    def run(self: Any, x: Tensor, fill: float, apply: Callable[[Tensor], Tensor]) -> Tensor:
        return right(self, x, fill or 0.1, apply)

    monkeypatch.setattr(blocks.Moves, "run", run)
    assert difference(convolutions) > 1e-3
    assert difference(max_pooled) <= EQUAL


def test_ignored_counts_of_average_pooling_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pooling, "_counts", lambda op, n, padded: [op.kernel] * op.output_length(n))
    assert difference(averaged) > 1e-3


def test_a_rectangle_cut_a_pixel_off_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    right = engine._region

    def region(pixels: Tensor, grid: Any, rectangle: Any) -> Tensor:
        return right(pixels.roll(1, -1), grid, rectangle) if rectangle[1][0] else right(pixels, grid, rectangle)

    monkeypatch.setattr(engine, "_region", region)
    assert difference(convolutions) <= EQUAL
    assert difference(convolutions, memory=0.3) > 1e-3


class Everything(set[Any]):
    """Holds whatever is asked for."""

    def __contains__(self, item: object) -> bool:
        return True


class Twice(nn.Module):
    """A value that two calls read."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(2, 4, 3, padding=1), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return self.head(torch.cat([torch.tanh(x), x], 1).mean((2, 3)))


def test_a_value_overwritten_too_early_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    right = program.Places
    assert difference(Twice) <= EQUAL
    monkeypatch.setattr(program, "Places", lambda windows, stride: right(windows, stride, Everything()))
    assert difference(Twice) > 1e-3
