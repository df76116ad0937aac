"""Nearest upsampling by whole factors: what windows share goes on behind it, and one pass where positions allow it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import everywindow as ew
import oracle
from everywindow.geometry import WindowGrid
from everywindow.graph import captured, records
from everywindow.ops import upsample
from everywindow.sharing import build, exact_macs, program_macs
from exactly import captured_network, exactly
from laws import EQUAL, larger_difference, native_difference
from trial_weights import noise, with_trial_weights

aten = torch.ops.aten


class UNet(nn.Module):
    """Down twice, up twice, with skip connections, pooled to a few classes."""

    def __init__(self, axes: int, head: str, mode: str = "nearest") -> None:
        super().__init__()
        conv, self.head, self.mode = getattr(nn, f"Conv{axes}d"), head, mode
        self.first = conv(2, 4, 3, padding=1)
        self.down1 = conv(4, 5, 3, stride=2, padding=1)
        self.down2 = conv(5, 6, 2, stride=2)
        self.bottom = conv(6, 5, 3, padding=1)
        self.up1 = conv(10, 4, 3, padding=1)
        self.up2 = conv(8, 4, 3, padding=1)
        self.last = nn.Linear(4 if head == "mean" else 4 * 4**axes, 3)

    def forward(self, x: Tensor) -> Tensor:
        first = torch.tanh(self.first(x))
        half = torch.tanh(self.down1(first))
        quarter = torch.tanh(self.bottom(torch.tanh(self.down2(half))))
        up = torch.tanh(self.up1(torch.cat([F.interpolate(quarter, scale_factor=2, mode=self.mode), half], 1)))
        up = torch.tanh(self.up2(torch.cat([F.interpolate(up, size=first.shape[2:], mode=self.mode), first], 1)))
        if self.head == "mean":
            return self.last(up.pow(2).mean(tuple(range(2, x.ndim))))
        pooled = (F.max_pool1d if x.ndim == 3 else F.max_pool2d)(up, 5, 5)
        return self.last(pooled.flatten(1))


class Mixed(nn.Module):
    """Unequal factors per axis, no padding, a stride behind the upsampling, and slices of it."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(2, 4, 3, stride=(2, 3))
        self.between = nn.Conv2d(4, 3, 2)
        self.behind = nn.Conv2d(3, 3, (3, 2), stride=2, padding=(1, 0))
        self.head = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.interpolate(self.between(torch.tanh(self.down(x))), scale_factor=(2, 3))
        x = torch.tanh(self.behind(x[:, :, 1:, :-1]))
        return self.head(F.avg_pool2d(x, 2, 2, ceil_mode=True).amax((2, 3)))


class Cube(nn.Module):
    """Three axes."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.behind = nn.Conv3d(2, 3, 2, stride=2), nn.Conv3d(3, 3, 2)
        self.head = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.interpolate(torch.tanh(self.down(x)), scale_factor=2, mode="nearest-exact")
        return self.head(torch.tanh(self.behind(x)).mean((2, 3, 4)))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "signal": (lambda: UNet(1, "mean"), (44,)),
    "signal, flat head": (lambda: UNet(1, "flat"), (20,)),
    "image": (lambda: UNet(2, "mean"), (36, 40)),
    "image, flat head": (lambda: UNet(2, "flat", "nearest-exact"), (20, 20)),
    "mixed": (Mixed, (17, 20)),
    "cube": (Cube, (8, 8, 8)),
}
STRIDES = (1, 2, 3, 4, 5, 8)
"""The networks' own is 2, 4 or 6: divisors, equal, multiples and numbers prime to it."""


def trial(name: str) -> tuple[nn.Module, tuple[int, ...]]:
    make, window = NETWORKS[name]
    torch.manual_seed(0)
    return with_trial_weights(make(), 2, window), window


def pixels(window: tuple[int, ...], stride: int) -> Tensor:
    """An image for a few windows in an odd number per axis."""
    counts = {1: (9,), 2: (5, 3), 3: (3, 2, 2)}[len(window)]
    return noise((1, 2, *(n + (c - 1) * stride + 1 for n, c in zip(window, counts, strict=True))), 5)[0]


@pytest.mark.parametrize("memory", [1.0, 0.4])
@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("name", NETWORKS)
def test_scores_are_the_crops(name: str, stride: int, memory: float) -> None:
    module, window = trial(name)
    image, strides = pixels(window, stride), (stride,) * len(window)
    expected = oracle.crops(module, image, window, strides)
    found = exactly(module, image, window, strides, memory=memory)
    assert found.shares or stride > 4 or memory < 1  # a few small windows far apart may share nothing
    assert len(found.batches.rectangles) > 1 or memory == 1
    assert oracle.relative_difference(found.scores, expected) <= EQUAL


@pytest.mark.parametrize("name", ["signal", "image", "mixed", "cube"])
def test_calls_behind_it_are_shared(name: str) -> None:
    module, window = trial(name)
    network = captured_network(module, window, 2)
    counts, stride = (6,) * len(window), (2,) * len(window)
    shared = [step.node for step in build(network, counts, stride).steps]
    at = next(index for index, node in enumerate(shared) if "upsample_nearest" in str(node.target))
    assert any("conv" in str(node.target) for node in shared[at:])
    grid = WindowGrid(tuple(n + 10 for n in window), window, stride)
    assert exact_macs(network, grid) == program_macs(build(network, counts, stride))
    alone = grid.total * exact_macs(network, WindowGrid(window, window, stride))
    assert exact_macs(network, grid) < (0.6 if name == "image" else 0.9) * alone


