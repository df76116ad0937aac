"""Calls that are easily taken for something else than they are: every mode must give the crops' scores."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils import _pytree as pytree

import everywindow as ew
import oracle
from calls import Net, require_crops_scores
from everywindow.errors import InputError
from exactly import exactly
from laws import EQUAL
from trial_weights import noise, with_trial_weights

INTEGER_POOLS = {
    "mean": lambda y: F.avg_pool2d(y, 3, 2, 1),
    "mean without padding": lambda y: F.avg_pool2d(y, 3, 2),
    "mean with a divisor": lambda y: F.avg_pool2d(y, 2, 2, divisor_override=3),
    "max": lambda y: F.max_pool2d(y, 3, 2, 1),
    "max without padding": lambda y: F.max_pool2d(y, 3, 2),
    "max of small integers": lambda y: F.max_pool2d(y.to(torch.int32), 3, 2, 1),
}


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("name", INTEGER_POOLS)
def test_pooling_of_integers(name: str, padding: int) -> None:
    """Torch's average of integers drops the fraction; nothing but floats has an infinity to pad with."""
    pool = INTEGER_POOLS[name]

    def code(net: Net, x: Tensor) -> Tensor:
        return net.head(pool((net.conv(x) * 9).long()).to(x.dtype).mean((2, 3)))

    net = Net(code, conv=nn.Conv2d(2, 3, 3, padding=padding), head=nn.Linear(3, 3))
    found = require_crops_scores(net, 2, (12, 11))
    assert "shared" in found
    assert ("fcn" in found) == (padding == 0 and (name == "max without padding" or name.startswith("mean")))


def _pooled(pool: Callable[[Tensor], Tensor], features: int) -> Net:
    """A convolution without padding, a reduction of positive values, a layer that brings them back to the ones."""
    return Net(
        lambda net, x: net.head(pool(net.conv(x).relu()).flatten(1) * 1e-2),
        conv=nn.Conv2d(1, 4, 3),
        head=nn.Linear(features, 3),
    )


HALF_SUMS = {
    "mean": lambda: _pooled(lambda y: y.mean((2, 3)), 4),
    "mean of features too": lambda: _pooled(lambda y: y.mean((1, 2, 3), keepdim=True), 1),
    "sum": lambda: _pooled(lambda y: (y * 2e-3).sum((2, 3)), 4),
    "sum of features too": lambda: _pooled(lambda y: (y * 5e-4).sum((1, 2, 3), keepdim=True), 1),
    "pooling": lambda: _pooled(lambda y: F.avg_pool2d(y, 15, 5), 64),
    "padded pooling": lambda: _pooled(lambda y: F.avg_pool2d(y, 14, 5, 7, count_include_pad=False), 196),
    "bins": lambda: _pooled(lambda y: F.adaptive_avg_pool2d(y, (2, 3)), 24),
}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", HALF_SUMS)
def test_sums_of_half_precision_are_as_good_as_torchs(name: str, dtype: torch.dtype) -> None:
    """Torch adds them up in float32: in their own precision they overflow, or lose the small ones."""
    module = HALF_SUMS[name]().to(dtype).eval()
    image = (torch.rand(1, 42, 42) * 16000).to(dtype)
    single = copy.deepcopy(module).double()
    best = oracle.crops(single, image.double(), (32, 32), (5, 5))
    crops = oracle.crops(module, image, (32, 32), (5, 5)).double()
    allowed = 1.5 * float((crops - best).abs().max())
    forced = exactly(module, image, (32, 32), (5, 5))
    assert forced.shares
    converted = ew.convolutionalize(module, window=32, channels=1, stride=5).eval()
    with torch.no_grad():
        one_pass = converted(image.unsqueeze(0))[0]
    for scores in (forced.scores, one_pass) if converted.verdict.exact else (forced.scores,):
        assert float((scores.double() - best).abs().max()) <= allowed


def _normed_again(net: Net, y: Tensor, eps: float) -> Tensor:
    return F.batch_norm(y, net.bn.running_mean, net.bn.running_var, net.bn.weight, net.bn.bias, False, 0.1, eps)


