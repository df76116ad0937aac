"""Maps made finer: linear and nearest upsampling, transposed convolution, depth to space; in every mode."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import gcd
from typing import Any

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import everywindow as ew
import oracle
from everywindow.convert import FullyConvolutional
from everywindow.geometry import AxisRecord, Extent, LocalOp, Stuffing, WindowGrid, tiles_within
from everywindow.graph import captured
from everywindow.ops.transposed import _stage
from everywindow.sharing import build, constants, exact_macs
from exactly import captured_network, exactly
from laws import EQUAL, larger_difference, native_difference
from trial_weights import noise, with_trial_weights

LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}
LITTLE = 120_000
"""Bytes that hold some windows' tile of the network that is scanned."""

WINDOWS = {1: (40,), 2: (24, 28), 3: (12, 12, 16)}


def kind(name: str, axes: int) -> Any:
    """The class for this number of axes."""
    return getattr(nn, f"{name}{axes}d")


def transposed(axes: int, *settings: Any, **more: Any) -> nn.Module:
    """Four channels to four."""
    layer: nn.Module = kind("ConvTranspose", axes)(4, 4, *settings, **more)
    return layer


FINER: dict[str, tuple[int, bool, Callable[[int], nn.Module]]] = {
    "nearest": (2, True, lambda axes: nn.Upsample(scale_factor=2)),
    "linear": (2, False, lambda axes: nn.Upsample(scale_factor=2, mode=LINEAR[axes])),
    "linear by 3": (3, False, lambda axes: nn.Upsample(scale_factor=3, mode=LINEAR[axes])),
    "linear by 4": (4, False, lambda axes: nn.Upsample(scale_factor=4, mode=LINEAR[axes])),
    "kernel = stride": (2, True, lambda axes: transposed(axes, 2, 2)),
    "kernel < stride": (3, True, lambda axes: transposed(axes, 2, 3, bias=False)),
    "ends cut off": (2, True, lambda axes: transposed(axes, 3, 2, 1)),
    "as long as twice": (2, False, lambda axes: transposed(axes, 3, 2, 1, output_padding=1)),
    "groups": (2, False, lambda axes: transposed(axes, 4, 2, 1, groups=2)),
    "dilated": (3, False, lambda axes: transposed(axes, 3, 3, 0, output_padding=2, dilation=2)),
    "stride 1": (1, False, lambda axes: transposed(axes, 3, 1, 1)),
}
"""By name: the factor, whether one pass is exact where nothing else pads, and the layer."""


class Finer(nn.Module):
    """A strided convolution, a finer map, a convolution of it, and a head."""

    def __init__(self, name: str, axes: int, padding: int, head: str, behind: int = 2) -> None:
        super().__init__()
        factor, _, make = FINER[name]
        conv = kind("Conv", axes)
        self.first = conv(2, 4, 3, stride=2 * factor, padding=padding)
        self.finer = make(axes)
        self.last = conv(4, 3, 2, stride=behind, padding=padding)
        self.head: nn.Module = nn.LazyLinear(3)
        self.pooled = head == "mean"
        self.axes = axes

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.last(torch.tanh(self.finer(torch.tanh(self.first(x))))))
        return self.head(x.pow(2).mean(tuple(range(2, x.ndim))) if self.pooled else x.flatten(1))


def trial(name: str, axes: int, padding: int = 0, head: str = "flat", behind: int = 2) -> tuple[nn.Module, Any]:
    torch.manual_seed(0)
    module, window = Finer(name, axes, padding, head, behind), WINDOWS[axes]
    with torch.no_grad():
        module(torch.zeros(1, 2, *window))
    return with_trial_weights(module, 2, window), window


