"""The facts of fully connected and convolution layers that this package rests on, each with its numbers."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import everywindow as ew
import oracle
from laws import EQUAL
from trial_weights import noise, with_trial_weights


def weights(module: nn.Module) -> int:
    return sum(parameter.numel() for name, parameter in module.named_parameters() if "weight" in name)


def article() -> nn.Module:
    """32×32×1 to a 4×4×3 map in three halvings, then ten classes."""
    features = [
        nn.Conv2d(1, 8, 2, 2),
        nn.ReLU(),
        nn.Conv2d(8, 8, 2, 2),
        nn.ReLU(),
        nn.Conv2d(8, 3, 2, 2),
        nn.ReLU(),
    ]
    return with_trial_weights(nn.Sequential(*features, nn.Flatten(), nn.Linear(48, 10)), 1, (32, 32))


@torch.no_grad()
def test_a_layer_behind_a_map_equals_a_convolution_of_its_size() -> None:
    """4×4×3 to 10: 480 weights both ways; each row of the matrix, reshaped to C×h×w, is one kernel."""
    module = with_trial_weights(nn.Sequential(nn.Flatten(), nn.Linear(48, 10)), 3, (4, 4))
    converted = ew.convolutionalize(module, window=(4, 4), channels=3).eval()
    assert weights(module) == weights(converted) == 480
    image, larger = noise((1, 3, 4, 4), 1), noise((1, 3, 9, 7), 2)
    assert converted(image).shape == (1, 10, 1, 1)
    assert torch.allclose(converted(image).flatten(1), module(image), rtol=0, atol=1e-12)
    kernels = module[1].weight.reshape(10, 3, 4, 4)
    assert torch.allclose(converted(larger), F.conv2d(larger, kernels, module[1].bias), rtol=0, atol=1e-12)


@torch.no_grad()
def test_the_first_fully_connected_layer_of_vgg() -> None:
    """7×7×512 to 4096: 102,760,448 weights, 4096 kernels of 7×7×512."""
    layer = nn.utils.skip_init(nn.Linear, 7 * 7 * 512, 4096)
    layer.weight.copy_(torch.linspace(-1, 1, 7 * 7 * 512).expand(4096, -1))
    layer.weight *= torch.linspace(0.5, 1, 4096)[:, None]
    layer.bias.zero_()
    module = nn.Sequential(nn.Flatten(), layer)
    converted = ew.convolutionalize(module, window=(7, 7), channels=512).eval()
    assert weights(converted) == weights(module) == 102_760_448
    image = noise((1, 512, 7, 7), 1, torch.float32)
    scores = converted(image)
    assert scores.shape == (1, 4096, 1, 1)
    assert float((scores.flatten(1) - module(image)).abs().max()) <= 1e-4 * float(scores.abs().max())


@torch.no_grad()
def test_a_layer_behind_a_layer_equals_a_1x1_convolution() -> None:
    """4096 to 4096: 16,777,216 weights."""
    first, second = nn.Linear(4, 4096), nn.Linear(4096, 4096, bias=False)
    module = nn.Sequential(nn.Flatten(), first, nn.ReLU(), second)
    converted = ew.convolutionalize(module, window=(2, 2), channels=1).eval()
    assert second.weight.numel() == converted.get_parameter("3.weight").numel() == 16_777_216
    image = noise((1, 1, 4, 3), 1, torch.float32)
    hidden = torch.relu(F.conv2d(image, first.weight.reshape(4096, 1, 2, 2), first.bias))
    expected = F.conv2d(hidden, second.weight[:, :, None, None])
    assert float((converted(image) - expected).abs().max()) <= 1e-4 * float(expected.abs().max())


def toeplitz(kernel: Tensor, size: int) -> Tensor:
    """The matrix of a convolution without padding: one row per output, one column per pixel."""
    pixels = torch.eye(size * size, dtype=kernel.dtype).reshape(-1, 1, size, size)
    return F.conv2d(pixels, kernel[None, None]).flatten(1).T


@torch.no_grad()
def test_a_convolution_equals_a_layer_that_is_mostly_zeros() -> None:
    """A 3×3 kernel on 6×6 pixels: 16×36 weights, 432 of them zero, 9 distinct values in the other 144."""
    kernel = torch.randn(3, 3, dtype=torch.float64)
    matrix = toeplitz(kernel, 6)
    assert matrix.shape == (16, 36)
    assert int((matrix == 0).sum()) == 432
    assert len(matrix[matrix != 0].unique()) == 9
    blocks = matrix.reshape(4, 4, 6, 6).permute(0, 2, 1, 3)
    for row in range(4):
        for column in range(6):
            assert torch.equal(blocks[row, column], blocks[0, column - row] if column >= row else 0 * blocks[0, 0])
    module = nn.Sequential(nn.Flatten(), nn.Linear(36, 16, bias=False)).double()
    module[1].weight.copy_(matrix)
    image = noise((1, 1, 6, 6), 1)
    converted = ew.convolutionalize(module, window=6, channels=1).eval()
    expected = F.conv2d(image, kernel[None, None]).flatten(1)
    assert torch.allclose(module(image), expected, rtol=0, atol=1e-12)
    assert torch.allclose(converted(image).flatten(1), expected, rtol=0, atol=1e-12)


@torch.no_grad()
def test_conversion_keeps_weights_and_result_and_frees_the_size() -> None:
    """Trained at 32×32×1, where the map is 4×4×3."""
    module = article()
    assert module[:6](torch.zeros(1, 1, 32, 32, dtype=torch.float64)).shape == (1, 3, 4, 4)
    converted = ew.convolutionalize(module, window=32).eval()
    assert weights(converted) == weights(module)
    image = noise((1, 1, 32, 32), 1)
    assert torch.allclose(converted(image).flatten(1), module(image), rtol=0, atol=1e-12)
    with pytest.raises(RuntimeError):
        module(noise((1, 1, 64, 64), 1))
    assert converted(noise((1, 1, 40, 71), 1)).shape == (1, 10, 2, 5)


@torch.no_grad()
def test_one_pass_gives_the_scores_of_every_window() -> None:
    """64×64 pixels: map 8×8×3, scores 5×5×10, 25 windows of 32×32 at stride 8."""
    module, image = article(), noise((1, 1, 64, 64), 1)
    assert module[:6](image).shape == (1, 3, 8, 8)
    converted = ew.convolutionalize(module, window=32).eval()
    assert converted.geometry.stride == (8, 8)
    assert converted(image).shape == (1, 10, 5, 5)
    expected = oracle.crops(module, image[0], (32, 32), (8, 8))
    assert expected[0].numel() == 25
    assert oracle.relative_difference(converted(image)[0], expected) <= EQUAL


@pytest.mark.slow
@torch.no_grad()
def test_vgg_on_384_pixels() -> None:
    """Map 512×12×12, scores 1000×6×6: 36 windows; padding keeps the one pass from equalling the crops."""
    models = pytest.importorskip("torchvision.models")
    module = models.vgg16(init_weights=False).eval()
    for parameter in module.parameters():
        if parameter.ndim > 1:
            parameter.mul_(2.4)
    converted = ew.convolutionalize(module, window=224).eval()
    image = noise((1, 3, 384, 384), 1, torch.float32)
    assert module.features(image).shape == (1, 512, 12, 12)
    scores = converted(image)[0]
    assert scores.shape == (1000, 6, 6)
    assert converted.verdict.reasons[0].layer == "features.0"
    corners = oracle.crops(module, image[0], (224, 224), (160, 160))
    difference = (scores[:, ::5, ::5] - corners).norm() / corners.norm()
    assert 0.05 < difference < 1
    macs = ew.cost(module, image_size=(384, 384), window=224, stride=32).macs
    assert macs["crops"] / macs["fcn"] == pytest.approx(11.2, abs=0.05)


def test_the_one_pass_is_cheaper_as_counted_and_as_measured() -> None:
    module, image = article(), noise((1, 1, 96, 96), 1)[0]
    macs = ew.cost(module, image_size=(96, 96), window=32, stride=8).macs
    window = 8 * 4 * 256 + 8 * 8 * 4 * 64 + 3 * 8 * 4 * 16 + 480
    assert macs["crops"] == 81 * window
    assert macs["fcn"] == 9 * (window - 480) + 81 * 480
    converted = ew.convolutionalize(module, window=32).eval()
    crops = _best_seconds(lambda: oracle.crops(module, image, (32, 32), (8, 8)))
    with torch.no_grad():
        assert _best_seconds(lambda: converted(image.unsqueeze(0))) < crops / 2


def _best_seconds(call: Callable[[], object]) -> float:
    """The least of a few timings."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def test_the_images_probability_is_the_mean_over_the_windows() -> None:
    """A slightly larger image: 2×2 = 4 crops."""
    module, image = article(), noise((1, 1, 40, 40), 1)[0]
    scan = ew.scan(module, image, window=32, dtype=torch.float64)
    crops = oracle.crops(module, image, (32, 32), (8, 8)).flatten(1)
    assert crops.shape == (10, 4)
    classifier = ew.Classifier(module, window=32, channels=1, activation="softmax")
    scan = ew.scan(classifier, image, dtype=torch.float64)
    expected = torch.stack([crops[:, i].softmax(0) for i in range(4)]).mean(0)
    assert torch.allclose(scan.image_scores("mean_probability"), expected, rtol=0, atol=1e-12)


