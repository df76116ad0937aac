"""Trained weights of others: one pass gives the scores of the crops on images several windows large."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

import everywindow as ew
import oracle
from exactly import exactly
from laws import EQUAL


def photograph(folder: Path, size: tuple[int, int], mode: str) -> Tensor:
    """A piece of a blood-smear photograph, ``[C, *size]`` in 0 to 1."""
    with Image.open(sorted(folder.glob("bccd_blood/JPEGImages/*.jpg"))[0]) as file:
        pixels = np.asarray(file.convert(mode).crop((80, 60, 80 + size[1], 60 + size[0])), dtype=np.float64)
    return torch.from_numpy(pixels / 255).reshape(*size, -1).permute(2, 0, 1).contiguous()


def captum_lenet(folder: Path) -> nn.Module:
    state = torch.load(folder / "captum_cifar_lenet/cifar_torchvision.pt", weights_only=True, map_location="cpu")
    module = nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(3, 6, 5),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2, 2),
            conv2=nn.Conv2d(6, 16, 5),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2, 2),
            flat=nn.Flatten(),
            fc1=nn.Linear(400, 120),
            relu3=nn.ReLU(),
            fc2=nn.Linear(120, 84),
            relu4=nn.ReLU(),
            fc3=nn.Linear(84, 10),
        )
    )
    module.load_state_dict(state)
    return module.double().eval()


def burn_mnist(folder: Path) -> nn.Module:
    module = nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, 8, 3),
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(8, 16, 3),
            relu2=nn.ReLU(),
            conv3=nn.Conv2d(16, 24, 3),
            relu3=nn.ReLU(),
            norm1=nn.BatchNorm2d(24),
            flat=nn.Flatten(),
            fc1=nn.Linear(24 * 22 * 22, 32),
            relu4=nn.ReLU(),
            fc2=nn.Linear(32, 10),
            norm2=nn.BatchNorm1d(10),
            end=nn.LogSoftmax(dim=1),
        )
    )
    module.load_state_dict(load_file(folder / "burn_mnist_cnn/mnist.safetensors"))
    return module.double().eval()


def check(module: nn.Module, image: Tensor, window: int, stride: int | None, step: int) -> None:
    converted = ew.convolutionalize(module, window=window, stride=stride).eval()
    assert converted.verdict.exact
    expected = oracle.crops(module, image, (window, window), (step, step))
    with torch.no_grad():
        assert oracle.relative_difference(converted(image.unsqueeze(0))[0], expected) <= EQUAL
    scan = ew.scan(module, image, window=window, stride=stride, dtype=torch.float64)
    assert scan.mode == "exact"
    assert oracle.relative_difference(scan.scores, expected) <= EQUAL
    shared = exactly(module, image, (window, window), (step, step))
    assert shared.shares
    assert oracle.relative_difference(shared.scores, expected) <= EQUAL


def test_lenet_trained_on_cifar(shared_data: Path) -> None:
    image = (photograph(shared_data, (99, 130), "RGB") - 0.5) / 0.5
    check(captum_lenet(shared_data), image, 32, None, 4)


def test_lenet_trained_on_cifar_at_a_finer_stride(shared_data: Path) -> None:
    image = (photograph(shared_data, (65, 58), "RGB") - 0.5) / 0.5
    check(captum_lenet(shared_data), image, 32, 1, 1)


def test_cnn_trained_on_mnist(shared_data: Path) -> None:
    image = (1 - photograph(shared_data, (90, 61), "L") - 0.1307) / 0.3081
    check(burn_mnist(shared_data), image, 28, None, 1)
