"""Scans from several threads at a time: right, and the module stays as it was."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import everywindow as ew
from everywindow.graph import precision, using
from oracle import TOLERANCE, crops, relative_difference
from trial_weights import noise, with_trial_weights


def _module(seed: int) -> nn.Module:
    layers = [
        nn.Conv2d(2, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 6, 3, stride=2),
        nn.Dropout(0.5),
    ]
    module = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3))
    return with_trial_weights(module, 2, (9, 8), seed)


def _together(calls: list[Callable[[], Tensor]]) -> list[Tensor]:
    """What calls in as many threads give."""
    found: dict[int, Tensor] = {}
    failed: list[BaseException] = []
    start = threading.Barrier(len(calls))

    def run(index: int) -> None:
        start.wait()
        try:
            found[index] = calls[index]()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, failed
    return [found[index] for index in range(len(calls))]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("modes", [("exact",) * 4, ("crops", "exact", "fcn", "crops"), ("fcn",) * 3])
def test_the_first_scans_of_a_module(training: bool, modes: tuple[str, ...]) -> None:
    module = _module(1).train(training)
    weights = [(id(weight), weight.clone()) for weight in module.parameters()]
    image = noise((1, 2, 40, 37), 3)[0]
    calls = [
        (lambda mode=mode: ew.scan(module, image, window=(9, 8), stride=2, mode=mode, progress=False).scores)
        for mode in modes
    ]
    scores = _together(calls)
    assert all(child.training == training for child in module.modules())
    assert all(
        id(weight) == key and torch.equal(weight, kept)
        for weight, (key, kept) in zip(module.parameters(), weights, strict=True)
    )
    expected = crops(module, image, (9, 8), (2, 2))
    for mode, one in zip(modes, scores, strict=True):
        if mode != "fcn":  # which pads at the image's border
            assert relative_difference(one, expected) <= TOLERANCE[torch.float64]


def test_scans_of_several_modules_and_windows() -> None:
    modules = [_module(seed) for seed in range(3)]
    image = noise((1, 2, 40, 37), 3)[0]
    jobs = [(module, window) for module in modules for window in ((9, 8), (12, 12))]
    calls = [(lambda m=m, w=w: ew.scan(m, image, window=w, stride=2, progress=False).scores) for m, w in jobs]
    for (module, window), scores in zip(jobs, _together(calls), strict=True):
        assert relative_difference(scores, crops(module, image, window, (2, 2))) <= TOLERANCE[torch.float64]


def test_modules_with_layers_in_common() -> None:
    core = _module(1).train()
    behind = nn.Sequential(core, nn.Softmax(1)).eval()
    core.train()
    image = noise((1, 2, 60, 60), 3)[0]
    jobs = [(module, mode) for mode in ("exact", "crops", "exact") for module in (core, behind)]
    calls = [
        (lambda m=m, mode=mode: ew.scan(m, image, window=(9, 8), stride=2, mode=mode, progress=False).scores)
        for m, mode in jobs
    ]
    found = _together(calls)
    assert all(isinstance(parameter, nn.Parameter) for parameter in core.parameters())
    assert all(child.training for child in core.modules())
    assert not behind.training
    for (module, _), scores in zip(jobs, found, strict=True):
        assert relative_difference(scores, crops(module, image, (9, 8), (2, 2))) <= TOLERANCE[torch.float64]
        core.train()


def test_a_module_is_used_again_by_who_has_it() -> None:
    core = _module(1)
    behind = nn.Sequential(core, nn.Softmax(1))
    order: list[str] = []

    def other() -> None:
        with using(behind):
            order.append("other")

    with using(core):
        thread = threading.Thread(target=other)
        thread.start()
        with using(behind), using(core):
            order.append("inside")
        thread.join(0.05)
        order.append("leaving")
    thread.join()
    assert order == ["inside", "leaving", "other"]


def test_a_module_that_is_captured_meanwhile_keeps_its_place() -> None:
    module = _module(1)
    original = [dict(child._parameters) for child in module.modules()]
    looked = threading.Event()
    found: list[tuple[torch.dtype, torch.device]] = []

    def look() -> None:
        looked.set()
        found.append(precision(module, (8, 8), 3))

    with using(module):
        thread = threading.Thread(target=look)
        module.to("meta")  # as a capture does
        thread.start()
        looked.wait()
        thread.join(0.1)
        for child, parameters in zip(module.modules(), original, strict=True):
            child._parameters.update(parameters)
    thread.join()
    assert found == [(torch.float64, torch.device("cpu"))]
