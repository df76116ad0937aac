"""Windows that a network does not take, and code that cannot be followed: one error or reason, nothing of torch's."""

from __future__ import annotations

import io
import logging
import re
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import everywindow as ew
from everywindow.graph.quiet import quiet_torch

IMAGE = torch.randn(1, 30, 30)
"""An image of one channel."""


def grey() -> nn.Sequential:
    """Takes windows of 16 pixels."""
    return nn.Sequential(nn.Conv2d(1, 4, 5), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 12 * 12, 4))


class Code(nn.Module):
    """A small network with code behind its convolution."""

    def __init__(self, code: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.fc, self.code = nn.Conv2d(1, 4, 5), nn.Linear(576, 4), code

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.code(x, self.conv(x)).flatten(1))


def turned(x: Tensor, y: Tensor) -> Tensor:
    if y.mean() > 0:
        y = -y
    return y


def sized_by_len(x: Tensor, y: Tensor) -> Tensor:
    return y + torch.ones(1, 4, 12, 12).expand(len(x), 4, 12, 12)


def counted(x: Tensor, y: Tensor) -> Tensor:
    return y * len(y[y > 0].tolist())


@pytest.fixture
def stderr(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What is written to stderr, also by the handlers of torch's loggers, which took theirs long ago."""
    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    for name in ("torch", "torch._subclasses.fake_tensor", "torch.fx.experimental.symbolic_shapes", "torch.export"):
        for handler in logging.getLogger(name).handlers:
            if type(handler) is logging.StreamHandler:
                monkeypatch.setattr(handler, "stream", written)
    return written


CALLS: dict[str, Callable[..., Any]] = {
    "exact": lambda net, window: ew.scan(net, IMAGE, window=window),
    "fcn": lambda net, window: ew.scan(net, IMAGE, window=window, mode="fcn"),
    "crops": lambda net, window: ew.scan(net, IMAGE, window=window, mode="crops"),
    "compare": lambda net, window: ew.compare(net, IMAGE, window=window),
    "cost": lambda net, window: ew.cost(net, 30, window=window),
    "convolutionalize": lambda net, window: ew.convolutionalize(net, window=window),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_window_that_does_not_fit_is_one_error(name: str, stderr: io.StringIO) -> None:
    with pytest.raises(ew.InputError, match=r"window of 1×20×20 \(mat1 .*\); check window= and channels=$"):
        CALLS[name](grey(), 20)
    assert stderr.getvalue() == ""


def test_channels_that_do_not_fit_are_the_same_error() -> None:
    with pytest.raises(ew.InputError, match=r"Sequential does not take a window of 3×16×16 \(.*channels.*channels="):
        ew.convolutionalize(grey(), window=16, channels=3)


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (turned, r"values: if y.mean\(\) > 0: \(test_misfits.py, line \d+\)$"),
        (sized_by_len, r"fixes the size of the batch .* len\(x\) .*x.shape\[0\]"),
        (counted, "depends on values"),
    ],
)
def test_code_that_cannot_be_followed_is_one_short_reason(
    code: Callable[[Tensor, Tensor], Tensor], why: str, stderr: io.StringIO
) -> None:
    m = ew.scan(Code(code), IMAGE, window=16)
    assert m.plan is not None
    assert m.plan.engine == "crops"
    assert len(m.plan.reason) < 200
    assert str(m.plan).count("its code") == 1
    assert re.search(why, m.plan.reason), m.plan.reason
    assert "only run as crops" not in str(m.plan)
    assert stderr.getvalue() == ""


def test_code_that_refuses_some_values_is_not_taken_for_a_misfit() -> None:
    def picky(x: Tensor, y: Tensor) -> Tensor:
        if x.min() < 0:
            raise ValueError("below 0")
        return y

    assert ew.scan(Code(picky), IMAGE.abs(), window=16).plan.engine == "crops"  # type: ignore[union-attr]


