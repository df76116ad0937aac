"""Networks that end in something of the whole window: the one pass takes windows from the map there."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import everywindow as ew
import oracle
from calls import Net
from everywindow.convert import fully_convolutional
from everywindow.errors import ConversionError
from everywindow.graph import captured, one_pass_records
from laws import EQUAL, native_difference
from trial_weights import noise, with_trial_weights

Code = Callable[[Net, Tensor], Tensor]


def _attention_pool(net: Net, x: Tensor) -> Tensor:
    tokens = x.flatten(2).transpose(1, 2)
    weights = net.query(tokens).softmax(1)
    return (weights * tokens).sum(1)


def _self_attention(net: Net, x: Tensor) -> Tensor:
    tokens = x.flatten(2).transpose(1, 2)
    return F.scaled_dot_product_attention(net.query2(tokens), tokens, tokens).mean(1)


def _pyramid_pool(net: Net, x: Tensor) -> Tensor:
    return torch.cat([F.adaptive_avg_pool2d(x, bins).flatten(1) for bins in (1, 2, 3)], 1)[:, :6]


ENDS: dict[str, Code] = {
    "unequal bins": lambda net, x: F.adaptive_avg_pool2d(x, (2, 3)).flatten(1)[:, :6],
    "unequal bins of maxima": lambda net, x: F.adaptive_max_pool2d(x, 3).flatten(1)[:, :6],
    "spatial pyramid": _pyramid_pool,
    "attention pooling": _attention_pool,
    "self-attention": _self_attention,
    "most and mean": lambda net, x: torch.maximum(x.amax((2, 3)), 2 * x.mean((2, 3))),
    "generalised mean": lambda net, x: x.clamp_min(1e-6).pow(3).mean((2, 3)).pow(1 / 3),
    "sorted": lambda net, x: x.flatten(2).sort(2).values[:, :, -3:].mean(2),
    "recurrent": lambda net, x: x.mean(3).cumsum(2)[:, :, 1::2].amax(2),
}


def ending(name: str, padding: int = 0) -> nn.Module:
    def code(net: Net, x: Tensor) -> Tensor:
        return net.head(ENDS[name](net, net.body(x)))

    body = nn.Sequential(
        nn.Conv2d(2, 12, 3, padding=padding), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(12, 6, 3), nn.ReLU()
    )
    net = Net(code, body=body, head=nn.Linear(6, 4), query=nn.Linear(6, 1), query2=nn.Linear(6, 6))
    return with_trial_weights(net, 2, (15, 17))


@pytest.mark.parametrize("name", ENDS)
@pytest.mark.parametrize("stride", [None, 1, 3])
def test_unpadded_networks_equal_their_crops(name: str, stride: int | None) -> None:
    net = ending(name)
    fcn = ew.convolutionalize(net, window=(15, 17), stride=stride).eval()
    assert fcn.verdict.exact
    image = noise((1, 2, 26, 24), 4)[0]
    expected = oracle.crops(net, image, (15, 17), fcn.geometry.stride)
    with torch.no_grad():
        assert oracle.relative_difference(fcn(image[None])[0], expected) <= EQUAL
    scan = ew.scan(net, image, window=(15, 17), stride=fcn.geometry.stride, progress=False)
    assert oracle.relative_difference(scan.scores, expected) <= EQUAL


@pytest.mark.parametrize("name", ["unequal bins", "attention pooling"])
def test_padded_networks_are_the_original_at_the_window_s_size(name: str) -> None:
    net = ending(name, padding=1)
    for stride in (None, 1, 3):
        fcn = ew.convolutionalize(net, window=(15, 17), stride=stride).eval()
        assert native_difference(net, fcn, (15, 17), 2) <= EQUAL
        assert not fcn.verdict.exact
        assert {reason.layer for reason in fcn.verdict.reasons} == {"body.0"}


def test_much_behind_is_refused() -> None:
    def code(net: Net, x: Tensor) -> Tensor:
        tokens = net.body(x).flatten(2).transpose(1, 2)
        for _ in range(4):
            tokens = tokens + F.scaled_dot_product_attention(*net.layer(tokens).chunk(3, 2))
        return net.head(tokens.mean(1))

    net = Net(code, body=nn.Conv2d(2, 12, 4, stride=4), layer=nn.Linear(12, 36), head=nn.Linear(12, 4))
    with pytest.raises(ConversionError, match="whole window"):
        ew.convolutionalize(net, window=16)


def test_memory_counts_the_windows_taken() -> None:
    net = ending("attention pooling").float()
    image = noise((1, 2, 120, 120), 4, torch.float32)[0]
    whole = ew.scan(net, image, window=(15, 17), stride=2, mode="fcn", progress=False)
    tiled = ew.scan(net, image, window=(15, 17), stride=2, mode="fcn", memory="500KB", progress=False)
    assert tiled.plan.tiles > whole.plan.tiles == 1
    assert torch.allclose(tiled.scores, whole.scores, atol=1e-5)


@pytest.mark.parametrize("parts", ["unbind", "index"])
def test_queries_keys_and_values_in_the_first_dimension(parts: str) -> None:
    """As transformers take them apart, while the positions are still a map."""

    def code(net: Net, x: Tensor) -> Tensor:
        tokens = net.body(x).flatten(2).transpose(1, 2)
        packed = net.layer(tokens).unflatten(2, (3, 12)).permute(2, 0, 1, 3)
        query, key, value = packed.unbind(0) if parts == "unbind" else (packed[0], packed[1], packed[2])
        return net.head(F.scaled_dot_product_attention(query, key, value).mean(1))

    net = Net(code, body=nn.Conv2d(2, 12, 4, stride=2), layer=nn.Linear(12, 36), head=nn.Linear(12, 4))
    with_trial_weights(net, 2, (14, 12))
    image = noise((1, 2, 22, 21), 4)[0]
    known = captured(net, (14, 12), 2)
    fcn = fully_convolutional(known) if not one_pass_records(known).unshared else None
    expected = oracle.crops(net, image, (14, 12), (2, 2))
    if fcn is not None:
        with torch.no_grad():
            assert oracle.relative_difference(fcn.eval()(image[None])[0], expected) <= EQUAL
    scan = ew.scan(net, image, window=(14, 12), stride=2, progress=False)
    assert oracle.relative_difference(scan.scores, expected) <= EQUAL
