"""What the converted network does in training: its modes, its random layers, its statistics, and the way back."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

import everywindow as ew
import torchvision_shim
from trial_weights import noise, with_trial_weights

torchvision_shim.make_importable()
WINDOW = 11


class Residual(nn.Module):
    """A branch that a layer changes in training and passes on in evaluation mode."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.conv, self.branch = nn.Conv2d(2, 4, 3), nn.Conv2d(4, 4, 3, padding=1)
        self.layer, self.head = layer, nn.Linear(4 * 81, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return self.head((x + self.layer(self.branch(x))).relu().flatten(1))


class Noise(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.randn_like(x) if self.training else x


def dropped(name: str) -> nn.Module:
    if name == "StochasticDepth":
        from torchvision.ops import StochasticDepth

        return StochasticDepth(0.5, "row")
    if name in ("DropPath", "DropBlock2d"):
        layers = pytest.importorskip("timm.layers")
        return getattr(layers, name)(0.4)
    return Noise()


def converted(module: nn.Module) -> tuple[nn.Module, ew.FullyConvolutional]:
    module = with_trial_weights(module, 2, (WINDOW, WINDOW))
    return module, ew.convolutionalize(module, window=WINDOW, channels=2)


@pytest.mark.parametrize("name", ["StochasticDepth", "DropPath", "DropBlock2d", "Noise"])
def test_layers_that_rest_in_evaluation_mode_work_in_training(name: str) -> None:
    module, fcn = converted(Residual(dropped(name)))
    images = noise((4, 2, WINDOW, WINDOW), 1)
    assert torch.allclose(fcn(images).flatten(1), module(images))
    assert type(fcn.get_submodule("layer")) is type(module.layer)
    fcn.train(), module.train()
    for seed in range(3):
        torch.manual_seed(seed)
        expected = module(images)
        torch.manual_seed(seed)
        assert torch.allclose(fcn(images).flatten(1), expected, atol=1e-12)
    again = pickle.loads(pickle.dumps(fcn.eval()))
    assert torch.equal(again(images), fcn(images))
    image = noise((1, 2, 15, 15), 2)
    scanned = ew.scan(module.eval(), image[0], window=WINDOW, mode="fcn", progress=False)
    assert torch.allclose(scanned.scores, fcn(image)[0])


def rates(module: nn.Module) -> list[float]:
    return [layer.p for layer in module.modules() if isinstance(layer, nn.modules.dropout._DropoutNd)]


def test_a_dropout_in_place_costs_no_layer_its_training() -> None:
    layers = [nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Dropout(0.3, inplace=True)]
    module, fcn = converted(nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.1, inplace=True), nn.Linear(4 * 81, 3)))
    assert rates(fcn) == [0.3, 0.1]
    assert list(fcn.state_dict()) == list(module.state_dict())


class Overwrites(nn.Module):
    """An in-place call that torch's own decompositions have to take out: a view of its tensor is read later."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4, momentum=0.3), nn.Linear(4 * 81, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x))
        view = x.flatten(1)
        x.relu_()
        return self.head(view)


def assert_same_statistics(module: nn.Module, fcn: nn.Module) -> None:
    images = noise((6, 2, WINDOW, WINDOW), 3)
    fcn.train(), module.train()
    assert torch.allclose(fcn(images).flatten(1), module(images), atol=1e-12)
    state = module.state_dict()
    assert list(fcn.state_dict()) == list(state)
    for name, value in fcn.state_dict().items():
        assert torch.allclose(value, state[name], atol=1e-12), name


def test_batch_norms_train_in_networks_with_any_in_place_calls() -> None:
    assert_same_statistics(*converted(Overwrites()))


class Twice(nn.Module):
    """One batch norm behind two convolutions, and functional dropouts in a module with layers of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(2, 4, 3), nn.Conv2d(4, 4, 3)
        self.norm, self.head = nn.BatchNorm2d(4), nn.Linear(4 * 49, 3)
        self.rate = 0.0

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.second(self.norm(self.first(x)).relu())).relu()
        return self.head(F.dropout(x, self.rate, self.training).flatten(1))


def test_a_shared_batch_norm_is_updated_as_the_originals() -> None:
    assert_same_statistics(*converted(Twice()))


def test_statistics_in_training_are_those_of_the_whole_map() -> None:
    module, fcn = converted(nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 81, 3)))
    image = noise((2, 2, 19, 16), 5)
    with torch.no_grad():
        before, plain = module[1].running_mean.clone(), module[0](image)
    fcn.train()(image)
    state = fcn.state_dict()
    assert torch.allclose(state["1.running_mean"], 0.9 * before + 0.1 * plain.mean((0, 2, 3)))
    assert state["1.num_batches_tracked"] == module[1].num_batches_tracked + 1


def test_modes_are_the_originals() -> None:
    module = with_trial_weights(Twice(), 2, (WINDOW, WINDOW))
    assert not ew.convolutionalize(module, window=WINDOW).training
    module.train()
    module.norm.eval()
    fcn = ew.convolutionalize(module, window=WINDOW)
    assert fcn.training
    assert not fcn.get_submodule("norm").training
    assert module.training  # left as it was


