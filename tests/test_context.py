"""Whole-window context inside a network: the one pass takes, for each position, that of the window around it."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import everywindow as ew
import oracle
from everywindow.errors import ConversionError
from everywindow.ops import positive_weights
from everywindow.ops.functional import box_max, box_sum
from trial_weights import noise, with_trial_weights

CONTEXT = "each position takes the context of the window around it"


class Gate(nn.Module):
    """Squeeze and excitation with 1×1 convolutions."""

    def __init__(self, channels: int, axes: int = 2) -> None:
        super().__init__()
        kind = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[axes]
        self.dims = tuple(range(2, 2 + axes))
        self.down, self.up = kind(channels, 3, 1), kind(3, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.up(torch.relu(self.down(x.mean(self.dims, keepdim=True)))))


class LinearGate(nn.Module):
    """The same with fully connected layers, and expanded by hand."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.layers = nn.Sequential(nn.Linear(channels, 3), nn.ReLU(), nn.Linear(3, channels), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        batch, channels = x.shape[:2]
        gate = self.layers(self.pool(x).view(batch, channels)).view(batch, channels, 1, 1)
        return x * gate.expand_as(x)


class ChannelConvolution(nn.Module):
    """Efficient channel attention: a convolution over the channels' means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.sigmoid(self.conv(x.mean((2, 3)).view(x.shape[0], 1, -1)))
        return x * gate.view(x.shape[0], -1, 1, 1)


class BothMeans(nn.Module):
    """Channel and spatial attention (CBAM)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = nn.Conv2d(channels, channels, 1)
        self.places = nn.Conv2d(2, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = F.adaptive_avg_pool2d(x, 1), F.adaptive_max_pool2d(x, 1)
        x = x * torch.sigmoid(self.channels(pooled[0]) + self.channels(pooled[1]))
        return x * torch.sigmoid(self.places(torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)))


class Coordinates(nn.Module):
    """A gate for each row and one for each column."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.rows, self.columns = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = self.rows(x.mean(3, keepdim=True)), self.columns(x.mean(2, keepdim=True))
        return x * torch.sigmoid(rows) * torch.sigmoid(columns)


class ResponseNorm(nn.Module):
    """Global response normalisation (ConvNeXt V2), channels last."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels))

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1)
        size = x.norm(p=2, dim=(1, 2), keepdim=True)
        x = x + self.weight * (x * (size / (size.mean(-1, keepdim=True) + 1e-6)))
        return x.permute(0, 3, 1, 2)


class GlobalContext(nn.Module):
    """Global context: the mean over the window's positions, weighted by a softmax, is added to each."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.attend = nn.Conv2d(channels, 1, 1)
        self.transform = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, rows, columns = x.shape
        weights = self.attend(x).reshape(batch, 1, rows * columns).softmax(-1).unsqueeze(3)
        context = x.reshape(batch, channels, rows * columns).unsqueeze(1) @ weights
        return x + self.transform(context.view(batch, channels, 1, 1))


class AttentionPooling(nn.Module):
    """The mean over all positions, weighted by a softmax: an end of the whole window."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.attend = nn.Conv2d(channels, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        weights = torch.softmax(5 * self.attend(x).flatten(1), dim=-1)
        return torch.bmm(x.flatten(2), weights.unsqueeze(2)).squeeze(2)


MIDDLES: dict[str, Callable[[int], nn.Module]] = {
    "squeeze and excitation": Gate,
    "linear squeeze and excitation": LinearGate,
    "efficient channel attention": ChannelConvolution,
    "CBAM": BothMeans,
    "coordinate attention": Coordinates,
    "global response norm": ResponseNorm,
    "global context": GlobalContext,
    "group norm": lambda channels: nn.GroupNorm(2, channels),
    "layer norm over all": lambda channels: nn.GroupNorm(1, channels),
    "instance norm": lambda channels: nn.InstanceNorm2d(channels, affine=True),
    "twice": lambda channels: nn.Sequential(
        Gate(channels), nn.Conv2d(channels, channels, 1), nn.ReLU(), Gate(channels)
    ),
}


