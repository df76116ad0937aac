"""Patches of a map as features: space to depth in all its spellings, and overlapping patches; in every mode."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import everywindow as ew
import oracle
from everywindow.geometry import WindowGrid
from everywindow.sharing import build, exact_macs
from exactly import captured_network, exactly
from laws import EQUAL, larger_difference, native_difference
from trial_weights import noise, with_trial_weights

Arrange = Callable[[Tensor], Tensor]


class Told(nn.Module):
    """A function as a layer."""

    def __init__(self, how: Arrange) -> None:
        super().__init__()
        self.how = how

    def forward(self, x: Tensor) -> Tensor:
        return self.how(x)


def by_hand(factors: Sequence[int], order: Sequence[int]) -> Arrange:
    """Space to depth by a view, a permutation and a reshape."""

    def arrange(x: Tensor) -> Tensor:
        batch, channels, *size = x.shape
        cut = [part for n, factor in zip(size, factors, strict=True) for part in (n // factor, factor)]
        whole = [n // factor for n, factor in zip(size, factors, strict=True)]
        return x.view(batch, channels, *cut).permute(*order).reshape(batch, -1, *whole)

    return arrange


def channels_last(x: Tensor) -> Tensor:
    """Patches of a map whose channels come last (Swin's merging)."""
    batch, channels, rows, columns = x.shape
    x = x.permute(0, 2, 3, 1).reshape(batch, rows // 2, 2, columns // 2, 2, channels)
    return x.permute(0, 1, 3, 4, 2, 5).flatten(3).permute(0, 3, 1, 2)


SIDE_BY_SIDE: dict[str, tuple[Arrange, tuple[int, ...]]] = {
    "pixel_unshuffle": (lambda x: F.pixel_unshuffle(x, 2), (2, 2)),
    "pixel_unshuffle by 3": (lambda x: F.pixel_unshuffle(x, 3), (3, 3)),
    "as tresnet": (by_hand((2, 2), (0, 3, 5, 1, 2, 4)), (2, 2)),
    "as pixel_unshuffle": (by_hand((2, 2), (0, 1, 3, 5, 2, 4)), (2, 2)),
    "columns of a patch first": (by_hand((2, 2), (0, 5, 1, 3, 2, 4)), (2, 2)),
    "unequal": (by_hand((2, 3), (0, 3, 5, 1, 2, 4)), (2, 3)),
    "rows alone": (lambda x: x.unflatten(2, (-1, 2)).transpose(2, 3).flatten(1, 2), (2, 1)),
    "channels last": (channels_last, (2, 2)),
    "signal": (by_hand((4,), (0, 3, 1, 2)), (4,)),
    "signal, channels first": (by_hand((3,), (0, 1, 3, 2)), (3,)),
    "volume": (by_hand((2, 2, 2), (0, 3, 5, 7, 1, 2, 4, 6)), (2, 2, 2)),
    "volume, unequal": (by_hand((2, 1, 3), (0, 1, 3, 5, 7, 2, 4, 6)), (2, 1, 3)),
}
"""By name: the layer, and its factors."""

PLACES = ("at once", "strided", "padded")
"""The layer comes first, or behind a convolution of stride 2 that pads or not."""

WINDOWS = {1: (48,), 2: (36, 24), 3: (12, 12, 12)}


class Patched(nn.Module):
    """A layer in its place, a convolution and a head."""

    def __init__(self, how: Arrange, axes: int, channels: int, place: str) -> None:
        super().__init__()
        conv = getattr(nn, f"Conv{axes}d")
        self.first: nn.Module = nn.Identity()
        if place == "padded":
            self.first = nn.Sequential(conv(2, 2, 3, stride=2, padding=1), nn.Tanh())
        if place == "strided":
            self.first = nn.Sequential(conv(2, 2, 2, stride=2), nn.Tanh())
        self.patches = Told(how)
        self.last, self.head = conv(channels, 3, 2), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.last(self.patches(self.first(x)))).pow(2).mean(tuple(range(2, x.ndim))))