class Constants(nn.Module):
    """Tensors that the state dict leaves out: an attribute, a number in the code, a buffer that is not kept."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(2, 4, 3), nn.Linear(4 * 81, 3)
        self.register_buffer("mean", torch.rand(1, 2, 1, 1))
        self.register_buffer("std", torch.rand(1, 2, 1, 1) + 1, persistent=False)
        self.scale = torch.rand(3, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.conv((x - self.mean) / self.std).relu().flatten(1)) * self.scale + torch.tensor([1.0] * 3)


class Transposed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.weight = nn.Conv2d(2, 4, 3), nn.Parameter(torch.rand(4, 4))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x).relu().mean((2, 3))
        return F.linear(F.linear(x, self.weight).relu(), self.weight.t())


def parametrised(wrap: Callable[[nn.Module], nn.Module]) -> nn.Module:
    return nn.Sequential(wrap(nn.Conv2d(2, 4, 3)), nn.ReLU(), nn.Flatten(), wrap(nn.Linear(4 * 81, 3)))


def frozen() -> nn.Module:
    net = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 81, 3))
    net[0].requires_grad_(False)
    net[1].weight.requires_grad_(False)
    return net


TRAINED: dict[str, Callable[[], nn.Module]] = {
    "constants": Constants,
    "transposed": Transposed,
    "weight norm": lambda: parametrised(parametrizations.weight_norm),
    "spectral norm": lambda: parametrised(parametrizations.spectral_norm),
    "orthogonal": lambda: parametrised(parametrizations.orthogonal),
    "frozen": frozen,
    "shared norm": Twice,
}


@pytest.mark.parametrize("name", TRAINED)
def test_weights_train_travel_and_go_back(name: str) -> None:
    module = TRAINED[name]().double().eval()
    fcn = ew.convolutionalize(module, window=WINDOW, channels=2)
    assert list(fcn.state_dict()) == list(module.state_dict())
    wanted = {key: value.requires_grad for key, value in module.named_parameters()}
    assert {key: value.requires_grad for key, value in fcn.named_parameters()} == wanted
    before, image = copy.deepcopy(fcn.state_dict()), noise((2, 2, 15, 13), 1)
    optimizer = torch.optim.AdamW([one for one in fcn.parameters() if one.requires_grad], 1e-2)
    for _ in range(2):
        optimizer.zero_grad()
        fcn.train()(image).square().mean().backward()
        optimizer.step()
    moved = {key: not torch.equal(value, before[key]) for key, value in fcn.named_parameters()}
    assert moved == wanted
    fcn.eval()
    fresh = ew.convolutionalize(TRAINED[name]().double().eval(), window=WINDOW, channels=2)
    if name != "constants":  # whose constants are drawn anew
        fresh.load_state_dict(fcn.state_dict())
        assert torch.allclose(fresh(image), fcn(image), atol=1e-12)
    assert torch.equal(copy.deepcopy(fcn)(image), fcn(image))
    crops = noise((3, 2, WINDOW, WINDOW), 2)
    assert torch.allclose(fcn.to_classifier(module)(crops), fcn(crops).flatten(1), atol=1e-10)


@pytest.mark.parametrize("name", ["transposed", "weight norm", "shared norm"])
def test_autocast_trains_in_bfloat16(name: str) -> None:
    fcn = ew.convolutionalize(TRAINED[name]().eval(), window=WINDOW, channels=2)
    image = noise((2, 2, 15, 13), 1, torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = fcn(image)
    low.float().square().mean().backward()
    assert all(value.grad is not None and bool(value.grad.any()) for value in fcn.parameters())
    full = fcn(image).detach()
    difference = (low.detach() - full).abs().max()
    assert 0 < difference <= 0.05 * full.abs().max()


def test_weights_go_back_into_a_classifier_with_its_names() -> None:
    clf = ew.Classifier(frozen().eval(), window=WINDOW, channels=2, classes=["a", "b", "c"])
    fcn = ew.convolutionalize(clf)
    with torch.no_grad():
        fcn.get_parameter("4.bias").fill_(7.0)
    assert fcn.to_classifier(clf) is clf
    assert clf.module[4].bias.tolist() == [7.0] * 3


class AddsLength(nn.Module):
    """Takes a number beside the image."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(2, 4, 3), nn.Linear(4 * (WINDOW - 2) ** 2 + 3, 5)

    def forward(self, x: Tensor, age: Tensor) -> Tensor:
        return self.head(torch.cat([self.conv(x).flatten(1), age], 1))


def test_weights_go_back_into_a_classifier_with_constants() -> None:
    clf = ew.Classifier(AddsLength().eval(), window=WINDOW, channels=2, constants={"age": torch.randn(1, 3)})
    fcn = ew.convolutionalize(clf)
    with torch.no_grad():
        fcn.get_parameter("head.bias").fill_(7.0)
    assert fcn.to_classifier(clf) is clf
    image = noise((2, WINDOW, WINDOW), 1, torch.float32)
    assert torch.allclose(ew.scan(clf, image).scores[:, 0, 0], fcn(image[None])[0, :, 0, 0].detach(), atol=1e-5)


class Drops(nn.Module):
    """Stochastic depth with a flattened map."""

    def __init__(self, tokens: bool) -> None:
        super().__init__()
        self.tokens = tokens
        self.conv, self.drop = nn.Conv2d(2, 4, 3), DropsItems()
        self.head = nn.Linear(4 * (WINDOW - 2) ** 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x = self.drop(x.flatten(2).transpose(1, 2)).transpose(1, 2) if self.tokens else self.drop(x.flatten(1))
        return self.head(x.flatten(1))


class DropsItems(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        kept = torch.rand(len(x), *[1] * (x.ndim - 1)) < 0.5
        return x * kept


@pytest.mark.parametrize("tokens", [True, False])
def test_resting_layers_on_flattened_maps_are_not_lost(tokens: bool) -> None:
    module = Drops(tokens).train()
    fcn = ew.convolutionalize(module, window=WINDOW, channels=2)
    image = noise((64, 2, WINDOW, WINDOW), 1, torch.float32)
    dropped = [int((scores(image).flatten(1) == module.head.bias).all(1).sum()) for scores in (module, fcn)]
    assert all(10 < count < 54 for count in dropped)