NORMED_TWICE = {
    "another epsilon": lambda net, x: _normed_again(net, net.bn(net.conv(x)).tanh(), 0.5).amax((2, 3)),
    "another epsilon before": lambda net, x: net.bn(_normed_again(net, net.conv(x), 0.5).tanh()).amax((2, 3)),
    "a map, then features": lambda net, x: _normed_again(net, net.bn(net.conv(x)).tanh().amax((2, 3)), 1e-5),
    "a map, then a row": lambda net, x: _normed_again(net, net.bn(net.conv(x)).tanh().amax(2), 1e-5).amax(2),
    "the same": lambda net, x: net.bn(net.bn(net.conv(x)).tanh()).amax((2, 3)),
}


@pytest.mark.parametrize("name", NORMED_TWICE)
def test_statistics_used_twice(name: str) -> None:
    """The converted network has one module for them, with the settings of the layer itself."""
    code = NORMED_TWICE[name]
    net = Net(
        lambda net, x: net.head(code(net, x)), conv=nn.Conv2d(2, 4, 3), bn=nn.BatchNorm2d(4), head=nn.Linear(4, 3)
    )
    assert require_crops_scores(net, 2) >= {"shared", "fcn"}
    converted = ew.convolutionalize(net, window=(9, 8), channels=2)
    assert isinstance(converted.bn, nn.BatchNorm2d)
    assert converted.bn.eps == net.bn.eps
    before = converted.bn.running_mean.clone()
    converted.train()(noise((4, 2, 9, 8), 3))
    assert not torch.equal(converted.bn.running_mean, before)


FLATTENED = {
    "one position": (lambda net, x: net.conv1(net.conv(x).flatten(2)).squeeze(2), (9, 8), (1, 0)),
    "one position, mean": (lambda net, x: net.conv1(net.conv(x).flatten(2)).mean(2), (9, 8), (1, 0)),
    "one position, padded": (lambda net, x: net.head(net.conv1(net.conv(x).flatten(2)).flatten(1)), (9, 8), (3, 1)),
    "one row": (lambda net, x: net.conv1(net.conv(x).flatten(2)).amax(2), (1, 8), (3, 1)),
    "one row left out": (lambda net, x: net.conv1(net.conv(x).squeeze(2)).amax(2), (9, 1), (3, 1)),
    "one column": (lambda net, x: net.conv1(net.conv(x).flatten(2)).amax(2), (9, 1), (3, 1)),
    "several positions": (lambda net, x: net.conv1(net.conv(x).flatten(2)).amax(2), (3, 3), (3, 1)),
}


@pytest.mark.parametrize("name", FLATTENED)
def test_convolution_of_a_flattened_map(name: str) -> None:
    code, kernel, (taps, padding) = FLATTENED[name]
    conv1 = nn.Conv1d(4, 3, taps, padding=padding)
    require_crops_scores(Net(code, conv=nn.Conv2d(2, 4, kernel), conv1=conv1, head=nn.Linear(3, 3)), 2)


def test_convolution_of_rows_as_channels() -> None:
    net = Net(
        lambda net, x: net.head(net.conv1(x.flatten(1, 2)).amax(2)), conv1=nn.Conv1d(18, 4, 3), head=nn.Linear(4, 3)
    )
    require_crops_scores(net, 2)


def _equals(net: Net, x: Tensor) -> Tensor:
    return (net.conv(x).argmax(1, keepdim=True) == net.classes).to(x.dtype)


WIDENED = {
    "prototypes": (lambda net, x: ((net.conv(x).unsqueeze(1) - net.prototypes) ** 2).sum(2).amin((2, 3)), 0),
    "prototypes of means": (
        lambda net, x: ((net.conv(x).mean((2, 3)).unsqueeze(1) - net.prototypes[:, :, 0, 0]) ** 2).sum(2),
        0,
    ),
    "grey to colours": (lambda net, x: net.head((x[:, :1] * net.colours).flatten(1)), 3 * 72),
    "grey to colours, last": (
        lambda net, x: net.head((x[:, :1] * net.colours).permute(0, 2, 3, 1)).amax((1, 2)),
        3,
    ),
    "grey to colours, convolved": (lambda net, x: net.head(net.mix(x[:, :1] * net.colours).mean((2, 3))), 4),
    "grey to colours behind a flatten": (
        lambda net, x: net.head((x[:, :1].flatten(2) * net.colours[:, :, 0]).flatten(1)),
        3 * 72,
    ),
    "classes of the largest": (lambda net, x: net.head(_equals(net, x).mean((2, 3))), 3),
    "classes of the largest, flattened": (lambda net, x: net.head(_equals(net, x).flatten(1)), 3 * 42),
    "products of features": (
        lambda net, x: net.head((x.unsqueeze(1) * net.factors).flatten(1, 2).permute(0, 2, 3, 1)).amax((1, 2)),
        10,
    ),
    "products of features, permuted": (
        lambda net, x: net.head((x.unsqueeze(1) * net.factors).permute(0, 3, 4, 1, 2).amax((1, 2)).flatten(1)),
        10,
    ),
    "products of features, in order of places": (
        lambda net, x: net.head((x.unsqueeze(1) * net.factors).permute(0, 3, 4, 1, 2).flatten(1)),
        720,
    ),
}