def pixels(window: Sequence[int], stride: Sequence[int]) -> Tensor:
    """An image for a few windows, and an odd number of pixels more."""
    counts = {1: (8,), 2: (4, 3), 3: (3, 2, 2)}[len(window)]
    size = [n + (c - 1) * s + min(s - 1, 3) for n, c, s in zip(window, counts, stride, strict=True)]
    return noise((1, 2, *size), 5)[0]


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("name", FINER)
def test_exact_is_the_crops(name: str, axes: int, padding: int) -> None:
    for head, memory in (("flat", 1.0), ("mean", 0.4)):
        module, window = trial(name, axes, padding, head)
        network = 2 * FINER[name][0] * (2 if FINER[name][0] == 1 else 1)
        for step in (network, network // 2, 2 * network, network + 1):
            image = pixels(window, (step,) * axes)
            expected = oracle.crops(module, image, window, (step,) * axes)
            found = exactly(module, image, window, (step,) * axes, memory=memory)
            assert oracle.relative_difference(found.scores, expected) <= EQUAL, (head, step)


@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize("name", FINER)
def test_exact_shares_behind_it(name: str, axes: int) -> None:
    module, window = trial(name, axes)
    network = captured_network(module, window, 2)
    step = 2 * FINER[name][0]
    shared = {str(one.node.meta["layer"]) for one in build(network, (9,) * axes, (step,) * axes).steps}
    assert {"first", "last"} <= shared
    if name != "dilated":  # with zeros between positions it multiplies more than it saves
        grid = WindowGrid(tuple(n + 12 * step for n in window), window, (step,) * axes)
        assert exact_macs(network, grid) < grid.total * exact_macs(network, WindowGrid(window, window, (step,) * axes))


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("name", FINER)
def test_one_pass(name: str, axes: int, padding: int) -> None:
    """The original at the window's size; the crops where that is proved, at multiples of the network's stride too."""
    for head in ("flat", "mean"):
        module, window = trial(name, axes, padding, head)
        for times in (1, 3):
            converted = ew.convolutionalize(module, window=window, channels=2).eval()
            stride = tuple(times * step for step in converted.geometry.network_stride)
            converted = ew.convolutionalize(module, window=window, channels=2, stride=stride).eval()
            assert native_difference(module, converted, window, 2) <= EQUAL
            assert converted.verdict.exact == (FINER[name][1] and not padding)
            difference = larger_difference(module, converted, pixels(window, stride), window, stride)
            assert (difference <= EQUAL) == converted.verdict.exact, (head, times)


@pytest.mark.parametrize("name", [name for name in FINER if not FINER[name][1]])
def test_the_verdict_names_the_layer(name: str) -> None:
    module, window = trial(name, 2)
    verdict = ew.convolutionalize(module, window=window, channels=2).verdict
    assert "finer" in {reason.layer for reason in verdict.reasons}


@pytest.mark.parametrize("name", ["nearest", "kernel = stride", "ends cut off"])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_strides_between_the_finer_map_s_and_the_network_s(name: str, axes: int) -> None:
    """Behind the finer map a stride of 4: windows half as far apart see what lies between."""
    module, window = trial(name, axes, behind=4)
    converted = ew.convolutionalize(module, window=window, channels=2, stride=4).eval()
    assert converted.geometry.network_stride == (8,) * axes
    assert converted.verdict.exact
    stride = (4,) * axes
    assert larger_difference(module, converted, pixels(window, stride), window, stride) <= EQUAL


@pytest.mark.parametrize("name", FINER)
def test_one_pass_refuses_strides_between_the_coarser_map_s_positions(name: str) -> None:
    module, window = trial(name, 2)
    jump = 2 * FINER[name][0]
    for step in (1, jump // 2, jump + 1):
        if name == "stride 1" and gcd(step, jump) == jump:
            continue
        with pytest.raises(ew.ConversionError, match=f"a multiple of {jump}") as refused:
            ew.convolutionalize(module, window=window, channels=2, stride=step)
        assert refused.value.layer == "finer"
        assert "mode='exact'" in str(refused.value)


def tiled(fcn: FullyConvolutional, image: Tensor, most: int) -> tuple[Tensor, int]:
    """The map in tiles of at most so many pixels per axis where windows allow it, and how many they are."""
    grid = fcn.geometry.grid(tuple(image.shape[1:]))
    tiles = tiles_within(grid, fcn.geometry.tile_spans, lambda size: max(size) <= most)
    scores: Tensor | None = None
    for tile in tiles:
        part = fcn(image[(slice(None), *(slice(*span) for span in tile.pixels))].unsqueeze(0))[0]
        part = part[(slice(None), *tile.wanted())]
        scores = part.new_full((len(part), *grid.counts), torch.nan) if scores is None else scores
        scores[(slice(None), *(slice(*span) for span in tile.windows))] = part
    assert scores is not None
    return scores, len(tiles)


@torch.no_grad()
def check_tiles(fcn: FullyConvolutional, image: Tensor) -> None:
    """Tiles of every size give the whole map."""
    whole = fcn(image.unsqueeze(0))[0]
    for most in {max(image.shape[1:]) * part // 6 for part in range(1, 6)}:
        found, count = tiled(fcn, image, most)
        assert count > 1
        assert torch.allclose(found, whole, rtol=0, atol=1e-11 * float(whole.abs().max())), most


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize("name", FINER)
def test_tiles_are_the_whole_map(name: str, axes: int, padding: int) -> None:
    module, window = trial(name, axes, padding)
    fcn = ew.convolutionalize(module, window=window, channels=2).eval()
    size = [n + 9 * step + 1 for n, step in zip(window, fcn.geometry.stride, strict=True)]
    for more in range(1 + (axes == 1) * fcn.geometry.stride[0]):
        check_tiles(fcn, noise((1, 2, *(n + more for n in size)), 3)[0])


def test_a_scan_in_tiles() -> None:
    module, window = trial("as long as twice", 2, padding=1)
    image = noise((1, 2, 90, 101), 3)[0]
    whole = ew.scan(module, image, window=window, mode="fcn", dtype="float64")
    parts = ew.scan(module, image, window=window, mode="fcn", dtype="float64", memory=LITTLE)
    assert (whole.plan.tiles, parts.plan.tiles > 1) == (1, True)
    assert torch.allclose(parts.scores, whole.scores, rtol=0, atol=1e-12 * float(whole.scores.abs().max()))


class Skipping(nn.Module):
    """A U-Net: down, up, and beside or onto the map before, which has one position more where the size is odd."""

    def __init__(self, axes: int, up: str, added: bool, padding: int) -> None:
        super().__init__()
        conv = kind("Conv", axes)
        self.first, self.down = conv(2, 4, 3, padding=padding), conv(4, 4, 2, stride=2)
        self.up = FINER[up][2](axes)
        self.last, self.head = conv(4 if added else 8, 3, 3, padding=padding), nn.Linear(3, 3)
        self.added = added

    def forward(self, x: Tensor) -> Tensor:
        first = torch.tanh(self.first(x))
        up = torch.tanh(self.up(torch.tanh(self.down(first))))
        joined = first + up if self.added else torch.cat([up, first], 1)
        return self.head(torch.tanh(self.last(joined)).pow(2).mean(tuple(range(2, x.ndim))))


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("added", [False, True])
@pytest.mark.parametrize("up", ["nearest", "linear", "kernel = stride", "as long as twice"])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_skip_connections(axes: int, up: str, added: bool, padding: int) -> None:
    window = {1: (22,), 2: (14, 12), 3: (8, 10, 8)}[axes]
    module = with_trial_weights(Skipping(axes, up, added, padding), 2, window)
    fcn = ew.convolutionalize(module, window=window, channels=2).eval()
    assert fcn.geometry.network_stride == (2,) * axes
    assert native_difference(module, fcn, window, 2) <= EQUAL
    assert fcn.verdict.exact == (FINER[up][1] and not padding)
    for more in (5, 6):
        image = noise((1, 2, *(n + more for n in window)), 3)[0]
        assert (larger_difference(module, fcn, image, window, (2,) * axes) <= EQUAL) == fcn.verdict.exact
        for step in (1, 2, 3):
            expected = oracle.crops(module, image, window, (step,) * axes)
            found = exactly(module, image, window, (step,) * axes).scores
            assert oracle.relative_difference(found, expected) <= EQUAL
    if axes == 1:
        for more in (30, 31):
            check_tiles(fcn, noise((1, 2, window[0] + more), 3)[0])


@pytest.mark.parametrize("name", ["kernel = stride", "groups", "dilated"])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_the_converted_network_trains_and_keeps_its_names(name: str, axes: int) -> None:
    module, window = trial(name, axes)
    fcn = ew.convolutionalize(module, window=window, channels=2)
    assert {key: value.shape for key, value in fcn.state_dict().items()} == {
        key: value.shape for key, value in module.state_dict().items()
    }
    image = noise((1, 2, *window), 1)
    for network in (module, fcn):
        network.zero_grad()
        network(image).square().sum().backward()
    for key, weight in fcn.named_parameters():
        own = module.get_parameter(key).grad
        assert own is not None
        assert float(own.abs().max()) > 0
        assert torch.allclose(weight.grad, own, rtol=0, atol=1e-10 * float(own.abs().max())), key


def counted(run: Callable[[], object]) -> int:
    """Mult-adds as torch counts them."""
    with FlopCounterMode(display=False) as counter:
        run()
    flops: int = counter.get_total_flops()
    return flops // 2


@pytest.mark.parametrize("name", FINER)
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_mult_adds_are_those_that_torch_counts(name: str, axes: int) -> None:
    module, window = trial(name, axes)
    classifier = ew.Classifier(module, window=window, channels=2)
    image = noise((1, 2, *(n + 12 for n in window)), 1)
    with torch.no_grad():
        alone = counted(lambda: module(image[(..., *(slice(n) for n in window))]))
        fcn = ew.convolutionalize(classifier).eval()
        whole = counted(lambda: fcn(image))
    cost = ew.cost(classifier, image_size=tuple(image.shape[2:]))
    grid = fcn.geometry.grid(tuple(image.shape[2:]))
    assert cost.macs["crops"] == grid.total * alone
    assert cost.macs["fcn"] == whole
    program = build(captured_network(module, window, 2), grid.counts, grid.stride)
    places = torch.cartesian_prod(*(torch.arange(count) for count in grid.counts)).reshape(grid.total, axes)
    with torch.inference_mode():
        weights = program.constants(constants(program.network))
        shared = counted(lambda: program.scored(program.shared(image[0], weights), weights, places))
    assert exact_macs(program.network, grid) == shared


@pytest.mark.parametrize("name", FINER)
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_in_single_precision(name: str, axes: int) -> None:
    module, window = trial(name, axes, padding=1)
    single = module.float()
    stride = (2 * FINER[name][0] * (2 if name == "stride 1" else 1),) * axes
    image = pixels(window, stride).float()
    expected = oracle.crops(single, image, window, stride)
    found = exactly(single, image, window, stride).scores
    assert oracle.relative_difference(found, expected) <= oracle.TOLERANCE[torch.float32]
    fcn = ew.convolutionalize(single, window=window, channels=2).eval()
    native = noise((1, 2, *window), 2, torch.float32)
    with torch.no_grad():
        difference = float((fcn(native).flatten() - single(native).flatten()).abs().max())
    assert difference <= oracle.TOLERANCE[torch.float32] * oracle.spread(expected)


class Up(nn.Module):
    """Made finer as told, at once or behind a stride of 2."""

    def __init__(self, finer: nn.Module, stride: int) -> None:
        super().__init__()
        self.first, self.finer = nn.Conv2d(2, 4, 2, stride=stride), finer
        self.last, self.head = nn.Conv2d(4, 3, 3, stride=2), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.last(self.finer(torch.tanh(self.first(x))))).mean((2, 3)))


UNEVEN: dict[str, tuple[nn.Module, int, str]] = {
    "nearest, of pixels": (nn.Upsample(scale_factor=2), 1, "closer together than pixels"),
    "linear, of pixels": (nn.Upsample(scale_factor=2, mode="bilinear"), 1, "closer together than pixels"),
    "transposed, of pixels": (nn.ConvTranspose2d(4, 4, 2, 2), 1, "closer together than pixels"),
    "shuffled, of pixels": (nn.Sequential(nn.Conv2d(4, 16, 1), nn.PixelShuffle(2)), 1, "closer together than pixels"),
    "a third of 2 pixels": (nn.Upsample(scale_factor=3), 2, "closer together than pixels"),
    "corners aligned": (nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True), 2, "unevenly"),
    "no whole factor": (nn.Upsample(scale_factor=1.5, mode="bilinear"), 2, "unevenly"),
    "a factor that is rounded": (nn.Upsample(scale_factor=2.05, mode="bilinear"), 2, "unevenly"),
    "smaller": (nn.Upsample(scale_factor=0.5, mode="bilinear"), 2, "unevenly"),
}


