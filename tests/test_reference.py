"""The layers in plain NumPy, against torch's in double precision and against numerical gradients."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

import everywindow as ew
from everywindow import reference as ref
from everywindow.reference import Statistics

Array = np.ndarray[Any, Any]
CONV = (F.conv1d, F.conv2d, F.conv3d)
MAX = (F.max_pool1d, F.max_pool2d, F.max_pool3d)
MEAN = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)
LP = (F.lp_pool1d, F.lp_pool2d, F.lp_pool3d)
BINS = {
    "mean": (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d),
    "max": (F.adaptive_max_pool1d, F.adaptive_max_pool2d, F.adaptive_max_pool3d),
}
LONGEST = (12, 9, 6)
examples = settings(max_examples=40)


def drawn(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).standard_normal(shape)


def by_torch(call: Callable[..., Tensor], *values: Array, dy: Array | None = None) -> tuple[Array, list[Array], Array]:
    """Torch's output, the derivatives by the values, and the derivative by the output that these were made with."""
    tensors = [torch.tensor(value, requires_grad=True) for value in values]
    y = call(*tensors)
    dy = drawn(99, *y.shape) if dy is None else dy
    grads = torch.autograd.grad(y, tensors, torch.tensor(dy))
    return y.detach().numpy(), [grad.numpy() for grad in grads], dy


def assert_equal(ours: Any, torchs: Array) -> None:
    assert np.shape(ours) == torchs.shape
    np.testing.assert_allclose(ours, torchs, rtol=1e-10, atol=1e-12)


def numerical(call: Callable[[Array], Any], x: Array, dy: Array | float = 1.0, step: float = 1e-6) -> Array:
    """Derivative of ``Σ dy·call(x)`` by each number of ``x``: central differences."""
    dx = np.zeros_like(x)
    for at in np.ndindex(x.shape):
        more, less = x.copy(), x.copy()
        more[at] += step
        less[at] -= step
        dx[at] = np.sum(dy * (np.asarray(call(more)) - np.asarray(call(less)))) / (2 * step)
    return dx


def assert_near(ours: Any, numbers: Array) -> None:
    np.testing.assert_allclose(ours, numbers, rtol=2e-6, atol=2e-7)


@st.composite
def slides(draw: st.DrawFn, most_dilation: int = 2) -> dict[str, Any]:
    """A map's size, and a kernel that slides over it; its padding is at most half the kernel, as torch wants."""
    axes = draw(st.integers(1, 3))
    each = lambda least, most: tuple(draw(st.integers(least, most)) for _ in range(axes))  # noqa: E731
    kernel, stride, dilation = each(1, 3), each(1, 3), each(1, most_dilation)
    size = each(1, LONGEST[axes - 1])
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    assume(all(n + 2 * p > d * (k - 1) for n, p, d, k in zip(size, padding, dilation, kernel, strict=True)))
    return {"size": size, "kernel": kernel, "stride": stride, "dilation": dilation, "padding": padding}


@examples
@given(batch=st.integers(1, 16), inputs=st.integers(1, 9), outputs=st.integers(1, 9))
def test_linear(batch: int, inputs: int, outputs: int) -> None:
    x, w, b = drawn(1, batch, inputs), drawn(2, outputs, inputs), drawn(3, outputs)
    y, grads, dy = by_torch(F.linear, x, w, b)
    assert_equal(ref.linear(x, w, b), y)
    for ours, torchs in zip(ref.linear_backward(dy, x, w), grads, strict=True):
        assert_equal(ours, torchs)


