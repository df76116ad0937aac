"""A4: converting changes neither the weights nor the result at the training size; it removes the fixed input size."""

from __future__ import annotations

import pytest
import torch

import everywindow as ew
from facts_networks import article, weights
from trial_weights import noise


@torch.no_grad()
def test_weights_and_result_stay_and_the_size_is_free() -> None:
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