def with_middle(middle: nn.Module) -> nn.Module:
    layers = [nn.Conv2d(2, 8, 3), nn.ReLU(), middle, nn.MaxPool2d(2), nn.Conv2d(8, 8, 3), nn.ReLU()]
    return with_trial_weights(
        nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)), 2, (20, 20)
    )


@pytest.mark.parametrize("name", MIDDLES)
def test_at_the_window_s_size_it_is_the_original(name: str) -> None:
    net = with_middle(MIDDLES[name](8))
    image = noise((2, 2, 20, 20), seed=3)
    for stride in (None, 1, 3):
        fcn = ew.convolutionalize(net, window=20, stride=stride)
        assert torch.allclose(fcn(image)[..., 0, 0], net(image), rtol=1e-10, atol=1e-12)
    assert not fcn.verdict.exact
    assert CONTEXT in {reason.why for reason in fcn.verdict.reasons}


@pytest.mark.parametrize("name", MIDDLES)
def test_windows_differ_from_the_crops_and_exact_does_not(name: str) -> None:
    net = with_middle(MIDDLES[name](8))
    image = noise((1, 2, 33, 29), seed=5)[0]
    truth = oracle.crops(net, image, (20, 20), (2, 2))
    spread = float((truth.flatten(1).amax(1) - truth.flatten(1).amin(1)).max())
    one_pass = ew.scan(net, image, window=20, stride=2, mode="fcn", progress=False)
    assert 1e-4 < float((one_pass.scores - truth).abs().max()) / spread < 1.5  # near, and not the same
    assert not one_pass.verdict.exact
    exact = ew.scan(net, image, window=20, stride=2, progress=False)
    assert float((exact.scores - truth).abs().max()) / spread < 1e-10


@pytest.mark.parametrize("axes", [1, 3])
def test_any_number_of_axes(axes: int) -> None:
    kind = {1: nn.Conv1d, 3: nn.Conv3d}[axes]
    pool = {1: nn.AdaptiveAvgPool1d, 3: nn.AdaptiveAvgPool3d}[axes]
    net = nn.Sequential(kind(2, 4, 3), Gate(4, axes), nn.ReLU(), pool(1), nn.Flatten(), nn.Linear(4, 3)).double()
    image = noise((2, 2, *[9] * axes), seed=3)
    fcn = ew.convolutionalize(net, window=9)
    assert torch.allclose(fcn(image).flatten(2)[..., 0], net(image), rtol=1e-10)
    assert fcn(noise((1, 2, *[12] * axes), seed=1)).shape == (1, 3, *[4] * axes)


def test_against_windows_cut_from_the_map_by_hand() -> None:
    conv, gate, last = nn.Conv2d(2, 5, 3).double(), Gate(5).double(), nn.Linear(5, 3).double()
    net = nn.Sequential(conv, gate, nn.AdaptiveAvgPool2d(1), nn.Flatten(), last)
    image = noise((1, 2, 13, 11), seed=1)
    fcn = ew.convolutionalize(net, window=8)
    here = conv(image)  # a window has 6×6 positions of it
    gated = torch.empty_like(here)
    rows, columns = here.shape[2:]
    for y in range(rows):
        for x in range(columns):
            top, left = min(max(y - 2, 0), rows - 6), min(max(x - 2, 0), columns - 6)
            around = here[:, :, top : top + 6, left : left + 6]
            ratio = gate(around)[:, :, y - top, x - left] / around[:, :, y - top, x - left]
            gated[:, :, y, x] = here[:, :, y, x] * ratio
    for y in range(6):
        for x in range(4):
            expected = last(gated[:, :, y : y + 6, x : x + 6].mean((2, 3)))
            assert torch.allclose(fcn(image)[:, :, y, x], expected, rtol=1e-9)