@settings(max_examples=80)
@given(
    slide=slides(),
    groups=st.sampled_from([1, 2, 3]),
    more=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    extra=st.tuples(*[st.tuples(st.integers(0, 2), st.integers(0, 2))] * 3),
)
def test_convolution(
    slide: dict[str, Any], groups: int, more: tuple[int, int], extra: Sequence[tuple[int, int]]
) -> None:
    """Also with other padding before the map than after it."""
    axes = len(slide["size"])
    padding = [(p + low, p + high) for p, (low, high) in zip(slide["padding"], extra, strict=False)]
    sides = [side for pair in reversed(padding) for side in pair]
    how = {"stride": slide["stride"], "dilation": slide["dilation"], "groups": groups}
    x = drawn(1, 2, groups * more[0], *slide["size"])
    w, b = drawn(2, groups * more[1], more[0], *slide["kernel"]), drawn(3, groups * more[1])
    y, grads, dy = by_torch(lambda *args: CONV[axes - 1](F.pad(args[0], sides), *args[1:], **how), x, w, b)
    assert_equal(ref.conv(x, w, b, padding=padding, **how), y)
    assert_equal(ref.conv(x, w, padding=padding, **how), y - b.reshape(-1, *(1,) * axes))
    for ours, torchs in zip(ref.conv_backward(dy, x, w, padding=padding, **how), grads, strict=True):
        assert_equal(ours, torchs)


@examples
@given(slide=slides(), ceil_mode=st.booleans())
def test_max_pool(slide: dict[str, Any], ceil_mode: bool) -> None:
    size = slide.pop("size")
    x = drawn(1, 2, 3, *size)
    torchs = {"kernel_size": slide["kernel"], "ceil_mode": ceil_mode}
    torchs |= {key: slide[key] for key in ("stride", "padding", "dilation")}
    assume(np.isfinite(ref.max_pool(x, **slide, ceil_mode=ceil_mode)).all())  # torch aborts where all is padding
    y, (dx,), dy = by_torch(lambda x: MAX[len(size) - 1](x, **torchs), x)
    assert_equal(ref.max_pool(x, **slide, ceil_mode=ceil_mode), y)
    assert_equal(ref.max_pool_backward(dy, x, **slide, ceil_mode=ceil_mode), dx)


@settings(max_examples=80)
@given(slide=slides(most_dilation=1), ceil_mode=st.booleans(), count_include_pad=st.booleans())
def test_mean_pool(slide: dict[str, Any], ceil_mode: bool, count_include_pad: bool) -> None:
    size, kernel = slide["size"], slide["kernel"]
    assume(len(size) < 3 or all(n >= k for n, k in zip(size, kernel, strict=True)))  # torch's does not see the padding
    how = {"stride": slide["stride"], "padding": slide["padding"]}
    how |= {"ceil_mode": ceil_mode, "count_include_pad": count_include_pad}
    x = drawn(1, 2, 3, *size)
    y, (dx,), dy = by_torch(lambda x: MEAN[len(size) - 1](x, kernel, **how), x)
    assert_equal(ref.mean_pool(x, kernel, **how), y)
    assert_equal(ref.mean_pool_backward(dy, x, kernel, **how), dx)


@examples
@given(slide=slides(most_dilation=1), p=st.sampled_from([1.0, 1.5, 2.0, 3.0, 7.0]), mean=st.booleans())
def test_lp_pool(slide: dict[str, Any], p: float, mean: bool) -> None:
    """torch's takes the sum, no padding, and odd powers as they are."""
    size, kernel, stride = (slide[key] for key in ("size", "kernel", "stride"))
    sides = [side for padding in reversed(slide["padding"]) for side in (padding, padding)]
    factor = np.prod(kernel) ** (-1 / p) if mean else 1.0

    def torchs(x: Tensor) -> Tensor:
        taps, steps = (kernel, stride) if len(size) > 1 else (kernel[0], stride[0])
        return factor * LP[len(size) - 1](F.pad(x, sides).abs(), p, taps, steps)

    x = drawn(1, 2, 3, *size)
    y, (dx,), dy = by_torch(torchs, x)
    how = {"p": p, "kernel": kernel, "stride": stride, "padding": slide["padding"], "mean": mean}
    assert_equal(ref.lp_pool(x, **how), y)
    assume(np.all(y > 0))  # torch's derivative at 0 is not a number
    assert_equal(ref.lp_pool_backward(dy, x, **how), dx)


@examples
@given(slide=slides(most_dilation=1))
def test_lp_pool_of_no_end_is_the_largest_size(slide: dict[str, Any]) -> None:
    x = drawn(1, 2, 3, *slide.pop("size"))
    del slide["dilation"]
    y = ref.lp_pool(x, p=np.inf, **slide)
    assert_equal(y, np.maximum(0, ref.max_pool(np.abs(x), **slide)))
    dy = drawn(2, *y.shape)
    expected = np.sign(x) * ref.max_pool_backward(dy, np.abs(x), **slide)
    assert_equal(ref.lp_pool_backward(dy, x, p=np.inf, **slide), expected)