def test_only_torch_in_this_thread_is_quiet(stderr: io.StringIO) -> None:
    log = logging.getLogger("torch._subclasses.fake_tensor")
    handlers = {handler: list(handler.filters) for handler in log.handlers}
    with quiet_torch():
        log.error("from here")
        other = threading.Thread(target=log.error, args=("from elsewhere",))
        other.start()
        other.join()
    log.error("afterwards")
    err = stderr.getvalue()
    assert "from here" not in err
    assert err.count("from elsewhere") == err.count("afterwards") == 1
    assert handlers == {handler: list(handler.filters) for handler in log.handlers}


@pytest.mark.parametrize("where", ["scan", "network"])
def test_the_meta_device_is_refused(where: str) -> None:
    net = grey().to("meta") if where == "network" else grey()
    with pytest.raises(ew.InputError, match=r"device: .*meta"):
        ew.scan(net, IMAGE, window=16, device="meta" if where == "scan" else None)


class SmallTransformer(nn.Module):
    """Attention among a class token and the positions of a map."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, 8, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        positions = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(x.shape[0], -1, -1), positions], 1)
        return self.head(self.attention(tokens, tokens, tokens)[0][:, 0])


@pytest.mark.parametrize("net", [SmallTransformer(), Code(turned)], ids=["attention", "depends on values"])
def test_compare_leaves_out_what_has_no_conversion(net: nn.Module) -> None:
    table = ew.compare(net, IMAGE, window=16)
    assert [run.mode for run in table.runs] == ["crops", "exact"]
    (left_out,) = table.left_out
    assert f"fcn: no conversion: {left_out.layer}: {left_out.why}" in str(table).splitlines()
    assert table.as_dict()["left_out"] == [{"mode": "fcn", "layer": left_out.layer, "why": left_out.why}]
    with pytest.raises(ew.ConversionError, match=r"no fcn; leave fcn out of modes=$"):
        ew.compare(net, IMAGE, window=16, modes=["crops", "fcn"])


def test_compare_names_an_unknown_mode_before_it_runs() -> None:
    with pytest.raises(ew.InputError, match="'fast' is none of"):
        ew.compare(grey(), torch.zeros(1, 3, 3), window=16, modes=["fast"])


def emptied(x: Tensor, y: Tensor) -> Tensor:
    return torch.cat([y[:, :, :12], y[:, :, 12:]], 2)


def narrowed(x: Tensor, y: Tensor) -> Tensor:
    return torch.cat([y, y.narrow(3, 0, 0)], 3)


@pytest.mark.parametrize("code", [emptied, narrowed])
def test_a_part_without_positions(code: Callable[[Tensor, Tensor], Tensor]) -> None:
    net = Code(code).eval()
    modes = [ew.scan(net, IMAGE, window=16, stride=5, mode=mode).scores for mode in ("crops", "exact")]
    assert torch.allclose(*modes, atol=1e-5)
    assert ew.cost(net, image_size=30, window=16, stride=5).macs["crops"] > 0


class WithBias(nn.Module):
    """Puts out its scores and its bias."""

    def __init__(self) -> None:
        super().__init__()
        self.net = grey()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.net(x), self.net[-1].bias


@pytest.mark.parametrize("mode", ["crops", "fcn", "exact"])
def test_an_output_that_no_image_changes_is_refused(mode: str) -> None:
    with pytest.raises(ew.InputError, match="output"):
        ew.scan(WithBias().eval(), IMAGE, window=16, stride=5, mode=mode, output=1)


class Squash:
    """A helper with a limit on its class."""

    limit = 1000.0

    def __call__(self, x: Tensor) -> Tensor:
        return x.clamp(max=self.limit)


@pytest.mark.parametrize("mode", ["crops", "exact", "fcn"])
def test_limits_beyond_ordinary_noise_are_followed(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    squash = Squash()
    net = Code(lambda x, y: squash(y)).eval()
    image = 50 * IMAGE
    for limit in (1000.0, 10.0):
        monkeypatch.setattr(Squash, "limit", limit)
        found = ew.scan(net, image, window=16, stride=14, mode=mode).scores[:, 0, 0]
        with torch.no_grad():
            assert torch.allclose(found, net(image[None, :, :16, :16])[0], atol=1e-3)


class Aged(nn.Module):
    """Takes an age of three numbers beside the image."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.by = grey(), nn.Linear(3, 4)

    def forward(self, x: Tensor, age: Tensor) -> Tensor:
        return self.net(x) + self.by(age)


