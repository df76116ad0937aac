"""Reflect, replicate and circular padding: shared in mode exact, one pass near the crops, tiles equal to the whole."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

import everywindow as ew
import oracle
from everywindow.convert import FullyConvolutional
from everywindow.costing import crops_macs
from everywindow.engines.fcn import run_fcn
from everywindow.errors import InputError
from everywindow.geometry import Border, Tile, WindowGrid
from everywindow.ops.copies import pad_with_copies
from everywindow.sharing import build, exact_macs
from exactly import PLENTY, captured_network, exactly
from laws import EQUAL, larger_difference, native_difference
from random_networks import COPYING, Example, Pad, image_sizes, networks, scan_strides
from test_random_networks import drawn
from trial_weights import noise, tells_windows_apart, with_trial_weights

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same'")

aten = torch.ops.aten

STRIDES = (1, 2, 3, 4, 5, 8)
"""The networks' own is 4: divisors, equal, a multiple and numbers prime to it."""

WINDOWS = {1: (26,), 2: (17, 18), 3: (9, 8, 10)}
SIDES = ((1, 2), (2, -1), (0, 1))
"""Positions before and after; negative ones are cut off."""


def padded(mode: str, sides: Sequence[int], axes: int = 2) -> nn.Module:
    """Padding by itself and as a convolution's, before and behind strides."""
    conv = getattr(nn, f"Conv{axes}d")
    layers = [
        *(Pad([*sides] * axes, mode=mode), conv(2, 4, 3), nn.Tanh()),
        *(conv(4, 4, 3, stride=2, padding=1, padding_mode=mode), nn.Tanh()),
        *(Pad([*sides[::-1]] * axes, mode=mode), conv(4, 3, 3, stride=2), nn.Tanh()),
        *(conv(3, 3, 2, padding="same", padding_mode=mode), nn.Tanh(), nn.Flatten()),
    ]
    net = nn.Sequential(*layers).double()
    with torch.no_grad():
        features = net(torch.zeros(1, 2, *WINDOWS[axes], dtype=torch.float64)).shape[1]
    return with_trial_weights(net.append(nn.Linear(features, 3)), 2, WINDOWS[axes])


def image_for(window: Sequence[int], stride: int) -> Tensor:
    more = 1 if len(window) == 3 else 3
    return noise((1, 2, *(n + more * stride + min(1, stride - 1) for n in window)), 3)[0]


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("sides", SIDES, ids=str)
@pytest.mark.parametrize("mode", COPYING)
def test_both_modes_at_every_stride(mode: str, sides: Sequence[int], axes: int) -> None:
    net, window = padded(mode, sides, axes), WINDOWS[axes]
    differs = []
    for step in STRIDES:
        stride, image = (step,) * axes, image_for(window, step)
        found = exactly(net, image, window, stride)
        assert found.shares
        assert oracle.relative_difference(found.scores, oracle.crops(net, image, window, stride)) <= EQUAL, step
        converted = ew.convolutionalize(net, window=window, stride=stride, channels=2).eval()
        assert native_difference(net, converted, window, 2) <= EQUAL, step
        differs.append(larger_difference(net, converted, image, window, stride))
        assert f"{mode} padding ({sides[0]}, {sides[1]})" in converted.verdict.summary(9)
        assert f"3 ({mode} padding (1, 1))" in converted.verdict.summary(9)
    assert max(differs) > 1e-3


@pytest.mark.parametrize("mode", COPYING)
def test_the_source_of_every_position_is_that_of_torch(mode: str) -> None:
    compared = 0
    for n in range(1, 8):
        for low in range(-n, n + 2):
            for high in range(-n, n + 2):
                border = Border(mode, low, high)
                if not border.fits(n):
                    continue
                made = F.pad(torch.arange(float(n)).reshape(1, 1, n), (low, high), mode).flatten()
                assert border.sources(n).tolist() == made.tolist(), (n, low, high)
                compared += 1
    assert compared > 250


