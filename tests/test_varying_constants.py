"""Constants that vary over the window's positions in mode exact: what stays shared, and that new values are seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import everywindow as ew
import oracle
from everywindow.errors import EverywindowError
from everywindow.geometry import WindowGrid
from everywindow.graph import captured, records
from everywindow.ops import changes
from everywindow.sharing import build, constants, exact_macs
from exactly import captured_network, exactly
from laws import EQUAL
from trial_weights import noise, with_trial_weights


class Between(nn.Module):
    """Something between two convolutions, and a mean over the window behind them."""

    def __init__(self, window: tuple[int, ...], stride: int = 1) -> None:
        super().__init__()
        conv = getattr(nn, f"Conv{len(window)}d")
        self.window = window
        self.first, self.second = conv(2, 4, 3, padding=1), conv(4, 4, 3, stride, padding=1)
        self.head = nn.Linear(4, 3)

    def between(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.second(torch.tanh(self.between(self.first(x)))))
        return self.head(x.pow(2).mean(tuple(range(2, x.ndim))))


class BorderMask(Between):
    """Two positions at the start and one at the end are damped, on every axis; a buffer."""

    mask: Tensor

    def __init__(self, window: tuple[int, ...], stride: int = 1) -> None:
        super().__init__(window, stride)
        mask = torch.ones(1, 1, *window)
        for dim in range(2, mask.ndim):
            mask.narrow(dim, 0, 2).mul_(0.3)
            mask.narrow(dim, window[dim - 2] - 1, 1).mul_(-0.7)
        self.register_buffer("mask", mask)

    def between(self, x: Tensor) -> Tensor:
        return x * self.mask


class Where(BorderMask):
    """The mask chooses between the map and another number, and is computed in ``forward``."""

    def between(self, x: Tensor) -> Tensor:
        return torch.where(self.mask > 0.5, x, 0.25) + (self.mask - 1).unsqueeze(2)[:, :, 0]


class Embedding(Between):
    """A parameter for each row, none for columns."""

    def __init__(self, window: tuple[int, ...], stride: int = 1) -> None:
        super().__init__(window, stride)
        self.embedding = nn.Parameter(torch.zeros(1, 4, window[0], *(1,) * (len(window) - 1)))

    def between(self, x: Tensor) -> Tensor:
        return x + self.embedding


class Ramp(Between):
    """A ramp made in ``forward``, in a residual: constant first, over the last axis, of fewer dimensions."""

    def between(self, x: Tensor) -> Tensor:
        ramp = torch.linspace(-1, 1, self.window[-1], dtype=x.dtype)
        return x + torch.maximum(ramp, torch.tensor(0.2, dtype=x.dtype)) * torch.sigmoid(x)


class Late(Between):
    """Behind a stride and a join with another grid's phase, a mask of the smaller map."""

    def __init__(self, window: tuple[int, ...], stride: int = 1) -> None:
        super().__init__(window, stride)
        conv = getattr(nn, f"Conv{len(window)}d")
        self.first = conv(2, 4, 2, stride=2)
        self.third = conv(2, 4, 3, padding=1, stride=2)
        steps = [torch.arange(n // 2).clamp(1, n // 2 - 3) for n in window]
        self.offsets = nn.Parameter(torch.stack(torch.meshgrid(*steps, indexing="ij")).double().sum(0))
        self.offsets.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        both = self.first(x) + self.third(x)
        x = torch.tanh(self.second(both + self.offsets / 5))
        return self.head(x.pow(2).mean(tuple(range(2, x.ndim))))


KINDS: dict[str, Callable[..., nn.Module]] = {
    "mask": BorderMask,
    "where": Where,
    "embedding": Embedding,
    "ramp": Ramp,
    "late": Late,
}
WINDOWS = [(22,), (18, 20), (8, 10, 8)]


def trial(kind: str, window: tuple[int, ...], stride: int = 1) -> nn.Module:
    torch.manual_seed(0)
    module = KINDS[kind](window, stride)
    kept = {name: tensor.clone() for name, tensor in module.state_dict().items() if name in ("mask", "offsets")}
    module = with_trial_weights(module, 2, window)
    module.load_state_dict({**module.state_dict(), **kept})
    return module


def pixels(window: tuple[int, ...], stride: int) -> Tensor:
    counts = {1: (9,), 2: (5, 4), 3: (3, 2, 3)}[len(window)]
    return noise((1, 2, *(n + (c - 1) * stride + 1 for n, c in zip(window, counts, strict=True))), 5)[0]


@pytest.mark.parametrize("memory", [1.0, 0.4])
@pytest.mark.parametrize("stride", [1, 2, 3, 4])
@pytest.mark.parametrize("window", WINDOWS, ids=["signal", "image", "cube"])
@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_the_crops(kind: str, window: tuple[int, ...], stride: int, memory: float) -> None:
    module = trial(kind, window, stride=2)
    image, strides = pixels(window, stride), (stride,) * len(window)
    expected = oracle.crops(module, image, window, strides)
    found = exactly(module, image, window, strides, memory=memory)
    assert oracle.relative_difference(found.scores, expected) <= EQUAL
    assert len(found.batches.rectangles) > 1 or memory == 1


@pytest.mark.parametrize("kind", KINDS)
def test_sharing_goes_on_behind_it(kind: str) -> None:
    window = (18, 20)
    network = captured_network(trial(kind, window), window, 2)
    targets = [str(step.node.target) for step in build(network, (8, 8), (2, 2)).steps]
    assert sum("conv" in target for target in targets) == (3 if kind == "late" else 2)
    grid = WindowGrid((32, 34), window, (2, 2))
    alone = grid.total * exact_macs(network, WindowGrid(window, window, (2, 2)))
    assert exact_macs(network, grid) < 0.8 * alone


def test_one_axis_stays_shared_where_the_other_is_all_different() -> None:
    network = captured_network(trial("embedding", (18, 20)), (18, 20), 2)
    value = next(value for node, value in records(network).values.items() if node.target is torch.ops.aten.add.Tensor)
    assert [record.shared for record in value.axes] == [False, True]  # type: ignore[union-attr]


def test_a_position_embedding_over_all_axes_ends_sharing_by_name() -> None:
    module = trial("embedding", (18,))
    program = build(captured_network(module, (18,), 2), (8,), (2,))
    assert program.ends is not None
    assert program.ends.reason.why == "a constant varies over the window's positions"


CHANGES: dict[str, Callable[[Tensor], Any]] = {
    "one inside": lambda mask: mask[..., 9, 9].fill_(5.0),
    "a step in the middle": lambda mask: mask[..., 10:].mul_(2.0),
    "all different": lambda mask: mask.copy_(torch.rand(mask.shape, dtype=mask.dtype)),
    "all equal": lambda mask: mask.fill_(0.6),
    "other values in the same places": lambda mask: mask.mul_(-3.0),
    "behind autograd's back": lambda mask: mask.data[..., 8, :].fill_(4.0),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kind", ["mask", "where"])
def test_values_changed_in_place_are_seen(kind: str, change: str) -> None:
    """The same captured graph: runs that were equal at capture may be no longer, and the other way round."""
    window, stride = (18, 20), (2, 3)
    module, image = trial(kind, window), pixels((18, 20), 3)
    exactly(module, image, window, stride)
    before = captured(module, window, 2)
    with torch.no_grad():
        CHANGES[change](module.mask)
    expected = oracle.crops(module, image, window, stride)
    found = exactly(module, image, window, stride)
    assert captured(module, window, 2) is before
    assert oracle.relative_difference(found.scores, expected) <= EQUAL
    scanned = ew.scan(ew.Classifier(module, window=window, channels=2), image, stride=stride)
    assert oracle.relative_difference(scanned.scores, expected) <= EQUAL


def test_training_steps_are_seen() -> None:
    """An embedding that starts as zeros is one run; a step later every slice differs."""
    window, stride = (18, 20), (2, 3)
    module, image = trial("embedding", window), pixels((18, 20), 3)
    with torch.no_grad():
        module.embedding.zero_()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    for _ in range(3):
        found = exactly(module, image, window, stride)
        assert oracle.relative_difference(found.scores, oracle.crops(module, image, window, stride)) <= EQUAL
        optimizer.zero_grad()
        module(image[None, :, :18, :20]).sum().backward()
        optimizer.step()


def test_a_change_that_nobody_noticed_is_an_error_not_a_number() -> None:
    window = (18, 20)
    module = trial("mask", window)
    network = captured(module, window, 2)
    program = build(network, (4, 4), (2, 2))
    image = noise((1, 2, 24, 26), 5)[0]
    with torch.inference_mode():
        program.shared(image, constants(network))
    module.mask[..., 9, 9] = 5.0
    with torch.inference_mode(), pytest.raises(EverywindowError, match="a constant changed"):
        program.shared(image, constants(network))


@pytest.mark.parametrize("kind", KINDS)
def test_the_one_pass_is_refused_by_name(kind: str) -> None:
    module = trial(kind, (18, 20))
    with pytest.raises(ew.ConversionError, match="a constant varies over the window's positions"):
        ew.convolutionalize(module, window=(18, 20), channels=2)


def test_users_see_it_in_scan_and_cost() -> None:
    module = trial("mask", (18, 20))
    classifier = ew.Classifier(module, window=(18, 20), channels=2)
    image = pixels((18, 20), 4)
    found = ew.scan(classifier, image)
    assert oracle.relative_difference(found.scores, oracle.crops(module, image, (18, 20), (1, 1))) <= EQUAL
    macs = ew.cost(classifier, image_size=(40, 42), stride=2).macs
    assert "fcn" not in macs
    assert macs["exact"] < 0.6 * macs["crops"]


def test_zeros_of_either_sign_and_numbers_that_are_none_count_as_changes() -> None:
    """One over them differs; nothing is said of what a NaN equals."""
    assert changes(torch.tensor([1.0, 0.0, 0.0, -0.0, 0.0])) == ((1, 3, 4),)
    assert changes(torch.tensor([1.0, float("nan"), float("nan")])) == ((1, 2),)
    assert changes(torch.tensor([[True, True], [True, False]])) == ((1,), (1,))
    assert changes(torch.zeros(3, 1, 2)) == ((), (), ())
