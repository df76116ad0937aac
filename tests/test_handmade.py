"""Networks written by hand, each for one thing that a conversion can get wrong."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import everywindow as ew
import oracle
from everywindow.errors import CaptureError, ConversionError
from exactly import exactly
from laws import EQUAL, larger_difference, native_difference
from random_networks import ChannelsLast, FlattenAs, Pad, Reduce, Residual, Shuffle
from trial_weights import noise, with_trial_weights

NET = nn.Sequential


@dataclass
class Case:
    """A network and what must be said of it.

    Attributes:
        inexact: names of the layers that keep it from being exact, in order; none where it is exact.
        why: a word that the reason of the first one contains.
    """

    module: nn.Module
    window: tuple[int, ...]
    network_stride: int
    inexact: tuple[str, ...] = ()
    why: str = ""
    channels: int = field(default=2)


def lenet() -> nn.Module:
    layers = OrderedDict(
        conv1=nn.Conv2d(3, 6, 5),
        relu1=nn.ReLU(),
        pool1=nn.MaxPool2d(2),
        conv2=nn.Conv2d(6, 16, 5),
        relu2=nn.ReLU(),
        pool2=nn.MaxPool2d(2),
        flatten=nn.Flatten(),
        fc1=nn.Linear(400, 120),
        relu3=nn.ReLU(),
        fc2=nn.Linear(120, 84),
        relu4=nn.ReLU(),
        fc3=nn.Linear(84, 10),
    )
    return NET(layers)


class Alexnet(nn.Module):
    """The layers of torchvision's AlexNet, a sixteenth as wide; ``padding=False`` leaves the padding out."""

    def __init__(self, padding: bool = True, pool: int = 6) -> None:
        super().__init__()
        p = int(padding)
        self.features = NET(
            nn.Conv2d(3, 4, 11, 4, 2 * p),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(4, 12, 5, padding=2 * p),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(12, 16, 3, padding=p),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(pool)
        self.classifier = NET(
            nn.Dropout(),
            nn.Linear(16 * pool * pool, 32),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(32, 32),
            nn.ReLU(inplace=True),
            nn.Linear(32, 5),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.avgpool(self.features(x))
        return self.classifier(torch.flatten(x, 1))


def vgg(padding: int) -> nn.Module:
    """VGG's kinds of layers: 3-convolutions, halvings, adaptive pooling to 7, three FC layers."""
    features = NET(
        nn.Conv2d(2, 4, 3, padding=padding),
        nn.ReLU(inplace=True),
        nn.Conv2d(4, 4, 3, padding=padding),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2, 2),
        nn.Conv2d(4, 6, 3, padding=padding),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2, 2),
    )
    head = NET(nn.Linear(6 * 49, 16), nn.ReLU(True), nn.Dropout(), nn.Linear(16, 4))
    return NET(OrderedDict(features=features, avgpool=nn.AdaptiveAvgPool2d(7), flat=nn.Flatten(), classifier=head))


def stem(*head: nn.Module, channels: int = 4) -> nn.Module:
    """A strided convolution without padding (2 channels, window 11 -> 5), and a head."""
    return NET(nn.Conv2d(2, channels, 3, stride=2), nn.Tanh(), *head)