def test_the_map_may_be_summed_or_its_maximum_taken_before_the_softmax() -> None:
    module, image = article(), noise((1, 1, 48, 40), 1)[0]
    classifier = ew.Classifier(module, window=32, channels=1, activation="softmax")
    scan = ew.scan(classifier, image, dtype=torch.float64)
    crops = oracle.crops(module, image, (32, 32), (8, 8)).flatten(1)
    expected = {"sum_score": crops.sum(1), "max": crops.max(1).values, "mean_score": crops.mean(1)}
    for kind, scores in expected.items():
        assert torch.allclose(scan.image_scores(kind), scores.softmax(0), rtol=0, atol=1e-12), kind


def cross_detector() -> tuple[nn.Module, Tensor]:
    """A classifier whose class 1 answers to a bright cross of 7×7 pixels, and the cross."""
    cross = torch.zeros(7, 7)
    cross[3, :] = cross[:, 3] = 1.0
    conv, head = nn.Conv2d(1, 1, 3), nn.Linear(25, 2)
    with torch.no_grad():
        conv.weight.copy_(torch.zeros(1, 1, 3, 3))
        conv.weight[0, 0, 1, 1] = 1.0
        conv.bias.zero_()
        template = cross[1:6, 1:6] - cross[1:6, 1:6].mean()
        head.weight.copy_(torch.stack([torch.zeros(25), template.flatten()]))
        head.bias.copy_(torch.tensor([0.0, -4.0]))
    return nn.Sequential(conv, nn.ReLU(), nn.Flatten(), head).eval(), cross