def trial(name: str, place: str) -> tuple[nn.Module, tuple[int, ...], tuple[int, ...]]:
    """Network, window and the network's stride."""
    how, factors = SIDE_BY_SIDE[name]
    channels = 2
    for factor in factors:
        channels *= factor
    axes = len(factors)
    module = with_trial_weights(Patched(how, axes, channels, place), 2, WINDOWS[axes])
    return module, WINDOWS[axes], tuple(factor * (1 if place == "at once" else 2) for factor in factors)


def pixels(window: Sequence[int], stride: Sequence[int], seed: int = 5) -> Tensor:
    """An image for a few windows, and an odd number of pixels more."""
    counts = {1: (9,), 2: (5, 4), 3: (3, 2, 3)}[len(window)]
    size = [n + (c - 1) * s + min(s - 1, 1) for n, c, s in zip(window, counts, stride, strict=True)]
    return noise((1, 2, *size), seed)[0]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", SIDE_BY_SIDE)
def test_exact_is_the_crops_at_any_stride(name: str, place: str) -> None:
    module, window, network = trial(name, place)
    for stride in (network, tuple(step + 1 for step in network), (1,) * len(network), tuple(2 * n for n in network)):
        image = pixels(window, stride)
        expected = oracle.crops(module, image, window, stride)
        found = exactly(module, image, window, stride)
        assert oracle.relative_difference(found.scores, expected) <= EQUAL, stride
        assert found.shares or stride != network


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", SIDE_BY_SIDE)
def test_exact_shares_behind_them(name: str, place: str) -> None:
    module, window, stride = trial(name, place)
    network = captured_network(module, window, 2)
    grid = WindowGrid(tuple(n + 8 * step for n, step in zip(window, stride, strict=True)), window, stride)
    assert "last" in {str(step.node.meta["layer"]) for step in build(network, grid.counts, stride).steps}
    assert exact_macs(network, grid) < 0.9 * grid.total * exact_macs(network, WindowGrid(window, window, stride))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", SIDE_BY_SIDE)
def test_one_pass_at_any_stride(name: str, place: str) -> None:
    module, window, network = trial(name, place)
    for stride in (network, tuple(step + 1 for step in network), (1,) * len(network), tuple(2 * n for n in network)):
        fcn = ew.convolutionalize(module, window=window, channels=2, stride=stride).eval()
        assert fcn.geometry.network_stride == network
        assert native_difference(module, fcn, window, 2) <= EQUAL
        assert fcn.verdict.exact == (place != "padded")
        difference = larger_difference(module, fcn, pixels(window, stride), window, stride)
        assert (difference <= EQUAL) == fcn.verdict.exact, stride


def test_mult_adds_and_single_precision() -> None:
    module, window, stride = trial("as tresnet", "padded")
    image = pixels(window, stride).float()
    cost = ew.cost(ew.Classifier(module, window=window, channels=2), image_size=tuple(image.shape[1:]))
    assert cost.macs["fcn"] < cost.macs["exact"] < cost.macs["crops"]
    single = module.float()
    expected = oracle.crops(single, image, window, stride)
    found = exactly(single, image, window, stride).scores
    assert oracle.relative_difference(found, expected) <= oracle.TOLERANCE[torch.float32]


class Overlapping(nn.Module):
    """Patches that overlap, reduced by their mean or by a fully connected layer over each."""

    def __init__(self, axes: int, size: int, step: int, how: str, padding: int = 0) -> None:
        super().__init__()
        conv = getattr(nn, f"Conv{axes}d")
        self.first = conv(2, 4, 3, stride=2, padding=padding)
        self.size, self.step, self.how, self.axes = size, step, how, axes
        self.over, self.head = nn.Linear(size**axes, 2), nn.Linear(8 if how == "linear" else 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.first(x))
        for dim in range(2, 2 + self.axes):
            x = x.unfold(dim, self.size, self.step)
        if self.how == "mean":
            x = torch.tanh(x.mean(tuple(range(2 + self.axes, x.ndim))))
        elif self.how == "maximum":
            x = x.amax(tuple(range(2 + self.axes, x.ndim)))
        else:
            x = torch.tanh(self.over(x.flatten(2 + self.axes))).movedim(-1, 2).flatten(1, 2)
        return self.head(x.pow(2).mean(tuple(range(2, x.ndim))))


