"""The routines that compute in less time: against the library's, which they stand in for."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

import everywindow as ew
from everywindow.convert.kept import for_inference
from everywindow.kernels import MaxPool, Shape, bands, convolved, minimal, saves, tanh_
from everywindow.kernels.minimal import Filter, axis_of

LAST = torch.channels_last


def _map(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype).contiguous(memory_format=LAST)


@pytest.mark.parametrize(("outputs", "taps"), [(2, 3), (4, 3), (3, 4), (2, 5)])
def test_the_matrices_filter(outputs: int, taps: int) -> None:
    found = minimal.minimal(outputs, taps)
    assert found.products == outputs + taps - 1 == len(found.of_inputs) == len(found.of_taps)
    signal, kernel = _map(1, 1, 1, found.products).flatten(), _map(1, 1, 1, taps, seed=1).flatten()
    matrices = (torch.tensor(m, dtype=torch.float64) for m in (found.of_inputs, found.of_taps, found.of_products))
    of_inputs, of_taps, of_products = matrices
    expected = torch.stack([signal[at : at + taps] @ kernel for at in range(outputs)])
    torch.testing.assert_close(of_products @ ((of_taps @ kernel) * (of_inputs @ signal)), expected, atol=1e-13, rtol=0)


small = st.integers(1, 3)


@given(
    st.sampled_from([3, 4, 5]),
    st.integers(1, 5),
    st.tuples(small, small),
    st.integers(0, 1),
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
    st.tuples(small, st.sampled_from([2, 130, 256])),
    st.integers(200, 20000),
    st.booleans(),
)
def test_filtering_is_convolution(
    taps: int,
    across: int,
    dilation: tuple[int, int],
    axis: int,
    lengths: tuple[int, int],
    wide: Any,
    band: int,
    coarse: bool,
) -> None:
    items, channels = wide
    sides = (taps, across) if axis == 0 else (across, taps)
    size = [n + d * (k - 1) for n, d, k in zip(lengths, dilation, sides, strict=True)]
    x, weight, bias = _map(items, channels, *size), _map(256, channels, *sides, seed=1), _map(1, 256, 1, 1, seed=2)
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(minimal, "BAND", band)
        patch.setattr(minimal, "LONG", 2)
        found = minimal.Filter(weight, bias.flatten(), dilation, axis, coarse)(x)
    expected = F.conv2d(x, weight, bias.flatten(), 1, 0, dilation)
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)


@given(st.data())
def test_bands_give_the_whole(data: st.DataObject) -> None:
    pair = st.tuples(small, small)
    kernel, dilation, stride = data.draw(st.tuples(st.integers(1, 5), st.integers(1, 5))), data.draw(pair), (1, 1)
    stride = data.draw(st.sampled_from([stride, stride, (2, 1), (2, 3)]))
    padding = data.draw(st.tuples(st.integers(0, 4), st.integers(0, 4)))
    groups, filters = data.draw(st.sampled_from([1, 1, 2])), data.draw(st.booleans())
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    size = [least + data.draw(st.integers(0, 25)) for least in reach]
    x, weight = _map(1, 4, *size), _map(6, 4 // groups, *kernel, seed=1)
    expected = torch.tanh(F.conv2d(x, weight, None, stride, padding, dilation, groups))
    pool = None
    if data.draw(st.booleans()):
        pool = MaxPool(data.draw(pair), data.draw(st.tuples(st.integers(1, 4), st.integers(1, 4))), data.draw(pair))
        room = zip(expected.shape[2:], pool.kernel, pool.dilation, strict=True)
        pool = pool if all(n > d * (k - 1) for n, k, d in room) else None
    if pool is not None:
        expected = F.max_pool2d(expected, pool.kernel, pool.stride, 0, pool.dilation)

    def may(x: Tensor, weight: Tensor, stride: Any, dilation: Any, groups: int, coarse: bool) -> bool:
        plain = groups == 1 and tuple(stride) == (1, 1)
        return filters and plain and minimal._axis(x, weight, dilation, coarse) is not None

    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(bands, "saves", may)
        patch.setattr(bands, "BAND", data.draw(st.integers(10, 3000)))
        found = convolved(x, weight, None, Shape(stride, padding, dilation, groups), [torch.tanh_], pool)
    torch.testing.assert_close(found, expected, atol=1e-11, rtol=0)


@pytest.mark.parametrize(
    ("channels", "taps", "coarse", "most"),
    [(c, 3, False, 1.05) for c in (64, 128, 192, 256, 512)]
    + [(48, 4, False, 2.2), (48, 5, False, 2.2), (64, 3, True, 2.2), (128, 3, True, 2.2)],
)
def test_filtering_rounds_about_as_direct_sums_do(channels: int, taps: int, coarse: bool, most: float) -> None:
    x = _map(1, channels, 80 + taps - 1, 80 + taps - 1, dtype=torch.float32).relu()
    weight = _map(64 if channels < 256 else 256, channels, taps, taps, dtype=torch.float32, seed=1)
    assert saves(x, weight, (1, 1), (1, 1), 1, coarse)
    with torch.no_grad():
        exact = F.conv2d(x.double(), weight.double())
        errors = [
            float((made.double() - exact).square().mean().sqrt() / exact.std())
            for made in (minimal.Filter(weight, None, (1, 1), 0, coarse)(x), F.conv2d(x, weight))
        ]
    assert errors[0] <= most * errors[1] <= 1e-5


def test_what_is_not_filtered() -> None:
    x, weight = _map(1, 64, 80, 80, dtype=torch.float32), _map(64, 64, 3, 3, dtype=torch.float32)
    assert saves(x, weight, (1, 1), (1, 1), 1)
    assert not saves(x.double(), weight.double(), (1, 1), (1, 1), 1)
    assert not saves(x, weight, (2, 1), (1, 1), 1)
    assert not saves(x, weight, (1, 1), (1, 1), 2)
    assert not saves(x.contiguous(), weight, (1, 1), (1, 1), 1)
    assert not saves(x[:, :, :4, :4], weight, (1, 1), (1, 1), 1)
    assert not saves(x[:, :8], weight[:, :8], (1, 1), (1, 1), 1)


@pytest.mark.parametrize("shape", [(1, 48, 20, 30), (5000, 3), (3, 4)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tanh_is_as_precise(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    scales = 10.0 ** torch.linspace(-9, 1.5, shape[-1])
    x = (torch.randn(shape) * scales).to(dtype)
    x.view(-1)[:4] = torch.tensor([torch.inf, -torch.inf, torch.nan, -0.0])
    for argument in (x.clone(), x.clone().contiguous(memory_format=LAST) if x.ndim == 4 else x.t().clone().t()):
        with torch.inference_mode():
            found = tanh_(argument)
        assert found is argument
        torch.testing.assert_close(found.double(), x.double().tanh(), atol=0, rtol=3e-7, equal_nan=True)


def _dense(pool: int = 2) -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv2d(3, 48, 3), nn.Tanh(), nn.MaxPool2d(pool)),
        *(nn.Conv2d(48, 48, 4, padding=1), nn.Hardswish(), nn.Dropout2d(0.5)),
        *(nn.Conv2d(48, 64, 3), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Flatten(), nn.Dropout(0.4), nn.Linear(64 * 4, 30), nn.ReLU(), nn.Dropout(), nn.Linear(30, 5)),
    )


@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_the_network_for_inference_is_the_converted_one(stride: int, dtype: torch.dtype, tolerance: float) -> None:
    torch.manual_seed(0)
    fcn = ew.convolutionalize(_dense().to(dtype).eval(), window=18, stride=stride).eval()
    fast = for_inference(fcn)
    chains = [name for name, _ in fast.named_children() if name.startswith("chain")]
    assert len(chains) == 4
    assert not any(isinstance(layer, nn.Dropout | nn.Dropout2d) for layer in fast.modules())
    image = _map(1, 3, 61, 50, dtype=dtype)
    with torch.inference_mode():
        expected = fcn(image)
        torch.testing.assert_close(fast(image), expected, atol=tolerance * float(expected.std()), rtol=0)
        torch.testing.assert_close(fast(image.contiguous()), expected, atol=tolerance * float(expected.std()), rtol=0)


def test_a_converted_network_keeps_its_gradients_after_a_scan() -> None:
    torch.manual_seed(0)
    net = _dense().eval()
    fcn = ew.convolutionalize(net, window=18, stride=1).eval()
    image = _map(1, 3, 30, 30, dtype=torch.float32)
    for_inference(fcn)
    fcn(image).sum().backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in fcn.parameters())


def test_bands_pass_on_what_is_not_a_number() -> None:
    x, weight = _map(1, 4, 30, 20), _map(4, 4, 3, 3, seed=1)
    x[0, 1, 11, 7] = torch.nan
    pool = MaxPool((2, 2), (1, 1), (2, 2))
    plain = F.max_pool2d(torch.tanh(F.conv2d(x, weight)), 2, 1, 0, 2)
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(bands, "BAND", 300)
        found = convolved(x, weight, None, Shape((1, 1), (0, 0), (1, 1), 1), [partial(torch.tanh_)], pool)
    assert torch.equal(found.isnan(), plain.isnan())
    assert 0 < found.isnan().sum() < found.numel()


@pytest.mark.parametrize("value", [1e3, 1e6, 1e20, -3.4028e38, float("inf")])
@pytest.mark.parametrize("taps", [3, 4, 5])
@pytest.mark.parametrize("coarse", [False, True])
def test_an_extreme_value_reaches_no_output_that_does_not_read_it(value: float, taps: int, coarse: bool) -> None:
    """Nodata pixels of -3.4e38 lie beside windows that must not see them."""
    generator = torch.Generator().manual_seed(taps)
    x = torch.randn((1, 64, 70, 70), generator=generator).contiguous(memory_format=torch.channels_last)
    weight = torch.randn((64, 64, taps, taps), generator=generator) / (64 * taps**2) ** 0.5
    assert saves(x, weight, (1, 1), (1, 1), 1, coarse)
    kernel = Filter(weight, None, (1, 1), axis_of(x, weight, (1, 1), coarse), coarse)
    for at in range(31, 37):
        marked = x.clone(memory_format=torch.preserve_format)
        marked[:, :, at, at] = value
        made, direct = kernel(marked), F.conv2d(x, weight)
        reads = slice(at - taps + 1, at + 1)
        made[:, :, reads, reads] = direct[:, :, reads, reads]
        assert float((made - direct).abs().max()) < 1e-4