@pytest.mark.parametrize("mode", COPYING)
@pytest.mark.parametrize("sides", [(0, 3), (2, 1), (-2, 3), (3, -1), (-1, -1)])
@pytest.mark.parametrize("dilation", [1, 2, 3])
def test_on_a_dilated_map_each_phase_is_padded_by_itself(mode: str, sides: Sequence[int], dilation: int) -> None:
    x = noise((2, 3, 7 * dilation - (dilation > 1), 2), seed=1)
    made = pad_with_copies(x, [(2, *sides, dilation)], mode)
    for phase in range(dilation):
        own = x[:, :, phase::dilation].transpose(2, 3).flatten(0, 1)
        expected = F.pad(own, sides, mode).reshape(2, 3, 2, -1).transpose(2, 3)
        assert torch.equal(made[:, :, phase::dilation], expected)


@pytest.mark.parametrize("sides", SIDES, ids=str)
@pytest.mark.parametrize("mode", COPYING)
def test_a_finer_stride_is_the_network_s_own_shifted_and_stitched(mode: str, sides: Sequence[int]) -> None:
    """So it is where all strides come before the padding: each phase of the map has its own border."""
    layers = [nn.Conv2d(2, 4, 3, stride=2), nn.Tanh(), nn.AvgPool2d(2), Pad([*sides] * 2, mode=mode), nn.Tanh()]
    layers += [nn.Conv2d(4, 3, 3, padding=(1, 2), padding_mode=mode), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    net, window = with_trial_weights(nn.Sequential(*layers), 2, (17, 19)), (17, 19)
    coarse, fine = (ew.convolutionalize(net, window=window, stride=step, channels=2).eval() for step in (4, (1, 2)))
    image = noise((1, 2, 34, 39), 3)[0]
    with torch.no_grad():
        expected = oracle.shift_and_stitch(coarse, image, window, (4, 4), (1, 2))
        assert oracle.relative_difference(fine(image.unsqueeze(0))[0], expected) <= EQUAL


@pytest.mark.parametrize("mode", COPYING)
def test_the_map_keeps_its_order_in_memory(mode: str) -> None:
    x = noise((1, 3, 6, 7), seed=1).contiguous(memory_format=torch.channels_last)
    made = pad_with_copies(x, [(2, 1, 2, 1), (3, 0, 1, 2)], mode)
    assert made.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(made, pad_with_copies(x.contiguous(), [(2, 1, 2, 1), (3, 0, 1, 2)], mode))


def test_phases_too_short_to_be_padded_do_no_harm() -> None:
    for mode in COPYING:
        for length in range(1, 9):
            made = pad_with_copies(noise((1, 1, length), seed=1), [(2, 2, 2, 4)], mode)
            assert made.shape == (1, 1, length + 16)


class Overloads(nn.Module):
    """The overloads that have a mode of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(2, 3, 3), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.first(aten.reflection_pad2d(x, [1, 1, 0, 2])))
        x = aten._pad_circular(aten.replication_pad2d(x, [0, 1, 2, 0]), [1, 0, 0, 1])
        rows = aten.reflection_pad1d(aten.replication_pad1d(x.mean(2), [1, 0]), [0, 2])
        return self.last(rows.pow(2).mean(2))


def test_overloads_that_have_one_mode_each() -> None:
    net = with_trial_weights(Overloads(), 2, (12, 11))
    image = noise((1, 2, 21, 19), 3)[0]
    names = {str(node.target) for node in captured_network(net, (12, 11), 2).graph.nodes}
    assert {"aten.reflection_pad2d.default", "aten.replication_pad1d.default"} <= names
    expected = oracle.crops(net, image, (12, 11), (2, 3))
    assert oracle.relative_difference(exactly(net, image, (12, 11), (2, 3)).scores, expected) <= EQUAL
    converted = ew.convolutionalize(net, window=(12, 11), channels=2).eval()
    assert native_difference(net, converted, (12, 11), 2) <= EQUAL


@pytest.mark.parametrize("mode", COPYING)
def test_a_pixel_outside_moves_no_score(mode: str) -> None:
    net, image, size = padded(mode, (1, 2)), noise((1, 2, 33, 34), 3)[0], WINDOWS[2]
    before = exactly(net, image, size, (4, 4)).scores
    for row in (7, 25):  # window (2, 2) has rows 8 to 24
        changed = image.clone()
        changed[:, row, 8:26] += 100
        after = exactly(net, changed, size, (4, 4)).scores
        assert torch.allclose(after[:, 2, 2], before[:, 2, 2], rtol=1e-12)
        changed[:, min(max(row, 8), 24), 8:26] += 100
        assert not torch.allclose(exactly(net, changed, size, (4, 4)).scores[:, 2, 2], before[:, 2, 2], rtol=1e-6)


@pytest.mark.parametrize("mode", COPYING)
def test_sharing_goes_on_behind_the_padding(mode: str) -> None:
    window, conv = (32, 32), {"padding": 1, "padding_mode": mode}
    layers = [nn.Conv2d(2, 4, 3, **conv), nn.ReLU(), nn.Conv2d(4, 4, 3, **conv), nn.ReLU(), nn.MaxPool2d(4)]
    net = with_trial_weights(nn.Sequential(*layers, nn.Flatten(), nn.Linear(256, 3)), 2, window)
    network, grid = captured_network(net, window, 2), WindowGrid((64, 64), window, (4, 4))
    ends = build(network, grid.counts, grid.stride).ends
    assert ends is not None
    assert ends.reason.layer == "5"  # flatten
    assert exact_macs(network, grid) < 0.3 * crops_macs(network, grid)


def test_what_is_cut_off_again_leaves_one_pass_exact() -> None:
    for mode in COPYING:
        net = nn.Sequential(Pad([2, 1, 1, 1], mode=mode), Pad([-2, -1, -1, -1], mode=mode), nn.Conv2d(2, 3, 9))
        net = with_trial_weights(net.append(nn.Flatten()), 2, (9, 9))
        converted = ew.convolutionalize(net, window=9, channels=2).eval()
        assert converted.verdict.exact
        assert larger_difference(net, converted, noise((1, 2, 13, 12), 1)[0], (9, 9), (1, 1)) <= EQUAL


def test_padding_wider_than_what_is_left_to_copy_runs_per_window() -> None:
    net = nn.Sequential(Pad([3, -6], mode="replicate"), Pad([-8, 6], mode="replicate"), nn.Conv1d(2, 3, 2))
    net = with_trial_weights(net.append(nn.Flatten()).append(nn.Linear(9, 3)), 2, (9,))
    image = noise((1, 2, 20), 1)[0]
    expected = oracle.crops(net, image, (9,), (1,))
    assert oracle.relative_difference(exactly(net, image, (9,), (1,)).scores, expected) <= EQUAL
    with pytest.raises(ew.ConversionError, match="of 6 positions"):
        ew.convolutionalize(net, window=9, channels=2)


def tiled(net: nn.Module, fcn: FullyConvolutional, image: Tensor, limit: int) -> tuple[Tensor, list[Tile]]:
    scores, tiles, _ = run_fcn(fcn, net, image, limit=limit, progress=False)
    return scores, tiles


def most_tiles(net: nn.Module, fcn: FullyConvolutional, image: Tensor) -> tuple[Tensor, list[Tile]]:
    """The map in as many tiles as the memory can ask for."""
    limit = 1000
    while True:
        try:
            return tiled(net, fcn, image, limit)
        except InputError:
            limit = limit * 5 // 4


@pytest.mark.parametrize("stride", [1, 3, 4])
@pytest.mark.parametrize("sides", SIDES, ids=str)
@pytest.mark.parametrize("mode", COPYING)
def test_tiles_give_the_map_of_the_whole(mode: str, sides: Sequence[int], stride: int) -> None:
    net, image = padded(mode, sides), noise((1, 2, 51, 46), 3)[0]
    fcn = ew.convolutionalize(net, window=WINDOWS[2], stride=stride, channels=2).eval()
    whole, one = tiled(net, fcn, image, PLENTY)
    assert len(one) == 1
    scores, tiles = most_tiles(net, fcn, image)
    assert (len(tiles) == 1) == (mode == "circular")  # each end of the map sees the other
    assert torch.allclose(scores, whole, rtol=0, atol=1e-12)


def test_only_the_axis_that_wraps_is_never_cut() -> None:
    pads = [Pad([2, 1, 0, 0], mode="circular"), Pad([0, 0, 1, 2], mode="reflect")]
    net = nn.Sequential(*pads, nn.Conv2d(2, 3, 4), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3))
    net, image = with_trial_weights(net, 2, (9, 8)), noise((1, 2, 60, 41), 3)[0]
    fcn = ew.convolutionalize(net, window=(9, 8), channels=2).eval()
    scores, tiles = most_tiles(net, fcn, image)
    assert len(tiles) > 2
    assert {tile.pixels[1] for tile in tiles} == {(0, 41)}
    assert torch.allclose(scores, tiled(net, fcn, image, PLENTY)[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("sides", [([0, -5], [0, 2]), ([-5, 0], [2, 0]), ([-3, -4], [2, 3])])
@pytest.mark.parametrize("mode", ["constant", *COPYING])
def test_tiles_of_what_is_cut_off_and_padded_again(mode: str, sides: tuple[list[int], list[int]]) -> None:
    """In the whole image the padding's place is taken by pixels inside the window, so a tile must go on that far."""
    layers = [nn.Conv1d(2, 3, 3), nn.Tanh(), Pad(sides[0]), Pad(sides[1], mode=mode), nn.Conv1d(3, 3, 2), nn.Tanh()]
    net = nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(3, 3))
    net, image = with_trial_weights(net, 2, (16,)), noise((1, 2, 90), 3)[0]
    fcn = ew.convolutionalize(net, window=16, channels=2).eval()
    scores, tiles = most_tiles(net, fcn, image)
    assert len(tiles) > 2 or mode == "circular"
    assert torch.allclose(scores, tiled(net, fcn, image, PLENTY)[0], rtol=0, atol=1e-12)