@pytest.mark.parametrize("name", UNEVEN)
def test_what_is_not_shared_is_right_window_by_window_and_refused_in_one_pass(name: str) -> None:
    finer, stride, why = UNEVEN[name]
    module = with_trial_weights(Up(finer, stride), 2, (16, 18))
    image = noise((1, 2, 25, 30), 1)[0]
    for step in (1, 2, 3):
        expected = oracle.crops(module, image, (16, 18), (step, step))
        found = exactly(module, image, (16, 18), (step, step)).scores
        assert oracle.relative_difference(found, expected) <= EQUAL
    program = build(captured(module, (16, 18), 2), (4, 4), (2, 2))
    assert program.ends is not None
    assert why in program.ends.reason.why
    assert program.ends.reason.layer.startswith("finer")
    if name != "smaller":  # so little is computed behind it that one pass takes windows from the map
        with pytest.raises(ew.ConversionError, match=why):
            ew.convolutionalize(module, window=(16, 18), channels=2)


def hand_shuffled(x: Tensor) -> Tensor:
    """Depth to space as code writes it."""
    n, channels, rows, columns = x.shape
    x = x.view(n, channels // 4, 2, 2, rows, columns).permute(0, 1, 4, 2, 5, 3)
    return x.reshape(n, channels // 4, 2 * rows, 2 * columns)


class Shuffled(nn.Module):
    def __init__(self, by_hand: bool, padding: int) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(2, 8, 4, stride=4, padding=padding), nn.Conv2d(2, 3, 3, padding=padding)
        self.head, self.by_hand = nn.Linear(3, 3), by_hand

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.first(x))
        x = hand_shuffled(x) if self.by_hand else F.pixel_shuffle(x, 2)
        return self.head(torch.tanh(self.last(x)).pow(2).mean((2, 3)))


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("by_hand", [False, True])
def test_depth_to_space(by_hand: bool, padding: int) -> None:
    window = (24, 28)
    module = with_trial_weights(Shuffled(by_hand, padding), 2, window)
    for step in (2, 3, 4):
        image = pixels(window, (step, step))
        expected = oracle.crops(module, image, window, (step, step))
        assert oracle.relative_difference(exactly(module, image, window, (step, step)).scores, expected) <= EQUAL
    if by_hand:
        with pytest.raises(ew.ConversionError):
            ew.convolutionalize(module, window=window, channels=2)
        return
    fcn = ew.convolutionalize(module, window=window, channels=2).eval()
    assert native_difference(module, fcn, window, 2) <= EQUAL
    assert fcn.verdict.exact == (not padding)
    difference = larger_difference(module, fcn, pixels(window, (4, 4)), window, (4, 4))
    assert (difference <= EQUAL) == fcn.verdict.exact
    check_tiles(fcn, noise((1, 2, 61, 66), 3)[0])
    with pytest.raises(ew.ConversionError, match="a multiple of 4"):
        ew.convolutionalize(module, window=window, channels=2, stride=2)


SETTINGS = st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(0, 3), st.integers(0, 2), st.integers(1, 2))


