"""A fully connected layer as a convolution, and a convolution as a fully connected layer: numbers and counts."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import everywindow as ew
from everywindow.costing import as_fully_connected
from everywindow.errors import InputError
from everywindow.layers import SparseLinear
from test_random_networks import drawn

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same'")

SHAPES = [((5,), "c"), ((3, 4), "cl"), ((3, 4, 2), "chw"), ((2, 3, 2, 4), "cdhw")]


@pytest.mark.parametrize(("shape", "letters"), SHAPES)
def test_a_fully_connected_layer_is_a_convolution(shape: tuple[int, ...], letters: str) -> None:
    x = torch.randn(2, *shape, dtype=torch.float64)
    for order in map("".join, permutations(letters)):
        flat = x.permute(0, *(1 + letters.index(letter) for letter in order)).flatten(1)
        linear = nn.Linear(prod(shape), 7, bias=order != letters).double()
        conv = ew.linear_to_conv(linear, shape, order)
        map_in = x if len(shape) > 1 else x[:, :, None, None]
        torch.testing.assert_close(conv(map_in).flatten(1), linear(flat), rtol=1e-12, atol=1e-12)
        assert conv.weight.numel() == linear.weight.numel()
        assert (conv.bias is None) == (linear.bias is None)


def test_the_default_order_is_that_of_flatten() -> None:
    linear = nn.Linear(48, 10)
    conv = ew.linear_to_conv(linear.requires_grad_(False), (3, 4, 4))
    assert torch.equal(conv.weight, linear.weight.reshape(10, 3, 4, 4))
    assert conv.weight.data_ptr() != linear.weight.data_ptr()
    assert not conv.weight.requires_grad
    assert conv(torch.rand(1, 3, 8, 8)).shape == (1, 10, 5, 5)


@st.composite
def convolutions(draw: Callable[[Any], Any]) -> tuple[Any, tuple[int, ...]]:
    """A convolution of any settings in float64, and a size of its input."""
    axes = draw(st.integers(1, 3))
    most = (9, 6, 4)[axes - 1]
    size = tuple(draw(st.integers(1, most)) for _ in range(axes))
    kernel, dilation = ([draw(st.integers(1, 3)) for _ in range(axes)] for _ in range(2))
    groups = draw(st.integers(1, 2))
    mode = draw(st.sampled_from(["zeros", "zeros", "reflect", "replicate", "circular"]))
    padding: Any = tuple(draw(st.integers(0, 2)) for _ in range(axes))
    stride = tuple(draw(st.integers(1, 3)) for _ in range(axes))
    if draw(st.integers(0, 4)) == 0:
        padding, stride = draw(st.sampled_from([("same", (1,) * axes), ("valid", stride)]))
    make = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[axes - 1]
    channels, out = (groups * draw(st.integers(1, 2)) for _ in range(2))
    torch.manual_seed(draw(st.integers(0, 9)))
    conv = make(channels, out, kernel, stride, padding, dilation, groups, draw(st.booleans()), mode)
    return conv.double(), size


def plain_matrix(conv: Any, size: tuple[int, ...]) -> Tensor:
    """Column by column: what the convolution makes of each unit map."""
    units = torch.eye(conv.in_channels * prod(size), dtype=conv.weight.dtype).reshape(-1, conv.in_channels, *size)
    with torch.no_grad():
        out = conv(units)
        return (out - conv(torch.zeros_like(units[:1]))).flatten(1).T


@drawn(120)
@given(convolutions())
def test_a_convolution_is_a_fully_connected_layer(drawn_one: Any) -> None:
    conv, size = drawn_one
    x = torch.randn(3, conv.in_channels, *size, dtype=torch.float64)
    try:
        due = conv(x).detach().flatten(1)
    except RuntimeError:
        with pytest.raises(InputError, match="too few"):
            ew.conv_to_linear(conv, size)
        return
    dense, sparse = (ew.conv_to_linear(conv, size, sparse=way) for way in (False, True))
    assert isinstance(dense, nn.Linear)
    assert isinstance(sparse, SparseLinear)
    torch.testing.assert_close(dense(x.flatten(1)), due, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(sparse(x.flatten(1)), due, rtol=1e-12, atol=1e-12)
    expected = plain_matrix(conv, size)
    torch.testing.assert_close(dense.weight.detach(), expected, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(sparse.weight.to_dense(), dense.weight.detach(), rtol=1e-12, atol=1e-13)
    check_counts(conv, size, dense.weight.detach().numpy())


def check_counts(conv: Any, size: tuple[int, ...], matrix: np.ndarray) -> None:
    """What is counted without the matrix is what stands in it."""
    counts = ew.matrix_counts(conv, size)
    shown = matrix[matrix != 0]
    assert (counts.outputs, counts.inputs) == matrix.shape
    assert counts.entries == matrix.size
    assert counts.zeros == matrix.size - shown.size
    assert counts.nonzeros == shown.size
    if conv.padding_mode == "zeros":  # elsewhere sums of the same weights may differ by rounding
        assert counts.distinct == len(np.unique(shown))
    else:
        assert counts.distinct == pytest.approx(len(np.unique(np.round(shown, 10))), abs=1 + 0.2 * shown.size)
    assert counts.inputs_per_output == (matrix != 0).sum(1).max()
    assert counts.outputs_per_input == (matrix != 0).sum(0).max()
    assert counts.params == conv.weight.numel()


def test_counts_of_the_articles() -> None:
    one = ew.matrix_counts(nn.Conv1d(1, 1, 3, padding=1, bias=False), 10)
    assert (one.inputs_per_output, one.outputs_per_input) == (3, 3)
    assert one.uses_per_weight == pytest.approx(28 / 3)
    two = ew.matrix_counts(nn.Conv2d(1, 1, 2, bias=False), 32)
    price = as_fully_connected(size=32, kernel=2)
    assert (two.params, two.entries) == (price.params, price.other_params)
    assert two.entries == 246_016 * two.params == 256 * price.macs
    assert two.distinct == 4


def test_large_matrices_are_counted_held_sparse_or_refused() -> None:
    conv = nn.Conv2d(3, 8, 3, padding=1, bias=False)
    assert ew.matrix_counts(conv, 512).entries == 8 * 3 * 512**4
    made = ew.conv_to_linear(conv, 64)
    assert isinstance(made, SparseLinear)
    x = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(made(x.flatten(1)), conv(x).flatten(1), rtol=1e-4, atol=1e-5)
    with pytest.raises(InputError, match=r"dense matrix of 32,768×12,288 takes 1,610,612,736 bytes.*sparse=True"):
        ew.conv_to_linear(conv, 64, sparse=False)
    with pytest.raises(InputError, match=r"sparse matrix .* bytes, and max_bytes is 1,000; give a smaller input_size"):
        ew.conv_to_linear(conv, 64, max_bytes=1000)


def test_a_sparse_layer_moves_and_has_gradients() -> None:
    conv = nn.Conv1d(2, 3, 3, stride=2)
    sparse = ew.conv_to_linear(conv, 11, sparse=True).double()
    again = ew.conv_to_linear(nn.Conv1d(2, 3, 3, stride=2), 11, sparse=True).double()
    again.load_state_dict(sparse.state_dict())
    x = torch.randn(2, 22, dtype=torch.float64, requires_grad=True)
    assert torch.equal(again(x), sparse(x))
    assert torch.autograd.gradcheck(sparse, (x,))


@pytest.mark.parametrize(
    ("conv", "size"),
    [(nn.Conv2d(1, 1, 3), 6), (nn.Conv1d(2, 3, 3, padding=1), 8), (nn.Conv3d(1, 2, 2), 3), (nn.Conv2d(2, 2, 2), 40)],
)
def test_the_drawing_shows_zeros_and_repeated_values(conv: Any, size: int, tmp_path: Path) -> None:
    if size == 40:
        with pytest.raises(InputError, match="too large to be drawn"):
            ew.toeplitz_figure(conv, size)
        return
    figure = ew.toeplitz_figure(conv, size)
    picture = np.asarray(figure.axes[1].images[0].get_array())
    matrix = plain_matrix(conv, (size,) * (conv.weight.ndim - 2)).numpy()
    assert picture.shape[:2] == matrix.shape
    blank = picture[matrix == 0]
    assert (blank == blank[0]).all()
    colours = {tuple(colour) for colour in picture[matrix != 0]}
    assert len(colours) == ew.matrix_counts(conv, size).distinct
    figure.savefig(tmp_path / "matrix.png")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda: ew.linear_to_conv(nn.Linear(10, 2), (3, 4)), "makes 12 features, and the layer takes 10"),
        (lambda: ew.linear_to_conv(nn.Linear(12, 2), (3, 2, 2), "chx"), "order: 'chx'"),
        (lambda: ew.linear_to_conv(nn.Linear(1, 2), ()), "shape"),
        (lambda: ew.conv_to_linear(nn.ConvTranspose2d(1, 1, 2), 4), "ConvTranspose2d: not a convolution"),  # type: ignore[arg-type]
        (lambda: ew.matrix_counts(nn.Conv2d(1, 1, 5), 4), "input_size: 4 positions are too few"),
        (lambda: ew.matrix_counts(nn.Conv2d(1, 1, 5), (8, 8, 8)), "3 numbers for 2 axes"),
    ],
)
def test_what_is_refused(wrong: Callable[[], object], told: str) -> None:
    with pytest.raises(InputError, match=told):
        wrong()