@pytest.mark.parametrize("size", [1e30, 1e-30])
def test_lp_pool_takes_large_powers_of_large_and_small_numbers(size: float) -> None:
    x = size * np.array([[[1.0, -2.0, 0.5, 0.0, 0.0, 0.0]]])
    y = ref.lp_pool(x, p=200, kernel=3)
    np.testing.assert_allclose(y, [[[2 * size, 0]]], rtol=1e-12)
    dx = ref.lp_pool_backward(np.ones_like(y), x, p=200, kernel=3)
    np.testing.assert_allclose(dx, [[[0, -1, 0, 0, 0, 0]]], atol=1e-12)


@examples
@given(slide=slides(most_dilation=1))
def test_weighted_pool(slide: dict[str, Any]) -> None:
    """Torch's: a convolution of each channel by itself."""
    size, how = slide["size"], {key: slide[key] for key in ("stride", "padding")}
    x, g = drawn(1, 2, 3, *size), drawn(2, *slide["kernel"])
    kernels = torch.tensor(np.stack([g[None]] * 3))
    y, (dx,), dy = by_torch(lambda x: CONV[len(size) - 1](x, kernels, groups=3, **how), x)
    assert_equal(ref.weighted_pool(x, g, **how), y)
    assert_equal(ref.weighted_pool_backward(dy, x, g, **how), dx)


@examples
@given(
    lengths=st.lists(st.tuples(st.integers(1, 8), st.integers(1, 6)), min_size=1, max_size=3),
    reduce=st.sampled_from(["mean", "max"]),
)
def test_adaptive_pool(lengths: list[tuple[int, int]], reduce: str) -> None:
    """Also into more bins than positions."""
    size, bins = zip(*lengths, strict=True)
    x = drawn(1, 2, 3, *size)
    y, (dx,), dy = by_torch(lambda x: BINS[reduce][len(size) - 1](x, bins), x)
    assert_equal(ref.adaptive_pool(x, bins, reduce), y)
    assert_equal(ref.adaptive_pool_backward(dy, x, bins, reduce), dx)


@examples
@given(
    size=st.lists(st.integers(4, 7), min_size=1, max_size=3),
    levels=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    reduce=st.sampled_from(["mean", "max"]),
)
def test_pyramid_pool(size: list[int], levels: list[int], reduce: str) -> None:
    axes = len(size)
    pool = BINS[reduce][axes - 1]
    x = drawn(1, 2, 3, *size)
    y, (dx,), dy = by_torch(lambda x: torch.cat([pool(x, (m,) * axes).flatten(1) for m in levels], 1), x)
    assert_equal(ref.pyramid_pool(x, levels, reduce), y)
    assert_equal(ref.pyramid_pool_backward(dy, x, levels, reduce), dx)


@examples
@given(size=st.lists(st.integers(1, 4), max_size=3), groups=st.integers(1, 3), each=st.integers(1, 4))
def test_group_max(size: list[int], groups: int, each: int) -> None:
    x = drawn(1, 2, groups * each, *size)
    y, (dx,), dy = by_torch(lambda x: x.unflatten(1, (groups, each)).amax(2), x)
    assert_equal(ref.group_max(x, each), y)
    assert_equal(ref.group_max_backward(dy, x, each), dx)


@examples
@given(size=st.lists(st.integers(1, 4), max_size=3), batch=st.integers(2, 5), training=st.booleans())
def test_batch_norm(size: list[int], batch: int, training: bool) -> None:
    x, w, b = drawn(1, batch, 3, *size), drawn(2, 3), drawn(3, 3)
    old = Statistics(drawn(4, 3), drawn(5, 3) ** 2)
    mean, variance = (torch.tensor(one) for one in old)
    known = None if training else old
    y, (dx, dw, db), dy = by_torch(lambda x, w, b: F.batch_norm(x, mean, variance, w, b, training), x, w, b)
    assert_equal(ref.batch_norm(x, w, b, known), y)
    ours = ref.batch_norm_backward(dy, x, w, known)
    np.testing.assert_allclose(ours.dx, dx, rtol=1e-7, atol=1e-7)  # differences of nearly equal numbers
    assert_equal(ours.dw, dw)
    assert_equal(ours.db, db)
    if training:
        for new, torchs in zip(ref.running_statistics(x, *old), (mean, variance), strict=True):
            assert_equal(new, torchs.numpy())


