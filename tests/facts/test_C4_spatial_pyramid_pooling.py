"""C4: spatial pyramid pooling gives a vector of one length from any size."""

from __future__ import annotations

import pytest
import torch

from everywindow import reference as ref
from everywindow.layers import SpatialPyramidPool


@pytest.mark.parametrize("size", [(4, 4), (7, 9), (13, 13), (40, 21)])
@pytest.mark.parametrize("reduce", ["max", "mean"])
def test_a_vector_of_one_length(size: tuple[int, int], reduce: str) -> None:
    """1·1 + 2·2 + 4·4 = 21 numbers of each channel."""
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    vector = SpatialPyramidPool((1, 2, 4), reduce)(x)
    assert vector.shape == (2, 3 * 21)
    assert torch.allclose(vector, torch.tensor(ref.pyramid_pool(x, (1, 2, 4), reduce)), rtol=0, atol=1e-12)