def test_the_network_s_stride_is_that_at_which_windows_are_alike() -> None:
    module, window = trial("image")
    known = records(captured_network(module, window, 2))
    assert known.network_stride == (4, 4)
    for (low, high), n in zip(known.receptive_field, window, strict=True):
        assert low <= 0
        assert high >= n
    grown = records(captured_network(trial("mixed")[0], (17, 20), 2))
    assert grown.network_stride == (4, 12)  # behind the upsampling two more strides of 2: jump 4, and 3 with 4


def test_all_that_users_ask_for_works() -> None:
    module, window = trial("image")
    image = noise((1, 2, 72, 80), 6)[0]
    found = ew.scan(module, image, window=window)
    assert found.stride == (4, 4)
    expected = oracle.crops(module, image, window, (4, 4))
    assert oracle.relative_difference(found.scores, expected) <= EQUAL
    cost = ew.cost(ew.Classifier(module, window=window, channels=2), image_size=(72, 80), stride=4)
    assert cost.macs["fcn"] < cost.macs["exact"] < 0.6 * cost.macs["crops"]


@pytest.mark.parametrize("name", NETWORKS)
def test_one_pass_is_the_original_at_the_window_s_size_and_the_crops_where_proved(name: str) -> None:
    module, window = trial(name)
    converted = ew.convolutionalize(module, window=window, channels=2).eval()
    assert native_difference(module, converted, window, 2) <= EQUAL
    assert converted.verdict.exact == (name == "cube")  # the others pad
    stride = converted.geometry.stride
    difference = larger_difference(module, converted, pixels(window, stride[0]), window, stride)
    assert (difference <= EQUAL) == converted.verdict.exact


@pytest.mark.parametrize("name", NETWORKS)
def test_one_pass_is_refused_between_the_positions_of_the_map(name: str) -> None:
    module, window = trial(name)
    with pytest.raises(ew.ConversionError, match=r"unless the stride is a multiple of \d+") as refused:
        ew.convolutionalize(module, window=window, channels=2, stride=1)
    assert "mode='exact'" in str(refused.value)


class Up(nn.Module):
    """Upsampling of the halved map, as told."""

    def __init__(self, **how: Any) -> None:
        super().__init__()
        self.how = how
        self.down, self.head = nn.Conv2d(1, 4, 2, stride=2), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(F.interpolate(self.down(x), **self.how)).mean((2, 3)))


@pytest.mark.parametrize(
    ("how", "shared"),
    [
        ({"scale_factor": 2}, True),
        ({"scale_factor": (1.0, 2.0)}, True),
        ({"size": (16, 8)}, True),
        ({"scale_factor": 2, "mode": "nearest-exact"}, True),
        ({"scale_factor": 2.05}, False),  # 16 positions, but not by a factor of 2
        ({"scale_factor": 1.5}, False),
        ({"size": (12, 16)}, False),
        ({"size": (4, 4)}, False),
        ({"scale_factor": 4}, False),  # half a pixel apart
        ({"scale_factor": 2, "mode": "bilinear"}, True),
        ({"scale_factor": 2, "mode": "bilinear", "align_corners": True}, False),
        ({"scale_factor": 2.05, "mode": "bilinear"}, False),
        ({"scale_factor": 1.5, "mode": "bilinear"}, False),
        ({"size": (12, 16), "mode": "bilinear"}, False),
        ({"size": (16, 8), "mode": "bilinear"}, True),
        ({"scale_factor": 4, "mode": "bilinear"}, False),
        ({"scale_factor": 2, "mode": "bicubic"}, False),
    ],
)
def test_only_whole_factors_are_shared(how: dict[str, Any], shared: bool) -> None:
    module = with_trial_weights(Up(**how), 1, (16, 16))
    network = captured(module, (16, 16), 1)
    steps = {str(step.node.target) for step in build(network, (4, 4), (2, 2)).steps}
    assert any("upsample" in step for step in steps) == shared
    image = noise((1, 1, 25, 22), 1)[0]
    expected = oracle.crops(module, image, (16, 16), (2, 3))
    found = exactly(module, image, (16, 16), (2, 3))
    assert oracle.relative_difference(found.scores, expected) <= EQUAL
    if shared:
        assert native_difference(module, ew.convolutionalize(module, window=16).eval(), (16, 16), 1) <= EQUAL


@pytest.mark.parametrize("factor", [2, 3, 5, 7, 16, 40, 41, 47, 55])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_factors_that_are_shared_copy_evenly(factor: int, dtype: torch.dtype, memory: torch.memory_format) -> None:
    """ATen's rounding makes some factors uneven, in one precision or order of the memory, or in all."""
    for target in (aten.upsample_nearest2d.vec, aten._upsample_nearest_exact2d.vec):
        settings = (None, (float(factor), 1.0))
        if not upsample.copies(target, (64, 3), (64 * factor, 3), settings):
            assert factor > 40
            continue
        x = torch.arange(64 * 3 * 4, dtype=dtype).reshape(1, 4, 64, 3).contiguous(memory_format=memory)
        assert torch.equal(target(x, *settings), x.repeat_interleave(factor, 2))