def test_tiles_of_any_network_give_the_map_of_the_whole() -> None:
    numbers = []

    @drawn(60)
    @given(data=st.data(), example=networks(padded=True))
    def check(data: st.DataObject, example: Example) -> None:
        net, stride = example.module, data.draw(scan_strides(example)) or example.strides
        fcn = ew.convolutionalize(net, window=example.window, stride=stride, channels=example.channels).eval()
        size = [n + 6 * step for n, step in zip(data.draw(image_sizes(example, stride)), stride, strict=True)]
        image = noise((1, example.channels, *size), example.seed)[0]
        (whole, _), (scores, tiles) = tiled(net, fcn, image, PLENTY), most_tiles(net, fcn, image)
        if tells_windows_apart(whole.flatten(1)):
            assert oracle.relative_difference(scores, whole) <= EQUAL
            numbers.append(len(tiles))

    check()
    assert sum(number > 1 for number in numbers) > 20


@pytest.mark.parametrize("mode", COPYING)
def test_it_trains(mode: str) -> None:
    net = padded(mode, (1, 2))
    fcn = ew.convolutionalize(net, window=WINDOWS[2], stride=1, channels=2)
    image = noise((1, 2, 20, 21), 1).requires_grad_()
    fcn(image).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in fcn.parameters())
    assert image.grad is not None
    assert bool((image.grad != 0).all())
