"""The networks and images that are timed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Workload:
    """A network over a square image; lengths in pixels.

    The two sides that go window by window run on the image's top left part of ``crops_size``, and their
    time is scaled by the number of windows.
    """

    name: str
    build: Callable[[], nn.Module]
    window: int
    stride: int
    image_size: int
    channels: int = 3
    crops_size: int | None = None

    @property
    def windows(self) -> int:
        """Windows inside the image."""
        return int((self.image_size - self.window) // self.stride + 1) ** 2


def lenet() -> nn.Module:
    """LeNet for 32×32 colour images: no padding, three fully connected layers."""
    return nn.Sequential(
        *(nn.Conv2d(3, 6, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
    )


def n4() -> nn.Module:
    """N4, the pixel classifier for electron micrographs of Ciresan et al. (2012), as often timed since."""
    layers: list[nn.Module] = []
    for inputs, kernel in ((1, 4), (48, 5), (48, 4), (48, 4)):
        layers += [nn.Conv2d(inputs, 48, kernel), nn.Tanh(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(432, 200), nn.Tanh(), nn.Linear(200, 2))


def torchvision_model(name: str) -> Callable[[], nn.Module]:
    """A classifier of torchvision, built when asked for."""

    def build() -> nn.Module:
        from torchvision.models import get_model

        model: nn.Module = get_model(name, weights=None)
        return model

    return build


WORKLOADS = (
    Workload("LeNet", lenet, window=32, stride=1, image_size=160),
    Workload("N4", n4, window=95, stride=1, image_size=512, channels=1, crops_size=108),
    Workload("VGG16", torchvision_model("vgg16"), window=224, stride=32, image_size=384),
    Workload("ResNet-50", torchvision_model("resnet50"), window=224, stride=32, image_size=512),
)
