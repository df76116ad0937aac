"""A1: an FC layer behind a C×h×w map equals a convolution with a kernel of h×w."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

import everywindow as ew
from facts_networks import weights
from trial_weights import noise, with_trial_weights


@torch.no_grad()
def test_each_row_of_the_matrix_is_one_kernel() -> None:
    """4×4×3 to 10: 480 weights both ways, output 1×1×10; each row of the matrix, reshaped to C×h×w, is one kernel."""
    module = with_trial_weights(nn.Sequential(nn.Flatten(), nn.Linear(48, 10)), 3, (4, 4))
    converted = ew.convolutionalize(module, window=(4, 4), channels=3).eval()
    assert weights(module) == weights(converted) == 48 * 10 == 480
    image, larger = noise((1, 3, 4, 4), 1), noise((1, 3, 9, 7), 2)
    assert converted(image).shape == (1, 10, 1, 1)
    assert torch.allclose(converted(image).flatten(1), module(image), rtol=0, atol=1e-12)
    kernels = module[1].weight.reshape(10, 3, 4, 4)
    assert torch.allclose(converted(larger), F.conv2d(larger, kernels, module[1].bias), rtol=0, atol=1e-12)
    conv = ew.linear_to_conv(module[1], (3, 4, 4))
    assert torch.equal(conv.weight, kernels)
    assert torch.allclose(converted(larger), conv(larger), rtol=0, atol=1e-12)


@torch.no_grad()
def test_the_first_fully_connected_layer_of_vgg() -> None:
    """7×7×512 to 4096: 4096 filters of 512 kernels of 7×7 = 102,760,448 weights, output 1×1×4096."""
    layer = nn.utils.skip_init(nn.Linear, 7 * 7 * 512, 4096)
    layer.weight.copy_(torch.linspace(-1, 1, 7 * 7 * 512).expand(4096, -1))
    layer.weight *= torch.linspace(0.5, 1, 4096)[:, None]
    layer.bias.zero_()
    module = nn.Sequential(nn.Flatten(), layer)
    converted = ew.convolutionalize(module, window=(7, 7), channels=512).eval()
    assert weights(converted) == weights(module) == 4096 * 512 * 7 * 7 == 102_760_448
    image = noise((1, 512, 7, 7), 1, torch.float32)
    scores = converted(image)
    assert scores.shape == (1, 4096, 1, 1)
    assert float((scores.flatten(1) - module(image)).abs().max()) <= 1e-4 * float(scores.abs().max())
