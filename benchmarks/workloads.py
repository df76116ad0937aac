"""The networks and images that are timed, and what is wanted of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import nn

from benchmarks.by_hand import a_trous

LARGEST_QUICK_WINDOW = 224


@dataclass(frozen=True)
class Wanted:
    """How fast ``exact`` shall be.

    Attributes:
        least: the least value that is enough.
        of: ``"bound"``, the share of the speed-up over the script that the mult-adds allow; ``"crops"``, the speed-up
            over the engine ``crops``; or ``"by hand"``, the speed-up over the network written by hand, of ``fcn`` too.
    """

    least: float
    of: str = "bound"


@dataclass(frozen=True)
class Workload:
    """A network over a square image; lengths in pixels.

    Attributes:
        name: what it is called on the command line.
        title: what it is called on the page.
        build: makes the network.
        window, stride, image_size, channels: what is scored.
        sample: windows that the plain script runs, spread over the image; its time is scaled to all.
        crops_size: the engine ``crops`` runs on the image's top left part of this size, and its time is scaled.
        wanted: how fast ``exact`` shall be.
        by_hand: the same made dense by hand, from the network.
    """

    name: str
    title: str
    build: Callable[[], nn.Module]
    window: int
    stride: int
    image_size: int
    channels: int = 3
    sample: int = 192
    crops_size: int | None = None
    wanted: Wanted | None = None
    by_hand: Callable[[nn.Module], nn.Sequential] | None = None

    @property
    def windows(self) -> int:
        """Windows inside the image."""
        return windows_in(self.image_size, self.window, self.stride)

    @property
    def crops_windows(self) -> int:
        """Windows inside the part of the image that the engine ``crops`` runs on."""
        return windows_in(self.crops_size or self.image_size, self.window, self.stride)

    def quick(self) -> Workload:
        """The same on a few windows, to try the benchmark itself: its figures mean nothing."""
        window = min(self.window, LARGEST_QUICK_WINDOW)
        return replace(self, window=window, image_size=window + self.stride, sample=3, crops_size=None)


def windows_in(size: int, window: int, stride: int) -> int:
    """Windows inside a square image."""
    return int((size - window) // stride + 1) ** 2


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


def demo_padded() -> nn.Module:
    """The demo's network for faces of 25×25 pixels that pads each of its convolutions."""
    from everywindow.demo import padded

    return padded()


def torchvision_model(name: str) -> Callable[[], nn.Module]:
    """A classifier of torchvision, built when asked for."""

    def build() -> nn.Module:
        from torchvision.models import get_model

        model: nn.Module = get_model(name, weights=None)
        return model

    return build


def vgg16_features() -> nn.Sequential:
    """The convolutions and poolings of VGG16."""
    features = torchvision_model("vgg16")().get_submodule("features")
    assert isinstance(features, nn.Sequential)
    return features


def _deep(name: str, title: str, model: str, sample: int) -> Workload:
    """A network that can share little: it must not be slower for trying."""
    return Workload(name, title, torchvision_model(model), 224, 32, 448, sample=sample, wanted=Wanted(0.9, "crops"))


_vgg16, _resnet50 = torchvision_model("vgg16"), torchvision_model("resnet50")

WORKLOADS = (
    Workload("vgg16", "VGG16", _vgg16, 224, 32, 640, sample=32, crops_size=384, wanted=Wanted(0.75)),
    Workload("vgg16-fine", "VGG16", _vgg16, 224, 8, 640, sample=32, crops_size=264, wanted=Wanted(0.75)),
    Workload("resnet50-large", "ResNet-50", _resnet50, 512, 32, 1024, sample=16, crops_size=640, wanted=Wanted(0.7)),
    Workload(
        *("resnet18-fine", "ResNet-18", torchvision_model("resnet18"), 224, 16, 640),
        sample=96,
        crops_size=384,
        wanted=Wanted(0.7),
    ),
    _deep("densenet121", "DenseNet-121", "densenet121", 32),
    _deep("convnext-t", "ConvNeXt-T", "convnext_tiny", 32),
    _deep("efficientnet-b0", "EfficientNet-B0", "efficientnet_b0", 64),
    _deep("vit-b-16", "ViT-B/16", "vit_b_16", 16),
    Workload(
        *("n4", "N4", n4, 95, 1, 512),
        channels=1,
        crops_size=118,
        wanted=Wanted(1.5, "by hand"),
        by_hand=a_trous,
    ),
    Workload(
        *("demo-padded", "the demo's padded network", demo_padded, 25, 1, 128),
        channels=1,
        wanted=Wanted(0.75),
    ),
    Workload("lenet", "LeNet", lenet, 32, 1, 160),
    Workload("vgg16-384", "VGG16", _vgg16, 224, 32, 384, sample=36),
    Workload("resnet50", "ResNet-50", _resnet50, 224, 32, 512, sample=100),
)


@dataclass(frozen=True)
class Finer:
    """A chain of layers over a square image, at strides finer than its own: one score vector per window.

    Attributes:
        name: what it is called on the command line.
        title: what it is called on the page.
        build: makes the network.
        window, channels, image_size: what is scored.
        own_stride: the network's.
        stride: what is asked for; the own one over a power of two.
    """

    name: str
    title: str
    build: Callable[[], nn.Sequential]
    window: int
    own_stride: int
    stride: int
    image_size: int
    channels: int = 3

    @property
    def dense(self) -> int:
        """How many of the last poolings give every position instead of every other."""
        return (self.own_stride // self.stride).bit_length() - 1

    def quick(self) -> Finer:
        """The same on a small image."""
        return replace(self, image_size=self.window + self.own_stride)


def _n4_chain() -> nn.Sequential:
    chain = n4()
    assert isinstance(chain, nn.Sequential)
    return chain


FINER = (
    *(Finer(f"features-{s}", "VGG16's features", vgg16_features, 32, 32, s, 384) for s in (32, 16, 8)),
    *(Finer(f"n4-{s}", "N4", _n4_chain, 95, 16, s, 512, channels=1) for s in (16, 4, 1)),
)
