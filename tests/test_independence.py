"""Networks that treat the items of a batch apart only in appearance: scores must be those of single windows."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import everywindow as ew
from exactly import CropsOnly, exactly
from oracle import crops, relative_difference

WINDOW, STRIDE = (8, 8), (2, 2)


class Code(nn.Module):
    """A convolution, a fully connected layer, and code between them."""

    def __init__(self, code: Callable[[Code, Tensor], Tensor], features: int = 4, **layers: nn.Module) -> None:
        super().__init__()
        self.code = code
        self.conv = nn.Conv2d(3, 4, 3)
        self.fc = nn.Linear(features, 3)
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.settings = SimpleNamespace(factor=1.0)

    def forward(self, x: Tensor) -> Tensor:
        return self.code(self, x)

    def pooled(self, x: Tensor) -> Tensor:
        return torch.relu(self.conv(x)).mean((2, 3))

    def tokens(self, x: Tensor) -> Tensor:
        return self.conv(x).flatten(2).permute(0, 2, 1)


def attended(net: Code, x: Tensor) -> Tensor:
    tokens = net.tokens(x)
    return net.fc(net.mha(tokens, tokens, tokens, need_weights=False)[0].mean(1))


def two_orders(net: Code, x: Tensor) -> Tensor:
    pair = torch.stack([net.pooled(x), 2 * net.pooled(x)], 1)
    return net.fc((pair.transpose(0, 1).reshape(-1, 4) + pair.reshape(-1, 4)).view(-1, 8))


def einsum_view(net: Code, x: Tensor) -> Tensor:
    scores = net.fc(net.pooled(x))
    return torch.einsum("nc->nc", scores).relu() + scores


def normed_across(net: Code, x: Tensor) -> Tensor:
    across = net.norm(net.pooled(x).view(1, -1, 4).transpose(1, 2))
    return net.fc(across.transpose(1, 2).view(-1, 4))


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "reshape through the batch": lambda: Code(lambda s, x: s.fc(s.pooled(x).view(4, -1).t())),
    "transposed and reshaped": lambda: Code(lambda s, x: s.fc(s.pooled(x).t().reshape(x.shape[0], 4))),
    "permuted map": lambda: Code(
        lambda s, x: s.fc(s.conv(x).permute(1, 0, 2, 3).reshape(x.shape[0], -1)), features=144
    ),
    "attention over the batch": lambda: Code(attended, mha=nn.MultiheadAttention(4, 2)),
    "attention of each item": lambda: Code(attended, mha=nn.MultiheadAttention(4, 2, batch_first=True)),
    "divided by the batch": lambda: Code(lambda s, x: s.fc(s.pooled(x)) / x.shape[0]),
    "numbered items": lambda: Code(lambda s, x: s.fc(s.pooled(x)) + torch.arange(x.shape[0])[:, None]),
    "another way for one": lambda: Code(lambda s, x: s.fc(s.pooled(x)) * (2 if x.shape[0] == 1 else 1)),
    "items in two orders": lambda: Code(two_orders, features=8),
    "repeated batch": lambda: Code(lambda s, x: s.fc(s.pooled(x).repeat(2, 1).view(-1, 2, 4).mean(1))),
    "group norm across items": lambda: Code(normed_across, norm=nn.GroupNorm(2, 4)),
    "axes reduced in two orders": lambda: Code(
        lambda s, x: s.fc(s.conv(x).relu().mean(2).mean(2) + (2 * s.conv(x)).sigmoid().mean(3).mean(2))
    ),
    "count of a condition": lambda: Code(lambda s, x: s.fc((s.conv(x) > 0).sum((2, 3)).to(x.dtype))),
    "sum of bytes": lambda: Code(
        lambda s, x: s.fc((s.conv(x).sigmoid() * 100).to(torch.uint8).sum((2, 3)).to(x.dtype))
    ),
    "view by einsum": lambda: Code(einsum_view),
    "shuffle of a flattened map": lambda: Code(lambda s, x: s.fc(F.channel_shuffle(s.conv(x).flatten(2), 2).amax(2))),
    "view of a map": lambda: Code(lambda s, x: s.fc(s.conv(x).view(x.shape[0], -1)), features=144),
}


@pytest.fixture
def image() -> Tensor:
    return torch.randn(3, 19, 21, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("mode", ["crops", "exact"])
def test_scores_are_those_of_single_windows(name: str, mode: str, image: Tensor) -> None:
    torch.manual_seed(4)
    net = NETWORKS[name]().double().eval()
    m = ew.scan(net, image, window=8, stride=2, mode=mode)
    assert m.verdict.exact
    assert relative_difference(m.scores, crops(net, image, WINDOW, STRIDE)) < 1e-10


@pytest.mark.parametrize("name", NETWORKS)
def test_scores_shared_are_those_of_single_windows(name: str, image: Tensor) -> None:
    """With all shared that can be; a network whose windows may see each other is left to the crops."""
    torch.manual_seed(4)
    net = NETWORKS[name]().double().eval()
    try:
        scores = exactly(net, image, WINDOW, STRIDE).scores
    except CropsOnly:
        return
    assert relative_difference(scores, crops(net, image, WINDOW, STRIDE)) < 1e-10


def test_settings_in_objects_are_seen(image: Tensor) -> None:
    net = Code(lambda s, x: s.fc(s.pooled(x)) * s.settings.factor).double().eval()
    first = ew.scan(net, image, window=8, stride=2, mode="fcn").scores
    net.settings.factor = 5.0
    torch.testing.assert_close(ew.scan(net, image, window=8, stride=2, mode="fcn").scores, 5 * first)


@pytest.mark.parametrize("mode", ["crops", "fcn", "exact"])
def test_weights_changed_behind_autograd_are_seen(mode: str, image: Tensor) -> None:
    net = Code(lambda s, x: s.fc(s.pooled(x))).double().eval()
    for _ in range(4):
        ew.scan(net, image, window=8, stride=2, mode=mode)
    net.conv.weight.data.mul_(-2)
    m = ew.scan(net, image, window=8, stride=2, mode=mode)
    assert relative_difference(m.scores, crops(net, image, WINDOW, STRIDE)) < 1e-10


class Counting(Code):
    def __init__(self) -> None:
        super().__init__(lambda s, x: s.fc(s.pooled(x)) * s.calls)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(x)


@pytest.mark.parametrize("mode", ["crops", "fcn", "exact"])
def test_a_network_with_a_memory_is_refused(mode: str, image: Tensor) -> None:
    with pytest.raises(ew.IndependenceError, match="ran before"):
        ew.scan(Counting().double(), image, window=8, mode=mode)


def test_probabilities_are_not_made_twice(image: Tensor) -> None:
    ensemble = Code(lambda s, x: (s.fc(s.pooled(x)).softmax(1) + s.fc(2 * s.pooled(x)).softmax(1)) / 2).double()
    two = Code(lambda s, x: (s.fc(s.pooled(x)), s.fc(s.pooled(x)).softmax(1))).double()  # type: ignore[arg-type,return-value]
    assert ew.scan(ensemble, image, window=8).activation == "none"
    assert ew.scan(two, image, window=8).activation == "softmax"
    assert ew.scan(two, image, window=8, output=1).activation == "none"


def test_a_norm_used_twice_trains_like_the_original() -> None:
    norm = nn.BatchNorm2d(4, momentum=None)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), norm, nn.ReLU(), nn.Conv2d(4, 4, 3), norm, nn.Flatten(), nn.Linear(64, 3)
    ).double()
    fcn = ew.convolutionalize(net, window=8)
    net.train()
    fcn.train()
    batch = torch.randn(5, 3, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(fcn(batch)[..., 0, 0], net(batch))
    mine, theirs = dict(fcn.named_buffers()), dict(net.named_buffers())
    for name in ("1.running_mean", "1.running_var", "1.num_batches_tracked"):
        torch.testing.assert_close(mine[name], theirs[name])
