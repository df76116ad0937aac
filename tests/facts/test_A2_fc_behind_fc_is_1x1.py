"""A2: an FC layer behind an FC layer equals a 1×1 convolution."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

import everywindow as ew
from trial_weights import noise


@torch.no_grad()
def test_4096_to_4096() -> None:
    """16,777,216 weights."""
    first, second = nn.Linear(4, 4096), nn.Linear(4096, 4096, bias=False)
    module = nn.Sequential(nn.Flatten(), first, nn.ReLU(), second)
    converted = ew.convolutionalize(module, window=(2, 2), channels=1).eval()
    assert second.weight.numel() == converted.get_parameter("3.weight").numel() == 16_777_216
    image = noise((1, 1, 4, 3), 1, torch.float32)
    hidden = torch.relu(F.conv2d(image, first.weight.reshape(4096, 1, 2, 2), first.bias))
    expected = F.conv2d(hidden, second.weight[:, :, None, None])
    assert float((converted(image) - expected).abs().max()) <= 1e-4 * float(expected.abs().max())