def test_the_strongest_response_is_where_the_object_is() -> None:
    """The map is a heat map: each cell classifies its window, and the object's place stands out."""
    module, cross = cross_detector()
    image = 0.1 * torch.rand(1, 40, 52)
    image[0, 22:29, 13:20] += cross
    scan = ew.scan(ew.Classifier(module, window=7, channels=1, activation="softmax"), image)
    place = divmod(int(scan.scores[1].argmax()), scan.scores.shape[2])
    assert (scan.offsets[0][place[0]], scan.offsets[1][place[1]]) == (22, 13)
    found = scan.probabilities()[1] > 0.5
    assert bool(found[22, 13])
    assert int(found.sum()) <= 9


@pytest.mark.parametrize("pads", [False, True])
def test_one_pass_equals_the_crops_only_where_nothing_pads(pads: bool) -> None:
    """Either way the scan without a mode gives the crops' scores."""
    layers = [nn.Conv2d(1, 6, 3, padding=int(pads)), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    module = nn.Sequential(*layers, nn.Linear(6 * (36 if pads else 25), 4))
    module = with_trial_weights(module, 1, (12, 12))
    image = noise((1, 1, 22, 20), 1)[0]
    expected = oracle.crops(module, image, (12, 12), (2, 2))
    fcn = ew.scan(module, image, window=12, mode="fcn", dtype=torch.float64)
    assert fcn.verdict.exact == (not pads)
    assert (oracle.relative_difference(fcn.scores, expected) > 1e-3) == pads
    best = ew.scan(module, image, window=12, dtype=torch.float64)
    assert best.mode == "exact"
    assert best.plan.engine in (("crops", "exact") if pads else ("crops", "exact", "fcn"))
    assert oracle.relative_difference(best.scores, expected) <= EQUAL


@torch.no_grad()
@pytest.mark.parametrize("size", [(1, 1), (5, 9), (32, 3)])
def test_a_1x1_convolution_mixes_channels_at_any_size_and_keeps_the_layout(size: tuple[int, int]) -> None:
    module = with_trial_weights(nn.Sequential(nn.Conv2d(3, 5, 1)), 3, (1, 1))
    converted = ew.convolutionalize(module, window=1).eval()
    image = noise((1, 3, *size), 1)
    scores = converted(image)
    assert scores.shape == (1, 5, *size)
    row, column = size[0] // 2, size[1] - 1
    alone = module[0].weight.reshape(5, 3) @ image[0, :, row, column] + module[0].bias
    assert torch.allclose(scores[0, :, row, column], alone, rtol=0, atol=1e-12)


def test_the_sliding_window_is_the_reference() -> None:
    """Mode ``crops`` is the original network on each window by itself."""
    module, image = article(), noise((1, 1, 50, 61), 1)[0]
    scan = ew.scan(module, image, window=32, stride=(7, 5), mode="crops", dtype=torch.float64)
    expected = oracle.crops(module, image, (32, 32), (7, 5))
    assert scan.mode == "crops"
    assert scan.verdict.exact
    assert oracle.relative_difference(scan.scores, expected) <= EQUAL
