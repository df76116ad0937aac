"""The layers: against plain loops, against numerical gradients, and in every mode of a scan."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

import everywindow as ew
import oracle
from everywindow.errors import InputError
from everywindow.layers import (
    AdaptiveWindowPool,
    ChannelGroupMax,
    DistanceWeightedPool,
    LpPool,
    RotatedFilterConv,
    SpatialPyramidPool,
)
from test_random_networks import drawn
from trial_weights import with_trial_weights

Array = NDArray[np.float64]


def boxes(
    x: Array, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int]
) -> Iterator[tuple[Any, Array]]:
    """The place of each output, and its box ``[N, C, *kernel]``, of a map padded with zeros."""
    x = np.pad(x, [(0, 0), (0, 0), *((pad, pad) for pad in padding)])
    counts = [(n - k) // s + 1 for n, k, s in zip(x.shape[2:], kernel, stride, strict=True)]
    for place in product(*map(range, counts)):
        box = tuple(slice(at * s, at * s + k) for at, s, k in zip(place, stride, kernel, strict=True))
        yield (slice(None), slice(None), *place), x[(slice(None), slice(None), *box)]


def pooled(
    x: Tensor, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int], over: Callable[[Array], Array]
) -> Tensor:
    """Each box by ``over``, one by one."""
    made = list(boxes(x.numpy(), kernel, stride, padding))
    counts = [last + 1 for last in made[-1][0][2:]]
    out = np.empty((*x.shape[:2], *counts))
    for place, box in made:
        out[place] = over(box)
    return torch.from_numpy(out)


@st.composite
def pools(draw: Callable[[Any], Any]) -> tuple[Tensor, dict[str, tuple[int, ...]]]:
    """A map of one to three axes, and sizes of boxes that fit."""
    axes = draw(st.integers(1, 3))
    kernel = tuple(draw(st.integers(1, 4)) for _ in range(axes))
    stride = tuple(draw(st.integers(1, 3)) for _ in range(axes))
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    size = [k + draw(st.integers(0, 4)) for k in kernel]
    x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(draw(st.integers(0, 9))), dtype=torch.float64)
    return x, {"kernel_size": kernel, "stride": stride, "padding": padding}


@drawn(60)
@given(pools(), st.sampled_from([1.0, 1.5, 2.0, 3.0, 7.0, math.inf]), st.booleans())
def test_lp_pool_is_the_norm_of_each_box(drawn_pool: Any, p: float, mean: bool) -> None:
    x, settings = drawn_pool

    def norm(box: Array) -> Array:
        flat = abs(box.reshape(*box.shape[:2], -1))
        if math.isinf(p):
            return np.asarray(flat.max(-1))
        return np.asarray(((flat**p).mean(-1) if mean else (flat**p).sum(-1)) ** (1 / p))

    torch.testing.assert_close(
        LpPool(p, **settings, mean=mean)(x), pooled(x, *settings.values(), norm), rtol=1e-12, atol=1e-13
    )


@pytest.mark.parametrize("p", [1, 1.5, 2, 3, 200, math.inf])
@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
def test_lp_pool_neither_overflows_nor_vanishes(p: float, size: float) -> None:
    x = torch.tensor([[[3.0, -4.0, 0.0, 1.0, 0.0, 0.0, 2.0, 2.0]]]) * size
    x.requires_grad_()
    out = LpPool(p, 2)(x)
    due = LpPool(p, 2)(x.detach().double() / size) * size
    torch.testing.assert_close(out.detach().double(), due, rtol=1e-5, atol=0)
    out.sum().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()
    assert x.grad[0, 0, 4:6].tolist() == [0, 0]
    assert float(x.grad[0, 0, 1]) < 0


def test_lp_pool_of_what_is_no_number() -> None:
    out = LpPool(3, 2)(torch.tensor([[[math.inf, 1.0, math.nan, 1.0]]]))[0, 0]
    assert out[0] == math.inf
    assert out[1].isnan()


def test_lp_pool_of_two_is_torchs() -> None:
    x = torch.rand(1, 2, 9, 9, dtype=torch.float64)
    torch.testing.assert_close(LpPool(2, 3, 2)(x), nn.LPPool2d(2, 3, 2)(x), rtol=1e-12, atol=0)


@drawn(40)
@given(pools(), st.sampled_from(["gaussian", "linear"]), st.sampled_from([None, 0.7]))
def test_distance_weighted_pool_is_the_weighted_mean(drawn_pool: Any, weights: Any, sigma: float | None) -> None:
    x, settings = drawn_pool
    sigma = sigma if weights == "gaussian" else None
    kernel = settings["kernel_size"]
    shares = np.empty(kernel)
    corner = math.sqrt(sum(((k - 1) / 2) ** 2 for k in kernel))
    for place in product(*map(range, kernel)):
        away = [at - (k - 1) / 2 for at, k in zip(place, kernel, strict=True)]
        if weights == "linear":
            shares[place] = 1 - math.hypot(*away) / (corner + 1)
        else:
            sigmas = [k / 4 if sigma is None else sigma for k in kernel]
            shares[place] = math.exp(-sum((d / s) ** 2 for d, s in zip(away, sigmas, strict=True)) / 2)
    shares /= shares.sum()

    def mean(box: Array) -> Array:
        return np.asarray((box * shares).reshape(*box.shape[:2], -1).sum(-1))

    found = DistanceWeightedPool(**settings, weights=weights, sigma=sigma)(x)
    torch.testing.assert_close(found, pooled(x, *settings.values(), mean), rtol=1e-11, atol=1e-13)


@drawn(30)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=3), st.integers(1, 5), st.sampled_from(["max", "mean"]))
def test_pools_that_follow_the_input(size: list[int], out: int, reduce: Any) -> None:
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    bins = SpatialPyramidPool((1, out), reduce)(x)
    assert bins.shape == (2, 3 * (1 + out ** len(size)))
    over: Callable[..., Array] = np.max if reduce == "max" else np.mean
    axes = tuple(range(2, x.ndim))
    torch.testing.assert_close(bins[:, :3], torch.from_numpy(np.asarray(over(x.numpy(), axis=axes))))
    level = bins[:, 3:].reshape(2, 3, *(out for _ in size))
    for place in product(range(out), repeat=len(size)):
        part = tuple(slice(i * n // out, -(-(i + 1) * n // out)) for i, n in zip(place, size, strict=True))
        due = over(x.numpy()[(slice(None), slice(None), *part)], axis=axes)
        np.testing.assert_allclose(level[(slice(None), slice(None), *place)].numpy(), due, rtol=1e-12, atol=1e-13)
    if min(size) < out:
        with pytest.raises(InputError, match="give a larger input"):
            AdaptiveWindowPool(out, reduce)(x)
        return
    kernel, stride = [-(-n // out) for n in size], [n // out for n in size]
    due_all = pooled(x, kernel, stride, [0] * len(size), lambda box: np.asarray(over(box, axis=axes)))
    found = AdaptiveWindowPool(out, reduce)(x)
    torch.testing.assert_close(found, due_all[(slice(None), slice(None), *(slice(out) for _ in size))])
    if all(n % out < 2 for n in size):
        torch.testing.assert_close(found, level)


@pytest.mark.parametrize("rotations", [4, 8, 12])
@pytest.mark.parametrize(("kernel", "stride", "groups"), [(3, 1, 1), (4, 1, 2), (5, 2, 2), (1, 3, 1)])
def test_the_map_of_a_turned_image_is_the_turned_map(rotations: int, kernel: int, stride: int, groups: int) -> None:
    conv = RotatedFilterConv(4, 6, kernel, rotations, stride=stride, padding=1, groups=groups).double()
    network = nn.Sequential(conv, ChannelGroupMax(6))
    n = 6 * stride + kernel - 2
    x = torch.randn(2, 4, n, n, dtype=torch.float64)
    torch.testing.assert_close(network(x.rot90(1, (2, 3))), network(x).rot90(1, (2, 3)), rtol=0, atol=1e-12)
    assert not torch.allclose(conv(x.rot90(1, (2, 3))), conv(x).rot90(1, (2, 3))) or kernel == 1


def test_filters_are_turned_by_steps() -> None:
    conv = RotatedFilterConv(2, 3, 3, 4)
    turned = conv.filters().reshape(3, 4, 2, 3, 3)
    for quarter in range(4):
        assert torch.equal(turned[:, quarter], conv.weight.rot90(quarter, (2, 3)))
    eighth = RotatedFilterConv(1, 1, 3, 8)
    with torch.no_grad():
        eighth.weight.zero_()[0, 0, 1, 2] = 1  # to the right of the middle; turned by 45° it points up and right
    found = eighth.filters().detach()[1, 0]
    assert float(found[0, 2]) == pytest.approx(2 - math.sqrt(2))
    assert float(found[2].abs().max()) == 0


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "lp": lambda: LpPool(3, 3, 2),
    "lp, mean": lambda: LpPool(1.5, 2, 1, mean=True),
    "lp, padded": lambda: LpPool(2, 3, 2, 1),
    "lp, infinite": lambda: LpPool(math.inf, 2),
    "gaussian": lambda: DistanceWeightedPool(3, 2),
    "linear, padded": lambda: DistanceWeightedPool(4, 2, 1, weights="linear"),
    "adaptive": lambda: AdaptiveWindowPool(4),
    "adaptive, mean": lambda: AdaptiveWindowPool(4, "mean"),
    "rotated": lambda: nn.Sequential(RotatedFilterConv(4, 3, 3), ChannelGroupMax(3)),
    "rotated, padded": lambda: nn.Sequential(RotatedFilterConv(4, 4, 3, 8, padding=1, groups=2), ChannelGroupMax(2)),
    "pyramid": lambda: nn.Sequential(SpatialPyramidPool((1, 3)), nn.Unflatten(1, (40, 1, 1))),
    "pyramid, mean": lambda: nn.Sequential(SpatialPyramidPool((2, 3), "mean"), nn.Unflatten(1, (52, 1, 1))),
}


@pytest.mark.parametrize("name", LAYERS)
def test_gradients(name: str) -> None:
    layer = LAYERS[name]().double()
    x = torch.randn(1, 4, 7, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True)
    weights = list(layer.parameters())
    assert torch.autograd.gradcheck(lambda *_: layer(x), (x, *weights))


def network(name: str) -> tuple[nn.Module, tuple[int, int]]:
    """A classifier of windows of 18×16 with the layer inside."""
    first = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Tanh(), LAYERS[name]())
    features = first(torch.zeros(1, 2, 18, 16)).flatten(1).shape[1]
    whole = nn.Sequential(first, nn.Flatten(), nn.Linear(features, 3)).double().eval()
    return with_trial_weights(whole, 2, (18, 16)), (18, 16)


@pytest.mark.parametrize("name", LAYERS)
def test_all_modes(name: str) -> None:
    module, window = network(name)
    image = torch.randn(2, 33, 29, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    for stride in ((1, 2), (2, 3)):
        expected = oracle.crops(module, image, window, stride)
        found = ew.scan(module, image, window=window, stride=stride, dtype=torch.float64)
        assert oracle.relative_difference(found.scores, expected) <= 1e-10
        assert "nothing is known" not in str(found.plan)
    converted = ew.convolutionalize(module, window=window, channels=2).eval()
    assert converted.verdict.exact == ("padded" not in name)
    if converted.verdict.exact:
        step = converted.geometry.stride
        expected = oracle.crops(module, image, window, step)
        assert oracle.relative_difference(converted(image[None])[0].detach(), expected) <= 1e-10
    assert ew.cost(module, image_size=(33, 29), window=window, stride=1).macs["exact"] > 0


@pytest.mark.parametrize("name", LAYERS)
def test_export(name: str) -> None:
    module, window = network(name)
    batch = {"x": {0: torch.export.Dim.DYNAMIC}}

    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = module

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.body(x)
            return out

    exported = torch.export.export(Named(), (torch.randn(2, 2, *window).double(),), dynamic_shapes=batch)
    x = torch.randn(5, 2, *window).double()
    torch.testing.assert_close(exported.module()(x), module(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda: LpPool(0.5, 2), "p: 0.5 is less than 1"),
        (lambda: LpPool(2, 0), "kernel_size: 0"),
        (lambda: LpPool(2, 2, padding=2), "padding: 2 is more than half of the kernel 2"),
        (lambda: LpPool(2, (2, 2))(torch.rand(1, 1, 5)), "kernel_size: 2 numbers for 1 axes"),
        (lambda: LpPool(2, 2)(torch.rand(1, 5)), "give .N, C, .axes."),
        (lambda: DistanceWeightedPool(3, weights="cubic"), "weights: 'cubic'"),  # type: ignore[arg-type]
        (lambda: DistanceWeightedPool(3, sigma=0), "sigma: 0 is not positive"),
        (lambda: DistanceWeightedPool(3, weights="linear", sigma=1), "sigma: linear weights have none"),
        (lambda: SpatialPyramidPool(()), "levels"),
        (lambda: SpatialPyramidPool((1,), "sum"), "reduce: 'sum'"),  # type: ignore[arg-type]
        (lambda: RotatedFilterConv(3, 4, 3, groups=2), "groups: 2 do not divide"),
        (lambda: RotatedFilterConv(3, 4, 3)(torch.rand(1, 3, 9)), "give images"),
        (lambda: ChannelGroupMax(3)(torch.rand(1, 4)), "4 channels in 3 groups"),
    ],
)
def test_what_is_refused(wrong: Callable[[], object], told: str) -> None:
    with pytest.raises(InputError, match=told):
        wrong()


@pytest.mark.parametrize("name", ["lp, mean", "rotated, padded"])
def test_onnx(name: str, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    layer = LAYERS[name]().eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of torch's exporter
        batch = ({0: torch.export.Dim.DYNAMIC},)
        program = torch.onnx.export(layer, (torch.randn(2, 4, 9, 8),), dynamo=True, dynamic_shapes=batch, verbose=False)
    assert program is not None
    program.save(tmp_path / "layer.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "layer.onnx")
    x = torch.randn(5, 4, 9, 8)
    found = session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]
    np.testing.assert_allclose(found, layer(x).detach().numpy(), atol=1e-5)
