"""A3: a convolution equals an FC layer whose matrix is mostly zeros and repeats the same values."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import everywindow as ew
from trial_weights import noise


def toeplitz(kernel: Tensor, size: int) -> Tensor:
    """The matrix of a convolution without padding: one row per output, one column per pixel."""
    pixels = torch.eye(size * size, dtype=kernel.dtype).reshape(-1, 1, size, size)
    return F.conv2d(pixels, kernel[None, None]).flatten(1).T


@torch.no_grad()
def test_the_matrix_is_doubly_blocked_and_the_layer_gives_the_convolution() -> None:
    """A 3×3 kernel on 6×6 pixels: 16×36 weights, 432 of them zero, 9 distinct values in the other 144."""
    kernel = torch.randn(3, 3, dtype=torch.float64)
    matrix = toeplitz(kernel, 6)
    assert matrix.shape == (16, 36)
    assert int((matrix == 0).sum()) == 432
    assert len(matrix[matrix != 0].unique()) == 9
    conv = nn.Conv2d(1, 1, 3, bias=False).double()
    conv.weight.copy_(kernel)
    assert torch.equal(ew.conv_to_linear(conv, 6, sparse=False).weight, matrix)
    counts = ew.matrix_counts(conv, 6)
    assert (counts.entries, counts.zeros, counts.distinct) == (16 * 36, 432, 9)
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