@pytest.mark.parametrize("stride", [2, 1])
def test_attention_pooling_is_the_crops_own_where_nothing_pads(stride: int) -> None:
    net = nn.Sequential(nn.Conv2d(2, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 6, 3), AttentionPooling(6))
    net = with_trial_weights(nn.Sequential(net, nn.Linear(6, 3)), 2, (20, 20))
    image = noise((2, 33, 28), seed=2)
    image[:, 25:, 20:] += 50  # some windows' logits are far above those of others
    fcn = ew.convolutionalize(net, window=20, stride=stride)
    assert fcn.verdict.exact
    expected = oracle.crops(net, image, (20, 20), (stride, stride))
    assert oracle.relative_difference(fcn(image[None])[0].detach(), expected) < 1e-10


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_far_apart_stay_numbers(dtype: torch.dtype) -> None:
    weights = positive_weights(torch.tensor([[[0.0, -5.0, -1e4]], [[1e4, 1e4 - 5, -1e4]]], dtype=dtype))
    assert torch.allclose(weights[:, 0, :2], torch.tensor([1.0, math.exp(-5)], dtype=dtype), rtol=1e-4)
    assert (weights > torch.finfo(dtype).tiny).all()


def test_on_a_finer_grid_the_window_keeps_its_own_positions() -> None:
    pool, gate = nn.MaxPool1d(2), Gate(2, axes=1).double()
    net = nn.Sequential(pool, gate, nn.AdaptiveAvgPool1d(1), nn.Flatten())
    image = noise((1, 2, 13), seed=4)
    fine = F.max_pool1d(image, 2, 1)[0]  # 12 positions, a window of 6 pixels has every second of 5
    gated = torch.empty_like(fine)
    for at in range(12):
        first = min(max(at - 2, at % 2), 7 - (7 - at) % 2)
        around = fine[None, :, first : first + 5 : 2]
        gated[:, at] = fine[:, at] * (gate(around) / around)[0, :, 0]
    expected = torch.stack([gated[:, at : at + 5 : 2].mean(1) for at in range(8)], 1)
    assert torch.allclose(ew.convolutionalize(net, window=6, stride=1)(image)[0], expected, rtol=1e-9)


def test_tiles_give_the_same_map() -> None:
    net = with_middle(Gate(8)).float()
    image = noise((1, 2, 260, 180), seed=2, dtype=torch.float32)[0]
    whole = ew.scan(net, image, window=20, stride=4, mode="fcn", progress=False)
    tiled = ew.scan(net, image, window=20, stride=4, mode="fcn", memory="1MB", progress=False)
    assert tiled.plan.tiles > whole.plan.tiles == 1
    assert torch.allclose(tiled.scores, whole.scores, atol=1e-5)


def test_mult_adds_count_a_gate_at_every_position() -> None:
    net = nn.Sequential(nn.Conv2d(2, 8, 3), Gate(8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))
    macs = ew.cost(ew.Classifier(net, window=10, channels=2), image_size=20, stride=1).macs["fcn"]
    assert macs == 18 * 18 * 8 * 18 + 11 * 11 * 2 * 24 + 11 * 11 * 24


def test_context_of_another_map_is_refused() -> None:
    class Deeper(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(2, 4, 3), nn.Conv2d(4, 4, 3, stride=2)

        def forward(self, x: Tensor) -> Tensor:
            here = self.first(x)
            return (here * self.second(here).mean((2, 3), keepdim=True)).mean((2, 3))

    with pytest.raises(ConversionError, match="a map that it was not made of"):
        ew.convolutionalize(Deeper(), window=12)


def test_it_trains() -> None:
    net = with_middle(nn.Sequential(Gate(8), nn.GroupNorm(2, 8)))
    fcn = ew.convolutionalize(net, window=20)
    fcn(noise((1, 2, 26, 24), seed=1)).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in fcn.parameters())


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 7, 12, 56])
@pytest.mark.parametrize("dilation", [1, 3])
def test_boxes_by_doubling(kernel: int, dilation: int) -> None:
    values = noise((1, 2, dilation * (kernel - 1) + 9), seed=kernel)
    views = values.unfold(2, dilation * (kernel - 1) + 1, 1)[..., ::dilation]
    assert torch.allclose(box_sum(values, 2, kernel, dilation, 1), views.sum(-1), rtol=1e-12)
    assert torch.equal(box_max(values, 2, kernel, dilation, 1), views.amax(-1))