@pytest.mark.parametrize("name", WIDENED)
def test_a_constant_widens_a_dimension_of_size_one(name: str) -> None:
    code, features = WIDENED[name]
    net = Net(
        code,
        conv=nn.Conv2d(2, 4, 3),
        mix=nn.Conv2d(3, 4, 3),
        head=nn.Linear(max(1, features), 3),
        prototypes=nn.Parameter(torch.randn(5, 4, 1, 1)),
        colours=torch.tensor([0.2, 0.5, 0.3]).view(1, 3, 1, 1),
        classes=torch.arange(3).view(1, 3, 1, 1),
        factors=torch.randn(5, 2, 1, 1),
    )
    assert require_crops_scores(net, 2) >= {"shared", "fcn"}


RECURRENT = {
    "GRU": lambda: nn.GRU(4, 4, batch_first=True),
    "GRU with dropout in training": lambda: nn.GRU(4, 4, 2, batch_first=True, dropout=0.5),
    "LSTM": lambda: nn.LSTM(4, 4, batch_first=True),
    "RNN": lambda: nn.RNN(4, 4, batch_first=True),
}


@pytest.mark.parametrize("name", RECURRENT)
def test_recurrent_layers_take_each_window_as_a_sequence_of_its_own(name: str) -> None:
    """What comes before them is shared, and windows run in batches."""

    def code(net: Net, x: Tensor) -> Tensor:
        return net.head(net.rows(net.conv(x).mean(3).transpose(1, 2))[0][:, -1])

    net = Net(code, conv=nn.Conv2d(2, 4, 3), rows=RECURRENT[name](), head=nn.Linear(4, 3))
    assert "shared" in require_crops_scores(net, 2)


def test_recurrent_layers_over_the_batch_run_window_by_window() -> None:
    """Without ``batch_first`` the first dimension is the time: here that is the batch."""

    def code(net: Net, x: Tensor) -> Tensor:
        return net.head(net.rows(net.conv(x).mean(3).transpose(1, 2))[0][:, -1])

    net = Net(code, conv=nn.Conv2d(2, 4, 3), rows=nn.LSTM(4, 4), head=nn.Linear(4, 3))
    plan = ew.scan(net.double().eval(), torch.zeros(2, 12, 12, dtype=torch.float64), window=(9, 8), stride=1).plan
    assert plan.engine == "crops"
    assert plan.reason.startswith("windows one by one: ")


PRODUCTS = {
    "tensordot": lambda net, x: torch.tensordot(net.conv(x), net.kernels, dims=([1, 2, 3], [1, 2, 3])),
    "inner": lambda net, x: torch.inner(net.conv(x).flatten(1), net.kernels.flatten(1)),
    "mv": lambda net, x: torch.stack([net.conv(x).flatten(1).mv(each) for each in net.kernels.flatten(1)], 1),
    "bilinear": lambda net, x: net.pair(net.conv(x).amax((2, 3)), net.conv(x).mean((2, 3))),
    "cdist": lambda net, x: torch.cdist(
        net.conv(x).flatten(1), net.kernels.flatten(1), compute_mode="donot_use_mm_for_euclid_dist"
    ),
}


def test_distances_that_depend_on_how_many_windows_there_are_run_window_by_window() -> None:
    """Beyond 25 rows ``cdist`` takes a matrix product."""
    net = Net(lambda net, x: torch.cdist(net.conv(x).flatten(1), net.kernels.flatten(1)), conv=nn.Conv2d(2, 4, 3))
    net.kernels = nn.Parameter(torch.randn(3, 4, 7, 6))
    plan = ew.scan(net.double().eval(), torch.zeros(2, 20, 20, dtype=torch.float64), window=(9, 8), stride=1).plan
    assert (plan.engine, plan.batch) == ("crops", 1)
    assert "cdist computes in another way" in plan.reason


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_with_weights_keep_windows_apart(name: str) -> None:
    conv, pair = nn.Conv2d(2, 4, 3), nn.Bilinear(4, 4, 3)
    net = Net(PRODUCTS[name], conv=conv, pair=pair, kernels=nn.Parameter(torch.randn(3, 4, 7, 6)))
    assert "shared" in require_crops_scores(net, 2)


