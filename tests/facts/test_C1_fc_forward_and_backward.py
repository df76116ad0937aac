"""C1: y = xWᵀ + b; dx = dy·W, dW = dyᵀ·x, db = Σ over the batch, a product with a vector of ones."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

import everywindow as ew
from everywindow import reference as ref


def test_800_to_500_with_a_batch_of_16() -> None:
    """4·4·50 = 800 inputs, 500 outputs: 400,000 weights and 500 biases."""
    layer = nn.Linear(4 * 4 * 50, 500).double()
    assert (layer.weight.numel(), layer.bias.numel()) == (400_000, 500)
    classifier = ew.Classifier(nn.Sequential(nn.Flatten(), layer), window=4, channels=50)
    assert ew.cost(classifier, 4, predict=False, advise=False).rows[0].params == 400_500
    x, dy = (torch.randn(16, n, dtype=torch.float64) for n in (800, 500))
    x.requires_grad_()
    y = layer(x)
    y.backward(dy)
    w, b = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    np.testing.assert_allclose(ref.linear(x.detach(), w, b), y.detach(), rtol=1e-10, atol=1e-12)
    back = ref.linear_backward(dy, x.detach(), w)
    for ours, torchs in zip(back, (x.grad, layer.weight.grad, layer.bias.grad), strict=True):
        np.testing.assert_allclose(ours, torchs, rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(back.db, np.sum(dy.numpy(), 0), rtol=1e-10, atol=1e-12)
