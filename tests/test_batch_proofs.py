"""Calls that treat the windows of a batch apart, code that does so up to some batch size, and other such doubts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import everywindow as ew
import oracle
from calls import Net, require_crops_scores
from everywindow.errors import IndependenceError, InputError
from everywindow.graph import captured, records
from trial_weights import noise

APART: dict[str, Callable[[Net, Tensor], Tensor]] = {
    "repeat": lambda net, x: net.conv(x).repeat(1, 2, 1, 1)[:, 2:6].mean((2, 3)),
    "prod": lambda net, x: net.conv(x).mean(3).mul(0.5).prod(2),
    "cummax": lambda net, x: net.conv(x).cummax(1).values.mean((2, 3)),
    "median": lambda net, x: net.conv(x).median(1, keepdim=True).values.mean((2, 3)).expand(-1, 4),
    "spectrum": lambda net, x: torch.fft.rfft2(net.conv(x)).abs().mean((2, 3)),
    "spectrum along one": lambda net, x: torch.fft.rfft(net.conv(x), dim=2).abs().mean((2, 3)),
    "antialiased": lambda net, x: F.interpolate(net.conv(x), (3, 3), mode="bicubic", antialias=True).mean((2, 3)),
    "gather": lambda net, x: net.conv(x).flatten(2).gather(2, net.conv(x).flatten(2).sort(2).indices[:, :, :5]).mean(2),
}


@pytest.mark.parametrize("name", APART)
def test_windows_share_a_batch(name: str) -> None:
    net = Net(lambda net, x: net.head(APART[name](net, x)), conv=nn.Conv2d(2, 4, 3), head=nn.Linear(4, 3)).double()
    require_crops_scores(net, 2)
    assert records(captured(net, (9, 8), 2)).unproved is None


MEETING: dict[str, Callable[[Net, Tensor], Tensor]] = {
    "repeat": lambda net, x: net.conv(x).repeat(2, 1, 1, 1).unflatten(0, (2, -1)).mean((0, 3, 4)),
    "spectrum": lambda net, x: torch.fft.fftn(net.conv(x), dim=(0, 2)).abs().mean((2, 3)),
}


@pytest.mark.parametrize("name", MEETING)
def test_windows_that_may_meet_do_not_share_a_batch(name: str) -> None:
    net = Net(MEETING[name], conv=nn.Conv2d(2, 4, 3)).double()
    image = noise((1, 2, 12, 12), 3)[0]
    try:
        scan = ew.scan(net, image, window=9, stride=1, progress=False)
    except IndependenceError:
        return
    assert torch.allclose(scan.scores, oracle.crops(net, image, (9, 9), (1, 1)), atol=1e-9)


def test_code_that_looks_at_the_size_of_the_batch_gets_no_larger_ones() -> None:
    def code(net: Net, x: Tensor) -> Tensor:
        y = net.conv(x).relu()
        return net.head((y - y.mean(0) if x.shape[0] > 5 else y).mean((2, 3)))

    net = Net(code, conv=nn.Conv2d(2, 4, 3, padding=1), head=nn.Linear(4, 3)).double()
    image = noise((1, 2, 40, 40), 3)[0]
    expected = oracle.crops(net, image, (12, 12), (2, 2))
    for mode in ("crops", "exact"):
        for _ in range(3):
            scan = ew.scan(net, image, window=12, stride=2, mode=mode, progress=False)
            assert torch.allclose(scan.scores, expected, atol=1e-9)
    assert captured(net, (12, 12), 2).most == 5


def test_dropout_inside_attention_is_refused() -> None:
    def code(net: Net, x: Tensor) -> Tensor:
        tokens = net.conv(x).flatten(2).transpose(1, 2)
        return F.scaled_dot_product_attention(tokens, tokens, tokens, dropout_p=net.rate).mean(1)

    net = Net(code, conv=nn.Conv2d(2, 4, 3))
    net.rate: Any = 0.3
    with pytest.raises(IndependenceError, match="dropout of attention"):
        ew.scan(net, torch.randn(2, 12, 12), window=9, stride=1)
    net.rate = 0.0
    assert ew.scan(net, torch.randn(2, 12, 12), window=9, stride=1).scores.shape == (4, 4, 4)


class Mixed(nn.Module):
    """Brings the image from float32 to bfloat16 by itself, where it would be too coarse."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 8, 3, dtype=torch.bfloat16), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.head(self.conv((x - 100).bfloat16()).float().relu().mean((2, 3)))
        return scores


def test_weights_of_several_dtypes_take_the_finest_that_runs() -> None:
    net, image = Mixed(), noise((1, 1, 20, 20), 3, torch.float32)[0] + 100
    expected = oracle.crops(net, image, (12, 12), (2, 2))
    spread = float((expected.amax((1, 2)) - expected.amin((1, 2))).max())
    for mode in ("exact", "crops"):
        scan = ew.scan(net, image, window=12, stride=2, mode=mode, progress=False)
        assert scan.plan.dtype == "float32"
        assert float((scan.scores - expected).abs().max()) < 1e-2 * spread  # bfloat16 inside, in other batches

    coarse = nn.Sequential(
        nn.Conv2d(1, 8, 3, dtype=torch.bfloat16),
        nn.Flatten(),
        Net(lambda net, x: net.last(x.float()), last=nn.Linear(800, 3)),
    )
    assert ew.scan(coarse, image, window=12, stride=2, mode="crops", progress=False).plan.dtype == "bfloat16"


def test_the_first_output_that_is_one() -> None:
    def code(net: Net, x: Tensor) -> Any:
        return None, {"none": None, "scores": net.conv(x).mean((2, 3))}

    net, image = Net(code, conv=nn.Conv2d(2, 4, 3)), torch.randn(2, 12, 12)
    for mode in ("exact", "fcn", "crops"):
        assert ew.scan(net, image, window=9, stride=1, mode=mode, progress=False).scores.shape == (4, 4, 4)


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch's, while it captures
def test_complex_scores_are_refused() -> None:
    net = Net(lambda net, x: torch.fft.fft(net.conv(x).mean((2, 3)), dim=1), conv=nn.Conv2d(2, 4, 3))
    with pytest.raises(InputError, match="complex"):
        ew.scan(net, torch.randn(2, 12, 12), window=9, stride=1)


def test_a_lazy_layer_that_never_runs_does_not_matter() -> None:
    net = Net(lambda net, x: net.conv(x).mean((2, 3)), conv=nn.Conv2d(2, 4, 3), lazy=nn.LazyLinear(3))
    assert ew.scan(net, torch.randn(2, 12, 12), window=9, stride=1).scores.shape == (4, 4, 4)
