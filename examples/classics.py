"""Two classic networks as layers, to count: AlexNet (one column, as torchvision has it) and VGG16."""

from __future__ import annotations

from torch import nn


def vgg16() -> nn.Sequential:
    """Thirteen 3×3 convolutions that pad, five poolings, three fully connected layers; windows of 224×224."""
    layers: list[nn.Module] = []
    channels = 3
    for width, convolutions in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(convolutions):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, *_head(512 * 7 * 7))


def alexnet() -> nn.Sequential:
    """Five convolutions, three poolings, three fully connected layers; windows of 224×224."""
    return nn.Sequential(
        *(nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(192, 384, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *_head(256 * 6 * 6),
    )


def _head(inputs: int) -> tuple[nn.Module, ...]:
    return (
        *(nn.Flatten(), nn.Linear(inputs, 4096), nn.ReLU()),
        *(nn.Linear(4096, 4096), nn.ReLU()),
        nn.Linear(4096, 1000),
    )
