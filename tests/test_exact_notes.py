"""What a scan says beside its scores: the hint at one pass, the price of a coarse number format, the plan."""

from __future__ import annotations

import json
import re
from math import inf
from pathlib import Path

import pytest
import torch
from torch import nn

import everywindow as ew
import oracle
from everywindow.engines import rates, tried
from everywindow.engines.measured import expected_seconds, measured_seconds, remember
from everywindow.engines.pages import Kept
from everywindow.geometry import WindowGrid
from everywindow.graph import captured
from everywindow.sharing import Work
from trial_weights import noise, with_trial_weights


def padded(width: int = 24) -> nn.Module:
    layers: list[nn.Module] = []
    for inputs in (3, width, width):
        layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    module = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 4))
    return with_trial_weights(module, 3, (32, 32), dtype=torch.float32)


@pytest.fixture(autouse=True)
def _of_short_scans_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tried, "LEAST_SECONDS", 0.0)


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    return noise((1, 3, 128, 128), seed=3, dtype=torch.float32)[0]


def test_hint_names_speed_and_difference(image: torch.Tensor) -> None:
    module = padded()
    m = ew.scan(module, image, window=32, stride=2)
    hint = next(note for note in m.plan.notes if note.startswith("mode='fcn'"))
    found = re.search(
        r"(\d+) times as fast; its scores differ by up to (\S+) of the spread .* of the (\d+) windows", hint
    )
    assert found, hint
    assert int(found[1]) >= 3
    assert int(found[3]) >= 9
    fcn = ew.scan(module, image, window=32, stride=2, mode="fcn")
    whole = oracle.relative_difference(fcn.scores.double(), m.scores.double())
    assert 0 < float(found[2]) <= 1.1 * whole


def test_hint_follows_the_weights(image: torch.Tensor) -> None:
    module = padded()
    before = ew.scan(module, image, window=32, stride=2).plan.notes
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(-0.5)
    assert ew.scan(module, image, window=32, stride=2).plan.notes != before


def test_no_hint_where_one_pass_is_exact(image: torch.Tensor) -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 5), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 28 * 28, 3))
    assert not ew.scan(module, image, window=32, stride=4).plan.notes


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_coarse_numbers_are_measured_against_the_network_s_own(image: torch.Tensor, dtype: str) -> None:
    module = padded()
    m = ew.scan(module, image, window=32, stride=8, dtype=dtype)
    note = next(note for note in m.plan.notes if note.startswith(f"{dtype} differs from float32"))
    told = float(re.search(r"up to (\S+) of the spread", note)[1])  # type: ignore[index]
    full = ew.scan(module, image, window=32, stride=8)
    whole = oracle.relative_difference(m.scores.double(), full.scores.double())
    assert 0 < told <= 1.2 * whole
    assert whole < 0.2


def test_nothing_is_said_of_short_scans(image: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tried, "LEAST_SECONDS", 60.0)
    assert not ew.scan(padded(), image, window=32, stride=2).plan.notes


def test_finer_numbers_need_no_note(image: torch.Tensor) -> None:
    notes = ew.scan(padded(), image, window=32, stride=16, dtype="float64").plan.notes
    assert not any("differs from" in note for note in notes)


def test_plan_tells_what_is_shared(image: torch.Tensor) -> None:
    plan = ew.scan(padded(), image, window=32, stride=2).plan
    assert plan.mode == plan.engine == "exact"
    assert {layer.kind for layer in plan.layers} == {"strips", "per window"}
    assert all(0 < layer.share <= 1 for layer in plan.layers)
    assert ": " in plan.ends
    assert plan.ends in str(plan)
    assert plan.predicted_seconds is not None
    assert plan.peak_bytes > 0
    json.dumps(plan.as_dict())


def test_rates_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(rates.CACHE, str(tmp_path))
    monkeypatch.setattr(rates, "probed", lambda *place: {})
    rates.rates_for.cache_clear()
    place = torch.device("cpu"), torch.float32, torch.get_num_threads()
    first = rates.rates_for(*place)
    rates.rates_for.cache_clear()
    assert rates.rates_for(*place) == first
    (tmp_path / "rates.json").write_text("not json", encoding="utf-8")
    rates.rates_for.cache_clear()
    assert rates.rates_for(*place) is not None
    rates.rates_for.cache_clear()


def test_rates_of_a_busy_device_are_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(rates.CACHE, str(tmp_path))
    rates.rates_for.cache_clear()
    place = torch.device("cpu"), torch.float32, torch.get_num_threads()
    rates.rates_for(*place)
    file = tmp_path / "rates.json"
    kept = json.loads(file.read_text(encoding="utf-8"))
    (key,) = kept["rates"]
    true = kept["rates"][key]
    slow = {**true, "conv": {c: {side: rate / 50 for side, rate in row.items()} for c, row in true["conv"].items()}}
    file.write_text(json.dumps({**kept, "rates": {key: slow}}), encoding="utf-8")
    rates.rates_for.cache_clear()
    mended = rates.rates_for(*place)
    rates.rates_for.cache_clear()
    assert mended.conv["64"]["8"] > 5 * slow["conv"]["64"]["8"]
    assert mended.filtered["64"]["8"] >= true["filtered"]["64"]["8"]  # of each figure the better one
    again = json.loads(file.read_text(encoding="utf-8"))["rates"][key]
    assert again["conv"] == mended.conv


def test_a_measurement_is_not_held_against_a_prediction_from_rates_that_are_too_low() -> None:
    predicted = {"crops": 10.0, "exact": 0.4}
    assert expected_seconds(predicted, {}) == predicted
    assert expected_seconds(predicted, {"crops": 0.3})["exact"] == pytest.approx(0.012)  # tried, not given up
    assert expected_seconds(predicted, {"crops": 20.0})["exact"] == pytest.approx(0.8)  # a slow hour, for all
    assert expected_seconds(predicted, {"exact": 2.0}) == {"crops": 10.0, "exact": 2.0}
    assert expected_seconds(predicted, {"crops": 0.3, "exact": 0.5}) == {"crops": 0.3, "exact": 0.5}


def test_rates_between_the_measured_ones() -> None:
    table = {"4": {"1": 1e9, "4": 2e9}, "64": {"1": 4e9, "4": 8e9}}
    known = rates.Rates(table, table, table, table, moved=1e9, near=1e9, gathered=1e9, calls=inf)

    def seconds(channels: int, size: float) -> float:
        return known.seconds(Work("conv", 10**9, size, channels, 0))

    assert seconds(4, 1) == pytest.approx(1.0)
    assert seconds(64, 100) == pytest.approx(1 / 8)
    assert 1 / 8 < seconds(16, 2) < 1


def test_measured_seconds_count_from_the_second_run() -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Flatten(), nn.Linear(2 * 64, 2)).eval()
    network = captured(module, (8, 8), 1)
    small, large = (WindowGrid((size, size), (8, 8), (4, 4)) for size in (16, 32))
    remember(network, small, "crops", 2**33, 9.0)
    assert not measured_seconds(network, small, 2**34)
    remember(network, small, "crops", 2**33, 1.8)
    assert measured_seconds(network, large, 2**34)["crops"] == pytest.approx(1.8 * large.total / small.total)
    assert not measured_seconds(network, large, 2**20)  # with less memory the windows are cut otherwise


def test_kept_memory_can_be_given_back() -> None:
    kept = Kept(most=0)
    blocks = [torch.ones(2**22) for _ in range(8)]
    del blocks
    kept.relieve()