def test_leaky_units_at_rest_and_what_flips_nothing_are_no_obstacle() -> None:
    net = Net(lambda net, x: net.head(F.rrelu(net.conv(x)).amax((2, 3))), conv=nn.Conv2d(2, 4, 3), head=nn.Linear(4, 3))
    assert require_crops_scores(net, 2) >= {"exact"}
    net.code = lambda net, x: net.head(net.conv(x).flip([]).amax((2, 3)))
    assert require_crops_scores(net, 2) >= {"shared", "fcn"}


def test_pointwise_calls_of_two_results() -> None:
    def code(net: Net, x: Tensor) -> Tensor:
        mantissa, exponent = torch.frexp(net.conv(x))
        return net.head((mantissa * exponent).amax((2, 3)))

    assert require_crops_scores(Net(code, conv=nn.Conv2d(2, 4, 3), head=nn.Linear(4, 3)), 2) >= {"shared", "fcn"}


@pytest.mark.parametrize("output", [0, 1])
def test_outputs_with_numbers_for_keys(output: int) -> None:
    """A captured graph has text for keys; every mode takes them as the network names them."""

    def code(net: Net, x: Tensor) -> dict[int, Tensor]:
        y = net.conv(x)
        return {1: net.head(y.amax((2, 3))), 0: y.mean((2, 3))}

    net = Net(code, conv=nn.Conv2d(2, 4, 3), head=nn.Linear(4, 3))
    assert require_crops_scores(net, 2, strides=(2,), output=output) >= {"exact", "fcn", "crops"}
    scan = ew.scan(net, noise((1, 2, 14, 14), 1)[0], window=(9, 8), output=output, mode="fcn")
    assert len(scan.scores) == 4 - output
    with pytest.raises(InputError, match=r"2 is none of"):
        ew.scan(net, noise((1, 2, 14, 14), 1)[0], window=(9, 8), output=2, mode="crops")


BESIDE = {
    "a weight": lambda net, scores: (scores, net.head.weight),
    "something of weights": lambda net, scores: {"scores": scores, "norm": net.head.weight.square().sum()},
}


@pytest.mark.parametrize("name", BESIDE)
def test_an_output_beside_the_scores_that_no_image_changes(name: str) -> None:
    beside = BESIDE[name]
    net = Net(
        lambda net, x: beside(net, net.head(net.conv(x).amax((2, 3)))), conv=nn.Conv2d(2, 4, 3), head=nn.Linear(4, 3)
    )
    with_trial_weights(net, 2, (9, 8))
    image = noise((1, 2, 17, 15), 5)[0]
    expected = oracle.crops(net, image, (9, 8), (2, 2), lambda outputs: pytree.tree_leaves(outputs)[0])
    assert oracle.relative_difference(exactly(net, image, (9, 8), (2, 2)).scores, expected) <= EQUAL
    for mode in ("exact", "fcn", "crops"):
        scan = ew.scan(net, image, window=(9, 8), stride=2, mode=mode)
        assert oracle.relative_difference(scan.scores, expected) <= EQUAL
    assert "gives other scores" not in ew.scan(net, image, window=(9, 8), stride=2).plan.reason
    converted = ew.convolutionalize(net, window=(9, 8), channels=2).eval()
    fixed = [pytree.tree_leaves(outputs)[1] for outputs in (converted(image.unsqueeze(0)), net(image[None, :, :9, :8]))]
    assert torch.equal(*fixed)


def test_a_constant_over_features_and_positions_widens_too() -> None:
    def code(net: Net, x: Tensor) -> Tensor:
        return net.head((net.conv(x)[:, :1] * net.mask).amax((2, 3)))

    mask = torch.ones(1, 3, 7, 6)
    mask[:, 1, :2] = 0.5
    assert "shared" in require_crops_scores(Net(code, conv=nn.Conv2d(2, 4, 3), head=nn.Linear(3, 3), mask=mask), 2)