def made_finer(x: Tensor, setting: tuple[int, int, int, int, int]) -> Tensor:
    """A transposed convolution with weights that hide nothing."""
    kernel, step, padding, more, dilation = setting
    weight = (torch.arange(kernel, dtype=x.dtype) + 1.3).sin()[None, None]
    return F.conv_transpose1d(x, weight, None, step, padding, more, 1, dilation)


@given(SETTINGS, st.integers(4, 12), st.integers(0, 2))
def test_the_body_of_a_finer_map_is_what_windows_have_in_common(
    setting: tuple[int, int, int, int, int], n: int, head: int
) -> None:
    """Against a longer map: every position of the body is on it, in its place."""
    kernel, step, padding, more, dilation = setting
    assume(more < max(step, dilation) and 2 * padding < dilation * (kernel - 1) + n)
    stage = _stage(kernel, step, padding, more, dilation)
    before = AxisRecord(n=n, jump=6, period=6, head=head)
    stuffed = before.stuffed(Stuffing(step))
    assert stuffed is not None
    after = stuffed.after(stage.op)
    assume(after.n > 0 and before.shared)
    long = noise((1, 1, 40), 3)
    window = long[..., 10 : 10 + n].clone()
    window[..., :head] += 1.0
    found, whole = made_finer(window, setting)[0, 0], made_finer(long, setting)[0, 0]
    assert len(found) == after.n == step * n + stage.added
    alike = (found - whole[10 * step : 10 * step + after.n]).abs() < 1e-12
    assert bool(alike[after.head : after.n - after.tail].all())


