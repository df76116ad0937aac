"""Costs of one of several outputs, of products that are no layers, and of images that are only thought of."""

from __future__ import annotations

import resource
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import everywindow as ew
from everywindow.errors import InputError
from everywindow.geometry import WindowGrid
from everywindow.graph import captured
from everywindow.sharing import exact_macs, program_for, program_macs, work


class Heads(nn.Module):
    """A network of two outputs, one of them early."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 8, 3, 2, padding=1)
        self.early, self.late = nn.Linear(4 * 8 * 8, 3), nn.Linear(8 * 4 * 4, 5)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.first(x).relu()
        return {"late": self.late(self.second(x).flatten(1)), "early": self.early(x.flatten(1))}


@pytest.mark.parametrize("output", [None, "late", "early"])
def test_the_cost_of_an_output_is_what_scans_of_it_take(output: str | None) -> None:
    net = Heads().eval()
    found = ew.cost(net, 20, window=8, stride=2, output=output, predict=False)
    scans = {
        mode: ew.scan(net, torch.randn(1, 20, 20), window=8, stride=2, mode=mode, output=output)
        for mode in ("crops", "fcn")
    }
    assert {mode: m.plan.macs for mode, m in scans.items()} == {mode: found.macs[mode] for mode in scans}
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.zeros(1, 1, 8, 8))
    assert found.macs["crops"] == found.windows * counter.get_total_flops() // 2
    assert found.macs == {mode: sum(row.image_macs[mode] for row in found.rows) for mode in found.macs}
    unused = {"early": {"second", "late"}}.get(output or "", {"early"})
    assert {row.layer for row in found.rows if row.how == "left out"} == unused
    assert all(row.image_macs["exact"] == row.image_macs["fcn"] == 0 for row in found.rows if row.layer in unused)


def test_an_output_that_is_not_there_is_told() -> None:
    with pytest.raises(InputError, match="output"):
        ew.cost(Heads().eval(), 20, window=8, output="middle")


class Last(nn.Module):
    """A convolution, and a product of the flattened map with weights."""

    def __init__(self, product: Callable[[Last, Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.product = nn.Conv2d(1, 3, 3), product
        self.kernels, self.pair = nn.Parameter(torch.randn(5, 3, 6, 6)), nn.Bilinear(3, 3, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.product(self, self.conv(x))


PRODUCTS: dict[str, Callable[[Last, Tensor], Tensor]] = {
    "matmul": lambda net, x: x.flatten(1) @ net.kernels.flatten(1).T,
    "linear": lambda net, x: nn.functional.linear(x.flatten(1), net.kernels.flatten(1)),
    "einsum": lambda net, x: torch.einsum("nchw,kchw->nk", x, net.kernels),
    "tensordot": lambda net, x: torch.tensordot(x, net.kernels, dims=([1, 2, 3], [1, 2, 3])),
    "inner": lambda net, x: torch.inner(x.flatten(1), net.kernels.flatten(1)),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_with_weights_are_fully_connected(name: str) -> None:
    net = Last(PRODUCTS[name]).eval()
    found = ew.cost(net, 8, window=8, predict=False)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.zeros(1, 1, 8, 8))
    assert found.macs["crops"] == counter.get_total_flops() // 2 == 27 * 36 + 5 * 108
    assert found.fc_share == 540 / 570
    assert [row.family for row in found.layers(only="fc")] == ["fc"]


def test_bilinear_layers_multiply_by_a_matrix_for_each_output() -> None:
    net = Last(lambda net, x: net.pair(x.amax((2, 3)), x.mean((2, 3)))).eval()
    found = ew.cost(net, 8, window=8, predict=False)
    assert found.macs["crops"] == 27 * 36 + 5 * (3 * 3 + 3)
    assert found.fc_share == 50 / 80


def test_products_of_two_computed_values_are_not_fully_connected() -> None:
    net = Last(lambda net, x: (x.flatten(2) @ x.flatten(2).transpose(1, 2)).flatten(1)).eval()
    assert ew.cost(net, 8, window=8, predict=False).fc_share == 0


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "padded": lambda: nn.Conv1d(2, 2, 3, padding=1),
    "strided": lambda: nn.Conv1d(2, 2, 3, stride=2, padding=1),
    "by three": lambda: nn.Conv1d(2, 2, 5, stride=3),
    "pooled": lambda: nn.MaxPool1d(2),
    "enlarged": lambda: nn.Upsample(scale_factor=2),
}


@given(st.lists(st.sampled_from(sorted(LAYERS)), min_size=1, max_size=3), st.integers(1, 9), st.integers(40, 160))
def test_shorter_rows_tell_the_mult_adds_of_long_ones(names: list[str], stride: int, count: int) -> None:
    features = nn.Sequential(*(LAYERS[name]() for name in names)).eval()
    width = features(torch.zeros(1, 2, 90)).numel()
    net = nn.Sequential(features, nn.Flatten(), nn.Linear(width, 2)).eval()
    network, grid = captured(net, (90,), 2), WindowGrid((90 + count * stride,), (90,), (stride,))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work, "MANY", 16)
        assert exact_macs(network, grid) == program_macs(program_for(network, grid.counts, grid.stride))


def test_images_of_any_size_take_no_memory() -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4 * 8 * 8, 3)).eval()
    small = ew.cost(net, 1000, window=16, stride=1, predict=False)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    large = ew.cost(net, 200_000, window=16, stride=1, predict=False)
    assert large.macs["exact"] / large.windows == pytest.approx(small.macs["exact"] / small.windows, rel=0.05)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**19  # KiB
    with pytest.raises(InputError, match=r"image_size: 1000000000×1000000000 pixels at stride 1×1 are .* windows"):
        ew.cost(net, 10**9, window=16, stride=1)


def test_a_network_without_a_conversion_says_why() -> None:
    def attend(net: Last, x: Tensor) -> Tensor:
        places = x.flatten(2)
        return (places @ (places.transpose(1, 2) @ places).softmax(2)).flatten(1)

    found = ew.cost(Last(attend).eval(), 8, window=8, predict=False)
    assert "fcn" not in found.macs
    assert found.refusal is not None
    assert f"fcn: no plain conversion: {found.refusal.layer}: {found.refusal.why}" in str(found)
    assert found.as_dict()["refusal"] == list(found.refusal)
