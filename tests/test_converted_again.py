"""Scans of a converted network: it knows its windows, and its own pass is one of the modes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import everywindow as ew
import oracle
from laws import EQUAL
from trial_weights import noise, with_trial_weights


class Small(nn.Module):
    """A strided convolution with batch norm and dropout, padded or not, and a fully connected head."""

    def __init__(self, axes: int = 2, padding: int = 0) -> None:
        super().__init__()
        conv, norm = getattr(nn, f"Conv{axes}d"), getattr(nn, f"BatchNorm{axes}d")
        self.first, self.norm = conv(2, 4, 3, stride=2, padding=padding), norm(4)
        self.drop, self.last = nn.Dropout(0.5), conv(4, 3, 2)
        self.head = nn.LazyLinear(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.last(self.drop(torch.tanh(self.norm(self.first(x)))))).flatten(1))


WINDOWS = {1: (17,), 2: (13, 16), 3: (8, 7, 9)}
MODES = ("crops", "fcn", "exact")


def trial(axes: int = 2, padding: int = 0) -> nn.Module:
    torch.manual_seed(0)
    module = Small(axes, padding)
    module.eval()(torch.zeros(1, 2, *WINDOWS[axes]))
    return with_trial_weights(module, 2, WINDOWS[axes]).eval()


def image_for(axes: int, seed: int = 3) -> Tensor:
    return noise((1, 2, *(n + 11 for n in WINDOWS[axes])), seed)[0]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_window_stride_and_channels_come_from_it(axes: int, padding: int, mode: str) -> None:
    module, image = trial(axes, padding), image_for(axes)
    fcn = ew.convolutionalize(module, window=WINDOWS[axes], stride=4).eval()
    found = ew.scan(fcn, image, mode=mode)
    assert found.window == WINDOWS[axes]
    assert found.stride == (4,) * axes
    with torch.no_grad():
        own = fcn(image.unsqueeze(0))[0]
    crops = oracle.crops(module, image, WINDOWS[axes], (4,) * axes)
    expected = own if mode == "fcn" else crops
    assert oracle.relative_difference(found.scores, expected) <= EQUAL
    assert (oracle.relative_difference(own, crops) <= EQUAL) == (padding == 0)
    assert found.verdict.exact == (mode != "fcn" or padding == 0)


def test_other_strides_in_the_modes_that_have_them() -> None:
    module, image = trial(padding=1), image_for(2)
    fcn = ew.convolutionalize(module, window=WINDOWS[2]).eval()
    for mode in ("crops", "exact"):
        for stride in ((3, 1), (5, 2)):
            expected = oracle.crops(module, image, WINDOWS[2], stride)
            found = ew.scan(fcn, image, mode=mode, stride=stride)
            assert found.stride == stride
            assert oracle.relative_difference(found.scores, expected) <= EQUAL
    with pytest.raises(ew.InputError, match=r"stride: the converted network is for stride \(2, 2\), and \(4, 3\)"):
        ew.scan(fcn, image, mode="fcn", stride=(4, 3))


@pytest.mark.parametrize("memory", [None, 20_000])
@pytest.mark.parametrize("stride", [2, (4, 2), (6, 8), 12, 100])
def test_multiples_of_its_stride_are_picked_from_its_own_pass(stride: Any, memory: int | None) -> None:
    module, image = trial(padding=1), image_for(2)
    fcn = ew.convolutionalize(module, window=WINDOWS[2]).eval()
    found = ew.scan(fcn, image, mode="fcn", stride=stride, memory=memory)
    rows, cols = stride if isinstance(stride, tuple) else (stride, stride)
    with torch.no_grad():
        own = fcn(image.unsqueeze(0))[0, :, :: rows // 2, :: cols // 2]
    assert found.scores.shape == own.shape
    torch.testing.assert_close(found.scores, own, atol=1e-12, rtol=1e-10)
    assert [len(axis) for axis in found.offsets] == list(own.shape[1:])
    assert [axis[-1] for axis in found.offsets] == [rows * (own.shape[1] - 1), cols * (own.shape[2] - 1)]


@pytest.mark.parametrize("times", [2, 3, 5])
def test_the_original_at_a_multiple_of_its_stride_computes_the_wanted_windows_of_the_same_pass(times: int) -> None:
    module, image = trial(padding=1), image_for(2)
    fine = ew.scan(module, image, window=WINDOWS[2], mode="fcn", stride=2)
    found = ew.scan(module, image, window=WINDOWS[2], mode="fcn", stride=2 * times)
    torch.testing.assert_close(found.scores, fine.scores[:, ::times, ::times], atol=1e-12, rtol=1e-10)
    assert found.plan.macs < fine.plan.macs
    macs = [ew.cost(module, image.shape[1:], WINDOWS[2], stride=stride).macs["fcn"] for stride in (2, 2 * times)]
    assert macs == [fine.plan.macs, found.plan.macs]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("given", [{"window": 14}, {"channels": 3}], ids=str)
def test_another_window_or_other_channels_are_refused(given: dict[str, Any], mode: str) -> None:
    fcn = ew.convolutionalize(trial(), window=WINDOWS[2])
    name = next(iter(given))
    with pytest.raises(ew.InputError, match=f"{name}: this network was converted for"):
        ew.scan(ew.Classifier(fcn, **given), image_for(2), mode=mode)


def test_the_same_window_may_be_given() -> None:
    fcn = ew.convolutionalize(trial(), window=WINDOWS[2]).eval()
    assert ew.scan(fcn, image_for(2), mode="fcn", window=WINDOWS[2]).window == WINDOWS[2]


@pytest.mark.parametrize("mode", MODES)
def test_the_modes_of_its_layers_are_put_back_and_not_followed(mode: str) -> None:
    module, image = trial(), image_for(2)
    fcn = ew.convolutionalize(module, window=WINDOWS[2]).train()
    frozen = next(child for child in fcn.modules() if isinstance(child, nn.BatchNorm2d))
    frozen.eval()
    modes = {name: child.training for name, child in fcn.named_modules()}
    state = {name: value.clone() for name, value in fcn.state_dict().items()}
    expected = oracle.crops(module, image, WINDOWS[2], (2, 2))
    assert oracle.relative_difference(ew.scan(fcn, image, mode=mode).scores, expected) <= EQUAL
    assert {name: child.training for name, child in fcn.named_modules()} == modes
    assert set(modes.values()) == {True, False}
    assert all(torch.equal(value, state[name]) for name, value in fcn.state_dict().items())


@pytest.mark.parametrize("assign", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_weights_that_are_assigned_anew_are_used(mode: str, assign: bool) -> None:
    module, image = trial(), image_for(2)
    fcn = ew.convolutionalize(module, window=WINDOWS[2]).eval()
    before = ew.scan(fcn, image, mode=mode).scores
    with_trial_weights(module, 2, WINDOWS[2], seed=5)
    fcn.load_state_dict({name: value.clone() for name, value in module.state_dict().items()}, assign=assign)
    expected = oracle.crops(module, image, WINDOWS[2], (2, 2))
    after = ew.scan(fcn, image, mode=mode).scores
    assert oracle.relative_difference(after, expected) <= EQUAL
    assert oracle.relative_difference(before, expected) > 0.1


@pytest.mark.parametrize("mode", MODES)
def test_weights_that_were_trained_are_used(mode: str) -> None:
    fcn, image = ew.convolutionalize(trial(), window=WINDOWS[2]), image_for(2)
    before = ew.scan(fcn, image, mode=mode).scores
    fcn.eval()
    optimiser = torch.optim.SGD(fcn.parameters(), lr=0.05)
    fcn(image.unsqueeze(0)).square().mean().backward()
    optimiser.step()
    with torch.no_grad():
        expected = fcn(image.unsqueeze(0))[0]
    after = ew.scan(fcn, image, mode=mode).scores
    assert oracle.relative_difference(after, expected) <= EQUAL
    assert oracle.relative_difference(before, expected) > 1e-3


class Several(Small):
    """Two outputs, in a dict."""

    def forward(self, x: Tensor) -> Any:
        scores = super().forward(x)
        return {"main": scores, "half": (scores[:, :2] * 0.5, scores.sum(1, keepdim=True))}


PICKED: dict[Any, Any] = {
    None: lambda out: out["main"],
    "main": lambda out: out["main"],
    ("half", 0): lambda out: out["half"][0],
    ("half", 1): lambda out: out["half"][1],
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("output", PICKED)
def test_one_of_several_outputs(output: Any, mode: str) -> None:
    module = Several()
    module.eval()(torch.zeros(1, 2, *WINDOWS[2]))
    module = module.double()
    image = image_for(2)
    fcn = ew.convolutionalize(module, window=WINDOWS[2]).eval()
    expected = oracle.crops(module, image, WINDOWS[2], (2, 2), PICKED[output])
    found = ew.scan(fcn, image, mode=mode, output=output).scores
    assert oracle.relative_difference(found, expected) <= EQUAL


def test_compared_and_counted() -> None:
    fcn, image = ew.convolutionalize(trial(padding=1), window=WINDOWS[2]).eval(), image_for(2)
    found = ew.compare(fcn, image)
    assert {run.mode for run in found.runs} >= {"crops", "fcn", "exact"}
    by_mode = {run.mode: run for run in found.runs}
    assert by_mode["exact"].relative_difference <= EQUAL
    assert by_mode["fcn"].relative_difference > 1e-3
    macs = ew.cost(fcn, image_size=tuple(image.shape[1:])).macs
    assert macs["crops"] > macs["fcn"]


def halved(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return output / 2


def hooked(fcn: nn.Module) -> None:
    fcn.register_forward_hook(halved)


def hooked_dropout(fcn: nn.Module) -> None:
    fcn.get_submodule("drop").register_forward_hook(halved)


def replaced_norm(fcn: nn.Module) -> None:
    fcn._modules["norm"] = nn.Identity()


def pruned(fcn: nn.Module) -> None:
    nn.utils.parametrize.register_parametrization(fcn.get_submodule("head"), "weight", nn.Tanh())


@pytest.mark.parametrize("change", [hooked, hooked_dropout, replaced_norm, pruned])
def test_what_its_owner_did_to_it_counts(change: Callable[[nn.Module], None]) -> None:
    image = image_for(2)
    fcn = ew.convolutionalize(trial(), window=WINDOWS[2]).eval()
    with torch.no_grad():
        before = fcn(image.unsqueeze(0))[0]
        change(fcn)
        own = fcn(image.unsqueeze(0))[0]
    found = ew.scan(fcn, image, mode="fcn")
    assert oracle.relative_difference(own, before) > 1e-3
    assert oracle.relative_difference(found.scores, own) <= EQUAL


def test_another_layer_in_it_may_end_the_proof() -> None:
    fcn = ew.convolutionalize(trial(), window=WINDOWS[2]).eval()
    assert ew.scan(fcn, image_for(2), mode="fcn").verdict.exact
    fcn._modules["norm"] = nn.InstanceNorm2d(4)
    verdict = ew.scan(fcn, image_for(2), mode="fcn").verdict
    assert not verdict.exact
    assert verdict.reasons