@examples
@given(shape=st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_relu(shape: list[int]) -> None:
    x = drawn(1, *shape)
    y, (dx,), dy = by_torch(torch.relu, x)
    assert_equal(ref.relu(x), y)
    assert_equal(ref.relu_backward(dy, x), dx)


def test_dropout() -> None:
    """The mean over many masks is the input; without a mask nothing changes."""
    generator, x, dy = np.random.default_rng(0), drawn(1, 4, 5), drawn(2, 4, 5)
    masks = [ref.dropout_mask(x.shape, 0.7, generator) for _ in range(4000)]
    assert set(np.unique(masks)) == {0.0, 1.0}
    assert np.mean(masks) == pytest.approx(0.7, abs=0.01)
    np.testing.assert_allclose(np.mean([ref.dropout(x, 0.7, mask) for mask in masks], 0), x, rtol=0.06)
    mask = torch.tensor(masks[0])
    y, (dx,), dy = by_torch(lambda x: x * mask / 0.7, x, dy=dy)
    assert_equal(ref.dropout(x, 0.7, masks[0]), y)
    assert_equal(ref.dropout_backward(dy, 0.7, masks[0]), dx)
    assert_equal(ref.dropout(x), x)
    assert_equal(ref.dropout_backward(dy), dy)
    assert ref.dropout_mask((2, 9), 1.0, generator).all()


@examples
@given(size=st.lists(st.integers(1, 4), max_size=3), classes=st.integers(1, 5), large=st.sampled_from([1.0, 1e3]))
def test_softmax_and_cross_entropy(size: list[int], classes: int, large: float) -> None:
    z = large * drawn(1, 3, classes, *size)
    labels = np.random.default_rng(2).integers(0, classes, (3, *size))
    y, (dz,), dy = by_torch(lambda z: z.softmax(1), z)
    assert_equal(ref.softmax(z), y)
    assert_equal(ref.softmax_backward(dy, z), dz)
    loss, (dz,), _ = by_torch(lambda z: F.cross_entropy(z, torch.tensor(labels)), z, dy=np.ones(()))
    assert_equal(ref.cross_entropy(z, labels), loss)
    assert_equal(ref.cross_entropy_backward(z, labels), dz)


X = drawn(1, 2, 4, 5, 3)
BACKWARD: dict[str, tuple[Callable[[Array], Any], Callable[[Array], Any]]] = {
    "max_pool": (
        lambda x: ref.max_pool(x, (3, 2), 2, 1, ceil_mode=True),
        lambda dy: ref.max_pool_backward(dy, X, (3, 2), 2, 1, ceil_mode=True),
    ),
    "mean_pool": (
        lambda x: ref.mean_pool(x, 2, (2, 1), [(0, 1), 1], True, False),
        lambda dy: ref.mean_pool_backward(dy, X, 2, (2, 1), [(0, 1), 1], True, False),
    ),
    "adaptive_pool": (lambda x: ref.adaptive_pool(x, (3, 2)), lambda dy: ref.adaptive_pool_backward(dy, X, (3, 2))),
    "pyramid_pool": (lambda x: ref.pyramid_pool(x), lambda dy: ref.pyramid_pool_backward(dy, X)),
    "group_max": (lambda x: ref.group_max(x, 2), lambda dy: ref.group_max_backward(dy, X, 2)),
    "relu": (ref.relu, lambda dy: ref.relu_backward(dy, X)),
    "softmax": (ref.softmax, lambda dy: ref.softmax_backward(dy, X)),
    **{
        f"lp_pool {p} {mean}": (
            lambda x, p=p, mean=mean: ref.lp_pool(x, p, 2, 1, 1, mean),
            lambda dy, p=p, mean=mean: ref.lp_pool_backward(dy, X, p, 2, 1, 1, mean),
        )
        for p, mean in product((1.5, 3, np.inf), (False, True))
    },
}


@pytest.mark.parametrize("name", list(BACKWARD))
def test_backward_is_the_numerical_gradient(name: str) -> None:
    call, backward = BACKWARD[name]
    dy = drawn(7, *np.shape(call(X)))
    assert_near(backward(dy), numerical(call, X, dy))


def test_gradients_of_weights_are_numerical_ones() -> None:
    x, w, b = drawn(1, 2, 4, 5), drawn(2, 6, 2, 3), drawn(3, 6)
    how: dict[str, Any] = {"stride": 2, "padding": [(2, 1)], "dilation": 2, "groups": 2}
    dy = drawn(4, *ref.conv(x, w, b, **how).shape)
    back = ref.conv_backward(dy, x, w, **how)
    assert_near(back.dx, numerical(lambda x: ref.conv(x, w, b, **how), x, dy))
    assert_near(back.dw, numerical(lambda w: ref.conv(x, w, b, **how), w, dy))
    assert_near(back.db, numerical(lambda b: ref.conv(x, w, b, **how), b, dy))
    flat, matrix, dy = drawn(1, 3, 4), drawn(2, 5, 4), drawn(4, 3, 5)
    linear = ref.linear_backward(dy, flat, matrix)
    assert_near(linear.dx, numerical(lambda x: ref.linear(x, matrix), flat, dy))
    assert_near(linear.dw, numerical(lambda w: ref.linear(flat, w), matrix, dy))
    x, w, b = drawn(1, 3, 2, 4), drawn(2, 2), drawn(3, 2)
    for known in (None, Statistics(drawn(5, 2), drawn(6, 2) ** 2)):
        dy = drawn(4, *x.shape)
        norm = ref.batch_norm_backward(dy, x, w, known)
        assert_near(norm.dx, numerical(lambda x, known=known: ref.batch_norm(x, w, b, known), x, dy))
        assert_near(norm.dw, numerical(lambda w, known=known: ref.batch_norm(x, w, b, known), w, dy))
        assert_near(norm.db, numerical(lambda b, known=known: ref.batch_norm(x, w, b, known), b, dy))


def test_the_gradient_of_a_loss_is_the_numerical_one() -> None:
    z, labels = drawn(1, 3, 4, 2), np.random.default_rng(2).integers(0, 4, (3, 2))
    assert_near(ref.cross_entropy_backward(z, labels), numerical(lambda z: ref.cross_entropy(z, labels), z))


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: ref.conv(X, drawn(1, 4, 4, 9, 9)), "kernel: .* does not fit into .*: give a smaller one"),
        (lambda: ref.conv(X, drawn(1, 4, 3, 1, 1)), "groups: 4 channels .* give weights"),
        (lambda: ref.conv(X, drawn(1, 3, 2, 1, 1), groups=2), "groups: .* a multiple of groups"),
        (lambda: ref.max_pool(X, (2, 2, 2)), "kernel: 3 numbers for 2 axes: give one"),
        (lambda: ref.max_pool(X, 2, padding=[1]), "padding: 1 entries for 2 axes: give one"),
        (lambda: ref.adaptive_pool(X, 2, "sum"), "reduce: 'sum' is none of mean, max"),
        (lambda: ref.group_max(X, 3), "size: 4 channels do not make groups of 3"),
        (lambda: ref.dropout_mask((2,), 0, np.random.default_rng()), "keep: 0 is no probability"),
    ],
)
def test_errors_name_the_thing_the_reason_and_the_remedy(call: Callable[[], Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        call()


def test_it_shares_nothing() -> None:
    """It imports NumPy and the standard library, and nothing else of the package imports it."""
    package = Path(ew.__file__).parent
    home = package / "reference"
    assert {name for file in home.glob("*.py") for name in _roots(file)} <= {
        "numpy",
        "everywindow.reference",
        *sys.stdlib_module_names,
    }
    others = [file for file in package.rglob("*.py") if home not in file.parents]
    assert [file.name for file in others if "everywindow.reference" in _roots(file)] == []


def _roots(file: Path) -> set[str]:
    """What a file imports: the first part of the names, of this package the first two."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {".".join(name.split(".")[: 2 if name.startswith("everywindow") else 1]) for name in names}