class PositionEmbedding(nn.Module):
    """Adds a parameter of the window's size to the map."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, stride=2)
        self.position = nn.Parameter(torch.zeros(1, 4, 5, 5))
        self.mix = nn.Conv2d(4, 4, 3)
        self.fc = nn.Linear(36, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.relu(self.mix(self.conv(x) + self.position)).flatten(1))


class Tied(nn.Module):
    """One convolution used twice, and one weight under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3)
        self.first = nn.Conv2d(2, 4, 1)
        self.fc1 = nn.Linear(4 * 49, 4 * 49)
        self.fc2 = nn.Linear(4 * 49, 4 * 49)
        self.fc2.weight = self.fc1.weight
        self.fc3 = nn.Linear(4 * 49, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(torch.tanh(self.conv(self.first(x)))).flatten(1)
        return self.fc3(torch.tanh(self.fc2(torch.tanh(self.fc1(x)))))


class PatchEmbedding(nn.Module):
    """Linear before any flatten: a network that never leaves the channels-last layout."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(2, 6, 4, stride=4)
        self.norm = nn.LayerNorm(6)
        self.fc1 = nn.Linear(6, 8)
        self.fc2 = nn.Linear(8, 6)
        self.head = nn.Linear(6 * 9, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).permute(0, 2, 3, 1)
        x = x + self.fc2(F.gelu(self.fc1(self.norm(x))))
        return self.head(x.flatten(1))


def cases() -> dict[str, Case]:
    """Every case by name; network stride 2 and window 11 where nothing else is needed."""
    w, flat = (11, 11), nn.Flatten
    first, last = (2, 3, 1), (3, 2, 1)  # (h, w, C) and (w, h, C)
    return {
        "lenet": Case(lenet(), (32, 32), 4, channels=3),
        "alexnet": Case(Alexnet(), (224, 224), 32, ("features.0", "features.3", "features.6"), "pad", 3),
        "alexnet without padding": Case(Alexnet(False, 2), (163, 163), 32, channels=3),
        "vgg": Case(vgg(1), (28, 28), 4, ("features.0", "features.2", "features.5"), "pad"),
        "vgg without padding": Case(vgg(0), (36, 36), 4),
        "flatten C h w": Case(stem(flat(), nn.Linear(60, 3)), (11, 7), 2),
        "flatten h w C": Case(stem(FlattenAs(first), nn.Linear(60, 3)), (11, 7), 2),
        "flatten w h C": Case(stem(FlattenAs(last), nn.Linear(60, 3)), (11, 7), 2),
        "flatten w h C of a single position": Case(
            NET(nn.Conv2d(2, 5, 3), FlattenAs(last), nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)),
            (3, 3),
            1,
        ),
        "flatten w h C of a column": Case(
            NET(nn.Conv2d(2, 5, (3, 5)), FlattenAs(last), nn.Linear(25, 4), nn.BatchNorm1d(4)), (7, 5), 1
        ),
        "flatten of one channel along one axis": Case(
            NET(nn.Conv1d(2, 1, 3), flat(), nn.BatchNorm1d(9), nn.Linear(9, 3)), (11,), 1
        ),
        "dropout before linear": Case(stem(flat(), nn.Dropout(), nn.Linear(100, 3)), w, 2),
        "batch norm before linear": Case(stem(flat(), nn.BatchNorm1d(100), nn.Linear(100, 3)), w, 2),
        "batch norm in another order": Case(
            stem(FlattenAs(last), nn.BatchNorm1d(60), nn.ReLU(), nn.Linear(60, 3)), (11, 7), 2
        ),
        "activation before linear": Case(stem(flat(), nn.PReLU(), nn.Linear(100, 3)), w, 2),
        "prelu for each feature": Case(stem(flat(), nn.PReLU(100), nn.Linear(100, 3)), w, 2),
        "layer norm before linear": Case(stem(flat(), nn.LayerNorm(100), nn.Linear(100, 3)), w, 2),
        "fc bn relu fc": Case(stem(flat(), nn.Linear(100, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)), w, 2),
        "layer norm head": Case(stem(flat(), nn.Linear(100, 8), nn.LayerNorm(8), nn.Linear(8, 3)), w, 2),
        "softmax": Case(stem(flat(), nn.Linear(100, 3), nn.Softmax(dim=1)), w, 2),
        "log softmax": Case(stem(flat(), nn.Linear(100, 3), nn.LogSoftmax(dim=-1)), w, 2),
        "sigmoid": Case(stem(flat(), nn.Linear(100, 3), nn.Sigmoid()), w, 2),
        "adaptive mean to 1": Case(stem(nn.AdaptiveAvgPool2d(1), flat(), nn.Linear(4, 3)), w, 2),
        "adaptive max to 1": Case(stem(nn.AdaptiveMaxPool2d(1), flat(), nn.Linear(4, 3)), w, 2),
        "adaptive mean to its own size": Case(stem(nn.AdaptiveAvgPool2d(7), flat(), nn.Linear(196, 3)), (15, 15), 2),
        "adaptive mean to equal bins": Case(stem(nn.AdaptiveAvgPool2d((2, 3)), flat(), nn.Linear(24, 3)), (13, 13), 2),
        "adaptive bins, then a convolution": Case(
            stem(nn.AdaptiveMaxPool2d(3), nn.Conv2d(4, 4, 2), flat(), nn.Linear(16, 3)), (13, 13), 2
        ),
        "mean over dimensions": Case(stem(Reduce("mean", (2, 3)), nn.Linear(4, 3)), w, 2),
        "max over dimensions": Case(stem(Reduce("amax", (-1, -2)), nn.Linear(4, 3)), w, 2),
        "fully convolutional head": Case(stem(nn.Conv2d(4, 3, 5)), w, 2),
        "ceil mode": Case(stem(nn.MaxPool2d(2, ceil_mode=True), flat(), nn.Linear(36, 3)), w, 4, ("2",), "ceil"),
        "ceil mode that never overhangs": Case(
            stem(nn.MaxPool2d(2, ceil_mode=True), flat(), nn.Linear(36, 3)), (13, 13), 4
        ),
        "ceil mode mean": Case(stem(nn.AvgPool2d(2, ceil_mode=True), flat(), nn.Linear(36, 3)), w, 4, ("2",), "ceil"),
        "padded mean that counts the padding": Case(
            stem(nn.AvgPool2d(3, 1, 1, count_include_pad=True), flat(), nn.Linear(100, 3)),
            w,
            2,
            ("2",),
            "pad",
        ),
        "padded mean that does not": Case(
            stem(nn.AvgPool2d(3, 1, 1, count_include_pad=False), flat(), nn.Linear(100, 3)),
            w,
            2,
            ("2",),
            "pad",
        ),
        "ceil mode mean with padding": Case(
            stem(nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False), flat(), nn.Linear(36, 3)),
            (12, 11),
            4,
            ("2",),
            "pad",
        ),
        "padded max": Case(stem(nn.MaxPool2d(3, 1, 1), flat(), nn.Linear(100, 3)), w, 2, ("2",), "pad"),
        "padding cropped again": Case(
            NET(nn.Conv2d(2, 4, 3, 2, padding=1), Pad((-1, -1, -1, -1)), flat(), nn.Linear(64, 3)), w, 2
        ),
        "cropping and padding": Case(
            stem(Pad((1, -1, -2, 0), value=0.5), flat(), nn.Linear(60, 3)), w, 2, ("pad (in 2)",), "pad"
        ),
        "prelu": Case(stem(nn.PReLU(4), flat(), nn.Linear(100, 3)), w, 2),
        "channel shuffle": Case(
            NET(
                nn.Conv2d(2, 6, 3, 2, groups=2),
                Shuffle(2),
                nn.Conv2d(6, 6, 3, groups=3),
                flat(),
                nn.Linear(54, 3),
            ),
            w,
            2,
        ),
        "native channel shuffle": Case(
            NET(nn.Conv2d(2, 6, 3, 2), nn.ChannelShuffle(3), flat(), nn.Linear(150, 3)), w, 2
        ),
        "depthwise": Case(
            stem(nn.Conv2d(4, 8, 3, groups=4, dilation=2), nn.BatchNorm2d(8), flat(), nn.Linear(8, 3)), w, 2
        ),
        "even kernels with stride": Case(
            NET(nn.Conv2d(2, 4, 4, 2), nn.ReLU(), nn.Conv2d(4, 4, 2, 3), flat(), nn.Linear(16, 3)),
            (13, 12),
            6,
        ),
        "even kernels with stride and padding": Case(
            NET(nn.Conv2d(2, 4, 4, 2, 1), nn.ReLU(), nn.Conv2d(4, 4, 2, 3, 1), flat(), nn.Linear(36, 3)),
            (13, 14),
            6,
            ("0", "2"),
            "pad",
        ),
        "linear before any flatten": Case(PatchEmbedding(), (12, 12), 4),
        "channels last block": Case(
            stem(
                Residual(
                    ChannelsLast(NET(nn.LayerNorm(4), nn.Linear(4, 9), nn.GELU(), nn.Linear(9, 4))),
                    nn.Identity(),
                    True,
                ),
                nn.AdaptiveAvgPool2d(1),
                flat(),
                nn.Linear(4, 3),
            ),
            w,
            2,
        ),
        "tied weights": Case(Tied(), w, 1),
        "1-D": Case(NET(nn.Conv1d(2, 4, 5, 2), nn.ReLU(), nn.MaxPool1d(3, 2), flat(), nn.Linear(24, 3)), (31,), 4),
        "3-D": Case(NET(nn.Conv3d(2, 3, 3), nn.ReLU(), nn.MaxPool3d(2), flat(), nn.Linear(54, 3)), (9, 8, 6), 2),
        "padded 1-D": Case(
            NET(nn.Conv1d(2, 4, 5, 2, padding=2), nn.MaxPool1d(2), flat(), nn.Linear(32, 3)),
            (32,),
            4,
            ("0",),
            "pad",
        ),
    }


CASES = cases()


@pytest.fixture(params=sorted(CASES), scope="module")
def case(request: pytest.FixtureRequest) -> Case:
    case = CASES[request.param]
    with_trial_weights(case.module, case.channels, case.window, seed=3)
    return case


@pytest.fixture(scope="module")
def converted(case: Case) -> nn.Module:
    return ew.convolutionalize(case.module, window=case.window, channels=case.channels).eval()


def larger_image(case: Case, stride: int) -> Tensor:
    """Two strides and a remainder more than the window on the first axis, one on the others."""
    size = [n + (1 + (axis == 0)) * stride + min(axis, stride - 1) for axis, n in enumerate(case.window)]
    return noise((1, case.channels, *size), 5)[0]


def test_equals_the_original_at_the_windows_size(case: Case, converted: nn.Module) -> None:
    assert native_difference(case.module, converted, case.window, case.channels) <= EQUAL


def test_the_verdict_names_the_layers(case: Case, converted: nn.Module) -> None:
    verdict = converted.verdict
    assert verdict.exact == (not case.inexact), verdict.summary()
    assert tuple(dict.fromkeys(reason.layer for reason in verdict.reasons)) == case.inexact
    assert all(reason.why for reason in verdict.reasons)
    if case.inexact:
        assert case.why in verdict.reasons[0].why.lower()


def test_equals_the_crops_where_exact_and_only_there(case: Case, converted: nn.Module) -> None:
    stride = [case.network_stride] * len(case.window)
    image = larger_image(case, case.network_stride)
    difference = larger_difference(case.module, converted, image, case.window, stride)
    if case.inexact:
        assert difference > 1e-4
    else:
        assert difference <= EQUAL


@pytest.mark.parametrize("finer", [0, 1])
def test_the_exact_engine_equals_the_crops(case: Case, finer: int) -> None:
    """At the network's stride, and at one that has no divisor in common with it."""
    stride = (case.network_stride + finer,) * len(case.window)
    size = [n + 3 * step + 1 for n, step in zip(case.window, stride, strict=True)]
    image = noise((1, case.channels, *size), 4)[0]
    expected = oracle.crops(case.module, image, case.window, stride)
    found = exactly(case.module, image, case.window, stride)
    assert oracle.relative_difference(found.scores, expected) <= EQUAL


def test_geometry(case: Case, converted: nn.Module) -> None:
    geometry = converted.geometry
    assert tuple(geometry.window) == case.window
    assert set(geometry.network_stride) == {case.network_stride}
    assert tuple(geometry.stride) == tuple(geometry.network_stride)
    assert geometry.receptive_field is not None
    assert geometry.offset is not None


def test_parameters_keep_their_names_and_shapes(case: Case, converted: nn.Module) -> None:
    expected = {name: tuple(value.shape) for name, value in case.module.state_dict().items()}
    assert {name: tuple(value.shape) for name, value in converted.state_dict().items()} == expected


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize("stride", [1, 2, 3, 4, 6])
@pytest.mark.parametrize(
    "pool",
    [nn.MaxPool1d, nn.AvgPool1d, partial(nn.AvgPool1d, count_include_pad=False)],
    ids=["max", "mean", "mean inside"],
)
def test_padded_pooling_at_any_stride(pool: Callable[..., nn.Module], stride: int, ceil_mode: bool) -> None:
    """Behind a strided layer a finer stride spreads the pooling's padding: wider than torch lets a pooling pad."""
    net = NET(
        nn.MaxPool1d(3, 3),
        nn.Conv1d(2, 3, 1),
        pool(3, 2, padding=1, ceil_mode=ceil_mode),
        nn.Flatten(),
        nn.Linear(15, 3),
    )
    with_trial_weights(net, 2, (28,), seed=5)
    converted = ew.convolutionalize(net, window=28, stride=stride, channels=2).eval()
    assert not converted.verdict.exact
    assert native_difference(net, converted, (28,), 2) <= EQUAL


@pytest.mark.parametrize("name", ["lenet", "1-D", "even kernels with stride", "adaptive mean to equal bins"])
@pytest.mark.parametrize("stride", [1, 2, 3, 5])
def test_any_stride(name: str, stride: int) -> None:
    """Finer than the network's (by dilation), coprime to it, and coarser."""
    case = CASES[name]
    with_trial_weights(case.module, case.channels, case.window, seed=3)
    converted = ew.convolutionalize(case.module, window=case.window, stride=stride, channels=case.channels).eval()
    assert converted.verdict.exact
    assert native_difference(case.module, converted, case.window, case.channels) <= EQUAL
    image = larger_image(case, stride + 2)
    assert larger_difference(case.module, converted, image, case.window, [stride] * len(case.window)) <= EQUAL


@pytest.mark.parametrize("name", ["vgg", "even kernels with stride and padding", "padded 1-D", "ceil mode"])
@pytest.mark.parametrize("stride", [1, 3])
def test_a_padded_network_at_any_stride_equals_the_original_at_the_windows_size(name: str, stride: int) -> None:
    case = CASES[name]
    with_trial_weights(case.module, case.channels, case.window, seed=3)
    converted = ew.convolutionalize(case.module, window=case.window, stride=stride, channels=case.channels).eval()
    assert not converted.verdict.exact
    assert native_difference(case.module, converted, case.window, case.channels) <= EQUAL


@torch.no_grad()
def test_images_of_a_batch_go_through_apart() -> None:
    case = CASES["lenet"]
    with_trial_weights(case.module, case.channels, case.window, seed=3)
    converted = ew.convolutionalize(case.module, window=case.window, channels=case.channels).eval()
    images = noise((3, 3, 40, 37), 2)
    together = converted(images)
    for image, scores in zip(images, together, strict=True):
        assert torch.allclose(converted(image.unsqueeze(0))[0], scores, rtol=0, atol=1e-12)


def test_a_padded_network_gives_no_more_scores_than_windows() -> None:
    """At 225 pixels a padded network of stride 32 has a 2 by 2 map, and one window."""
    module = NET(nn.Conv2d(2, 4, 3, 2, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    converted = ew.convolutionalize(module.eval(), window=8, channels=2)
    for size, count in ((8, 1), (9, 1), (10, 2), (11, 2), (12, 3)):
        assert converted(torch.randn(1, 2, size, size)).shape == (1, 3, count, count)


def converted_or_refusal(module: nn.Module, window: tuple[int, ...]) -> nn.Module | ConversionError:
    try:
        return ew.convolutionalize(module, window=window, channels=2).eval()
    except ConversionError as error:
        return error


def test_a_position_embedding_is_right_or_refused() -> None:
    """A constant of the window's size cannot slide with the image, unless nothing but the head sees it."""
    module = with_trial_weights(PositionEmbedding(), 2, (11, 11), seed=3)
    image = noise((1, 2, 17, 15), 1)[0]
    converted = converted_or_refusal(module, (11, 11))
    if isinstance(converted, ConversionError):
        assert converted.layer
    else:
        assert native_difference(module, converted, (11, 11), 2) <= EQUAL
        assert not converted.verdict.exact
    scan = ew.scan(module, image, window=11, stride=2, dtype=torch.float64)
    assert oracle.relative_difference(scan.scores, oracle.crops(module, image, (11, 11), (2, 2))) <= EQUAL


class Attention(nn.Module):
    """Attention over the positions."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Sequential(nn.Conv2d(2, 32, 1), nn.Conv2d(32, 4, 3, stride=3))
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = tokens + self.attention(tokens, tokens, tokens, need_weights=False)[0]
        return self.head(tokens.mean(1))


def test_attention_over_positions_is_converted_where_it_is_little_and_scanned_all_the_same() -> None:
    module = with_trial_weights(Attention(), 2, (9, 9), seed=3)
    fcn = ew.convolutionalize(module, window=9, channels=2)
    assert native_difference(module, fcn, (9, 9), 2) <= EQUAL
    image = noise((1, 2, 15, 13), 1)[0]
    scan = ew.scan(module, image, window=9, stride=2, dtype=torch.float64)
    assert scan.mode == "exact"
    assert scan.verdict.exact
    assert oracle.relative_difference(scan.scores, oracle.crops(module, image, (9, 9), (2, 2))) <= EQUAL


class MixesTheBatch(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3)
        self.head = nn.Linear(144, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return self.head((x - x.mean(0)).flatten(1))


class SortsTheBatch(MixesTheBatch):
    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.conv(x).flip(0).flatten(1))


class SoftmaxOverTheBatch(MixesTheBatch):
    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.conv(x).flatten(1)).softmax(0)


class ActiveDropout(MixesTheBatch):
    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.dropout(self.conv(x), 0.5).flatten(1))


class AddsNoise(MixesTheBatch):
    def forward(self, x: Tensor) -> Tensor:
        return self.head((self.conv(x) + torch.rand_like(self.conv(x))).flatten(1))


def batch_statistics() -> nn.Module:
    norm = nn.BatchNorm2d(4, track_running_stats=False)
    return NET(OrderedDict(conv=nn.Conv2d(2, 4, 3), norm=norm, flat=nn.Flatten(), head=nn.Linear(144, 3)))


REFUSED = {
    "mean over the batch": (MixesTheBatch, "batch"),
    "flip of the batch": (SortsTheBatch, "batch"),
    "softmax over the batch": (SoftmaxOverTheBatch, "batch"),
    "statistics of the batch": (batch_statistics, "batch"),
    "active dropout": (ActiveDropout, "random"),
    "noise": (AddsNoise, "random"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_function_of_one_window_is_refused_everywhere(name: str) -> None:
    build, why = REFUSED[name]
    module = build().eval()
    with pytest.raises(CaptureError, match=why):
        ew.convolutionalize(module, window=8, channels=2)
    for mode in ("crops", "fcn", None):
        options = {} if mode is None else {"mode": mode}
        with pytest.raises(CaptureError, match=why):
            ew.scan(module, torch.randn(2, 12, 12), window=8, **options)