@pytest.mark.parametrize("how", ["mean", "maximum", "linear"])
@pytest.mark.parametrize(("size", "step"), [(3, 1), (3, 2), (2, 3), (2, 2)])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_overlapping_patches(axes: int, size: int, step: int, how: str) -> None:
    window = {1: (33,), 2: (25, 20), 3: (13, 13, 15)}[axes]
    module = with_trial_weights(Overlapping(axes, size, step, how), 2, window)
    network = (2 * step,) * axes
    for stride in (network, (1,) * axes, (2 * step + 1,) * axes):
        image = pixels(window, stride)
        expected = oracle.crops(module, image, window, stride)
        found = exactly(module, image, window, stride)
        assert oracle.relative_difference(found.scores, expected) <= EQUAL, stride
        fcn = ew.convolutionalize(module, window=window, channels=2, stride=stride).eval()
        assert fcn.geometry.network_stride == network
        assert fcn.verdict.exact
        assert native_difference(module, fcn, window, 2) <= EQUAL
        assert larger_difference(module, fcn, image, window, stride) <= EQUAL, stride
    captured = captured_network(module, window, 2)
    shared = [str(one.node.target) for one in build(captured, (5,) * axes, network).steps]
    assert sum("unfold" in target for target in shared) == axes
    assert shared[-1] != "aten.unfold.default"


@pytest.mark.parametrize("axes", [1, 2])
def test_overlapping_patches_of_a_padded_map(axes: int) -> None:
    window = {1: (32,), 2: (24, 20)}[axes]
    module = with_trial_weights(Overlapping(axes, 3, 2, "linear", padding=1), 2, window)
    for step in (2, 3, 4):
        image = pixels(window, (step,) * axes)
        expected = oracle.crops(module, image, window, (step,) * axes)
        found = exactly(module, image, window, (step,) * axes).scores
        assert oracle.relative_difference(found, expected) <= EQUAL, step
    fcn = ew.convolutionalize(module, window=window, channels=2).eval()
    assert not fcn.verdict.exact
    assert fcn.verdict.reasons[0].layer == "first"
    assert native_difference(module, fcn, window, 2) <= EQUAL


def test_a_patch_that_is_the_whole_window() -> None:
    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.head = nn.Conv1d(2, 4, 3, stride=2), nn.Linear(4 * 8, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(torch.tanh(self.first(x)).unfold(2, 8, 1).flatten(1))

    module = with_trial_weights(Whole(), 2, (17,))
    image = noise((1, 2, 40), 1)[0]
    for step in (1, 2, 5):
        expected = oracle.crops(module, image, (17,), (step,))
        assert oracle.relative_difference(exactly(module, image, (17,), (step,)).scores, expected) <= EQUAL
        fcn = ew.convolutionalize(module, window=17, channels=2, stride=step).eval()
        assert native_difference(module, fcn, (17,), 2) <= EQUAL
        assert larger_difference(module, fcn, image, (17,), (step,)) <= EQUAL


@pytest.mark.parametrize("place", PLACES)
def test_images_that_are_no_multiple_of_a_patch(place: str) -> None:
    """What is left over at the end of a larger image belongs to no window."""
    module, window, stride = trial("as pixel_unshuffle", place)
    fcn = ew.convolutionalize(module, window=window, channels=2).eval()
    for more in range(1, 5):
        image = noise((1, 2, window[0] + 8 + more, window[1] + more), more)[0]
        assert (larger_difference(module, fcn, image, window, stride) <= EQUAL) == fcn.verdict.exact
        expected = oracle.crops(module, image, window, (1, 1))
        assert oracle.relative_difference(exactly(module, image, window, (1, 1)).scores, expected) <= EQUAL