@given(st.lists(st.one_of(SETTINGS, st.integers(1, 3)), min_size=1, max_size=6), st.integers(20, 60))
def test_an_extent_is_the_length_of_the_map(chain: list[Any], size: int) -> None:
    """Through floors, and factors between them; a number is a convolution of that stride."""
    extent, x = Extent(spacing=6**6), torch.zeros(1, 1, size, dtype=torch.float64)
    for step in chain:
        if isinstance(step, int):
            record = AxisRecord(n=30, jump=extent.spacing)
            op = LocalOp(kernel=2, stride=step)
            extent, x = extent.after(record, op, extent.spacing * step), F.conv1d(x, x.new_ones(1, 1, 2), stride=step)
        else:
            assume(step[3] < max(step[1], step[4]))
            stage = _stage(*step)
            extent = extent.finer(stage.step, stage.added)
            x = made_finer(x, step) if extent.length(size) > 0 else x[..., :0]
        assume(extent.length(size) > 3)
        assert extent.length(size) == x.shape[-1]


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(-4, 4), st.integers(1, 3)), min_size=1, max_size=4))
def test_the_common_part_is_as_long_as_the_shorter(stages: list[tuple[int, int, int]]) -> None:
    one = Extent(1, tuple(sorted({(stage,) for stage in stages})))
    other = Extent(1, (((1, 2, 1),), ((2, -1, 3),)))
    for size in range(5, 40):
        assert one.common(other).length(size) == min(one.length(size), other.length(size))
