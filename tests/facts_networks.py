"""Networks that several facts are shown on, and what they are measured with."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn

import everywindow as ew
from trial_weights import with_trial_weights


def weights(module: nn.Module) -> int:
    """Number of a module's weights, without biases."""
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


def thin_vgg(classes: int = 10) -> nn.Module:
    """VGG16 with an eighth of its channels and more: every size of its maps is VGG16's."""
    from torchvision.models import vgg

    widths = [item if item == "M" else int(item) // 16 for item in vgg.cfgs["D"]]
    features = vgg.make_layers(widths)
    head = [nn.Linear(32 * 49, 64), nn.ReLU(), nn.Dropout(), nn.Linear(64, classes)]
    return with_trial_weights(nn.Sequential(*features, nn.AdaptiveAvgPool2d(7), nn.Flatten(), *head), 3, (224, 224))


@cache
def classic_cost(name: str) -> ew.Cost:
    """What one of torchvision's networks of 224 pixels costs on an image of 384; counted, nothing runs."""
    from torchvision import models

    with torch.device("meta"):
        module = models.get_model(name)
    module = module.to_empty(device="cpu").eval()
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return ew.cost(module, 384, window=224, stride=32, predict=False, advise=False)


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


def best_seconds(call: Callable[[], object]) -> float:
    """The least of a few timings."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)