@pytest.mark.parametrize(
    ("age", "match"),
    [
        (torch.rand(1, 5), r"beside age \[1, 5\] \(mat1.*1x5 and 3x4.*\); check constants=, window= and channels="),
        (torch.ones(1, 3, dtype=torch.long), r"beside age \[1, 3\] \(.*Long.*\); check constants="),
        ("old", r"beside age 'old' \(.*Tensor, not str\); check constants="),
        (
            torch.rand(5, 3),
            r"^constants 'age': with \[5, 3\] one window gets 5 rows of scores; .* first dimension of 1",
        ),
    ],
)
@pytest.mark.parametrize("mode", ["exact", "fcn", "crops"])
def test_constants_that_do_not_fit_are_named(mode: str, age: Any, match: str) -> None:
    with pytest.raises(ew.InputError, match=match):
        ew.scan(ew.Classifier(Aged(), 16, constants={"age": age}), IMAGE, mode=mode)


def test_channels_that_the_first_convolution_does_not_take() -> None:
    clf = ew.Classifier(nn.Sequential(nn.Conv2d(3, 4, 5), nn.Flatten(), nn.Linear(4 * 12 * 12, 2)), 16, channels=4)
    for call in (
        lambda: ew.scan(clf, torch.rand(4, 20, 20)),
        lambda: ew.convolutionalize(clf),
        lambda: ew.cost(clf, 30),
    ):
        with pytest.raises(ew.InputError, match=r"^channels: .*takes 3 channels, not 4\); give channels=3$"):
            call()


def test_channels_that_the_code_makes_are_taken() -> None:
    class Repeated(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.expand(-1, 3, -1, -1))

    net = Repeated(nn.Conv2d(3, 4, 5), nn.Flatten(), nn.Linear(4 * 12 * 12, 2))
    assert ew.scan(ew.Classifier(net, 16, channels=1), IMAGE).counts == (15, 15)


@pytest.mark.parametrize("mode", ["exact", "fcn", "crops"])
@pytest.mark.parametrize(("stride", "counts"), [(14, (2, 2)), (15, (1, 1)), (100, (1, 1)), ((100, 14), (1, 2))])
def test_a_stride_larger_than_the_image_leaves_one_window(mode: str, stride: Any, counts: tuple[int, ...]) -> None:
    net = grey().eval()
    m = ew.scan(net, IMAGE, window=16, stride=stride, mode=mode)
    assert m.counts == counts
    with torch.no_grad():
        assert torch.allclose(m.scores[:, 0, 0], net(IMAGE[None, :, :16, :16])[0], atol=1e-5)


@pytest.mark.parametrize(
    ("inputs", "network", "match"),
    [
        (np.zeros((1, 1, 20, 20)), None, "inputs: a ndarray is no batch"),
        (torch.zeros(1, 20, 20), None, r"inputs: shape .* is not \[N, C\]"),
        (torch.zeros(0, 1, 20, 20), None, r"inputs: shape .* is not \[N, C\]"),
        (torch.zeros(1, 1, 20, 20), ew.Classifier(grey(), 16), "network: .*give its .module"),
    ],
)
def test_what_an_inferer_is_called_with(inputs: Any, network: Any, match: str) -> None:
    with pytest.raises(ew.InputError, match=match):
        ew.DenseInferer(grey(), window=16)(inputs, network)


def test_names_that_nothing_has_are_refused_at_once() -> None:
    with pytest.raises(ew.InputError, match="classes: 'a' stands there twice"):
        ew.Classifier(grey(), 16, classes=["a", "b", "a", "c"])
    with pytest.raises(ew.InputError, match="strid: no option of scan"):
        ew.DenseInferer(grey(), window=16, strid=2)
    with pytest.raises(ew.InputError, match=r"device: 'gpu' cannot be used .*a GPU is 'cuda'.; use 'cpu'"):
        ew.scan(grey(), IMAGE, window=16, device="gpu")
