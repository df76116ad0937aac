"""Beside other libraries: their modules are taken as they are, and tell what they know.

Lightning, transformers and MONAI are heavier than this package: stand-ins that behave alike are tested always, the
libraries themselves where they are installed.
"""

from __future__ import annotations

import importlib.util
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import everywindow as ew
import oracle
from everywindow.errors import InputError
from everywindow.graph import cache
from trial_weights import noise, with_trial_weights

timm = pytest.importorskip("timm", reason="timm is not installed")
MODES = ("crops", "fcn", "exact")
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


# timm


@pytest.mark.parametrize(
    ("name", "options", "window", "normalisation"),
    [
        ("test_resnet", {}, (160, 160), HALF),
        ("resnet18", {}, (224, 224), IMAGENET),  # trained at 224; tested on whole photographs at 288
        ("inception_v3", {}, (299, 299), HALF),
        ("tresnet_m", {}, (224, 224), ((0.0,) * 3, (1.0,) * 3)),  # its first convolution has 48 channels
        ("test_vit", {"img_size": (64, 96)}, (64, 96), HALF),
    ],
)
def test_a_timm_network_brings_what_it_knows(name: str, options: Any, window: Any, normalisation: Any) -> None:
    net = timm.create_model(name, num_classes=2, **options).eval()
    clf = ew.Classifier(net)
    assert (clf.window, clf.channels) == (window, 3)
    assert (clf.mean, clf.std) == normalisation
    assert net(torch.zeros(1, clf.channels, *clf.window)).shape == (1, 2)


def test_what_is_given_comes_before_what_is_told() -> None:
    net = timm.create_model("test_resnet")
    given = ew.Classifier(net, 96, mean=[0.1] * 3, std=[1] * 3, classes=["a"])
    assert (given.window, given.mean, given.std, given.classes) == ((96, 96), (0.1,) * 3, (1.0,) * 3, ("a",))
    without = ew.Classifier(net, mean=None, std=None)
    assert (without.window, without.mean, without.std) == ((160, 160), None, None)


def test_normalisation_is_of_the_channels_that_it_was_made_for() -> None:
    grey = ew.Classifier(timm.create_model("test_resnet", in_chans=1))
    assert (grey.channels, grey.mean, grey.std) == (1, None, None)


@pytest.mark.parametrize(("classes", "expected"), [(2, ("cat", "dog")), (3, None)])
def test_names_are_taken_where_there_is_one_for_each_class(classes: int, expected: Any) -> None:
    net = timm.create_model("test_resnet", num_classes=classes)
    net.pretrained_cfg = net.default_cfg = {**net.pretrained_cfg, "label_names": ("cat", "dog")}
    assert ew.Classifier(net).classes == expected


@pytest.mark.filterwarnings("ignore:.*no weights given:UserWarning")
def test_names_and_modules_of_timm_tell_the_same() -> None:
    for name in timm.list_models("test_*"):
        by_name, given = ew.load(f"timm:{name}"), ew.Classifier(timm.create_model(name))
        config = timm.data.resolve_model_data_config(given.module)
        for clf in (by_name, given):
            assert (clf.channels, *clf.window) == config["input_size"]
            assert (clf.mean, clf.std) == (config["mean"], config["std"])


def test_a_timm_network_needs_no_further_argument() -> None:
    net, image = timm.create_model("test_resnet", num_classes=3).eval(), torch.rand(200, 180, 3).numpy()
    m = ew.scan(net, image, progress=False)
    mean, std = (torch.tensor(values).reshape(3, 1, 1) for values in HALF)
    pixels = (torch.from_numpy(image).movedim(-1, 0) - mean) / std
    assert m.scores.shape == (3, 2, 1)
    torch.testing.assert_close(m.scores, oracle.crops(net, pixels, (160, 160), (32, 32)), atol=1e-4, rtol=1e-4)


def test_a_bundle_without_normalisation_stays_without(tmp_path: Path) -> None:
    net = timm.create_model("test_resnet", num_classes=3).eval()
    ew.Classifier(net, mean=None, std=None, architecture="timm:test_resnet").save(tmp_path / "b")
    assert not (tmp_path / "b" / "graph.json").exists()
    assert ew.load(tmp_path / "b").mean is None


def test_modules_that_say_nothing_need_a_window() -> None:
    with pytest.raises(InputError, match="window: the module does not say it; give window="):
        ew.Classifier(nn.Conv2d(3, 2, 5))


# transformers


@dataclass
class ModelOutput(OrderedDict[str, Any]):
    """As in transformers: a dataclass that is a mapping of those of its fields that are not None."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None

    def __post_init__(self) -> None:
        self.update({name: value for name, value in vars(self).items() if value is not None})


class StandInForImageClassification(nn.Module):
    """The forward of transformers' image classifiers: everything optional, an output with names."""

    def __init__(self, **config: Any) -> None:
        super().__init__()
        names = {1: "dog", 0: "cat", 2: "hen"}
        self.config = SimpleNamespace(model_type="stand-in", id2label=names, num_channels=2, **config)
        self.body = nn.Sequential(nn.Conv2d(2, 6, 3), nn.ReLU(), nn.Conv2d(6, 6, 3, padding=1), nn.ReLU())
        self.classifier = nn.Linear(6 * 36, 3)

    def forward(
        self,
        pixel_values: Tensor | None = None,
        labels: Tensor | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> ModelOutput | tuple[Tensor, ...]:
        assert pixel_values is not None
        hidden = self.body(pixel_values)
        logits = self.classifier(hidden.flatten(1))
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return ModelOutput(loss, logits, (hidden,) if output_hidden_states else None)


def test_a_transformers_classifier_tells_names_channels_and_size() -> None:
    clf = ew.Classifier(StandInForImageClassification(image_size=8))
    assert (clf.window, clf.channels, clf.classes) == ((8, 8), 2, ("cat", "dog", "hen"))
    assert (clf.mean, clf.std, clf.activation) == (None, None, None)
    assert ew.Classifier(StandInForImageClassification(image_size=[8, 9])).window == (8, 9)
    several = StandInForImageClassification(image_size=8, problem_type="multi_label_classification")
    assert ew.Classifier(several).activation == "sigmoid"
    with pytest.raises(InputError, match="window"):
        ew.Classifier(StandInForImageClassification())


@pytest.mark.parametrize("constants", [None, {"output_hidden_states": True}])
def test_a_transformers_classifier_is_scored_by_its_logits(constants: Any, tmp_path: Path) -> None:
    net = with_trial_weights(StandInForImageClassification(image_size=8), 2, (8, 8))
    clf, image = ew.Classifier(net, constants=constants), noise((1, 2, 20, 17), 3)[0]
    expected = oracle.crops(net, image, (8, 8), (2, 2), lambda outputs: outputs.logits)
    for output in (None, "logits", 0):
        for mode in ("crops", "exact"):
            m = ew.scan(clf, image, stride=2, mode=mode, output=output, progress=False)
            assert oracle.relative_difference(m.scores, expected) < 1e-10
            assert m.classes == ("cat", "dog", "hen")
    clf.save(tmp_path / "b")
    m = ew.scan(ew.load(tmp_path / "b"), image, stride=2, progress=False)
    assert oracle.relative_difference(m.scores, expected) < 1e-10
    if constants is None:
        assert list(ew.convolutionalize(clf)(image[None])) == ["logits"]


def transformers_networks() -> list[tuple[str, dict[str, Any], int]]:
    deep = {"hidden_sizes": [8, 16], "depths": [1, 1]}
    heads = {"depths": [1, 1], "num_heads": [1, 2]}
    attention = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    return [
        ("ResNet", {"embedding_size": 8, "layer_type": "basic", **deep}, 64),
        ("RegNet", {"embedding_size": 8, "groups_width": 8, **deep}, 64),
        ("ConvNext", {"hidden_sizes": [8, 8, 16, 16], "depths": [1] * 4, "image_size": 64}, 64),
        ("MobileNetV2", {"depth_multiplier": 0.25, "image_size": 64}, 64),
        ("ViT", {"image_size": 32, "patch_size": 8, **attention}, 32),
        ("Swin", {"image_size": 32, "patch_size": 2, "embed_dim": 8, "window_size": 4, **heads}, 32),
    ]


@pytest.mark.parametrize(("name", "config", "size"), transformers_networks())
def test_transformers_own_networks(name: str, config: dict[str, Any], size: int) -> None:
    library = pytest.importorskip("transformers", reason="transformers is not installed")
    made = getattr(library, f"{name}Config")(num_labels=3, **config)
    net = with_trial_weights(getattr(library, f"{name}ForImageClassification")(made), 3, (size, size))
    clf = ew.Classifier(net, None if "image_size" in config else size)
    assert (clf.window, clf.channels) == ((size, size), 3)
    assert clf.classes == ("LABEL_0", "LABEL_1", "LABEL_2")
    image = noise((1, 3, size + 32, size + 16), 3)[0]
    expected = oracle.crops(net, image, (size, size), (16, 16), lambda outputs: outputs.logits)
    for mode in ("crops", "exact"):
        m = ew.scan(clf, image, stride=16, mode=mode, progress=False)
        assert oracle.relative_difference(m.scores, expected) < 1e-9, mode
    if name in ("ViT", "Swin"):
        with pytest.raises(ew.ConversionError):
            ew.convolutionalize(clf)
    else:
        assert list(ew.convolutionalize(clf)(image[None])) == ["logits"]


# Lightning


class Unattached(RuntimeError):
    """What Lightning raises."""


class HParams(dict[str, Any]):
    """A dict whose items are attributes too."""

    def __getattr__(self, key: str) -> Any:
        try:
            return self[key]
        except KeyError:
            raise AttributeError(key) from None


class Metric(nn.Module):
    """As in torchmetrics: its update method is wrapped for each instance, and its state is not a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.total = torch.tensor(0)
        self.update = self._counted(self.update)  # type: ignore[method-assign]

    def _counted(self, update: Any) -> Any:
        def counted(*given: Any) -> None:
            self.calls = getattr(self, "calls", 0) + 1
            update(*given)

        return counted

    def update(self, scores: Tensor) -> None:
        """Count a batch."""
        self.total += len(scores)

    def forward(self, scores: Tensor) -> Tensor:
        self.update(scores)
        return self.total


class StandInModule(nn.Module):
    """The base of Lightning's modules, as far as it stands in anybody's way."""

    def __init__(self) -> None:
        super().__init__()
        self._trainer: Any = None
        self._hparams = HParams(lr=0.1)
        self.example_input_array = torch.zeros(1, 1, 8, 8)

    @property
    def trainer(self) -> Any:
        if self._trainer is None:
            raise Unattached("not attached to a Trainer")
        return self._trainer

    @property
    def current_epoch(self) -> int:
        epoch: int = self.trainer.current_epoch
        return epoch

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def log(self, name: str, value: Any) -> None:
        """Only while a trainer runs."""
        self.trainer.logged[name] = value


def lightning_net(base: type[nn.Module], metric: nn.Module) -> nn.Module:
    class Lit(base):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv2d(1, 4, 3), nn.Linear(4 * 36, 3)
            self.loss, self.metric = nn.CrossEntropyLoss(weight=torch.ones(3)), metric

        def forward(self, x: Tensor) -> Tensor:
            scores: Tensor = self.head(self.conv(x).relu().flatten(1))
            return scores

        def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
            scores = self(batch[0])
            self.log("loss", self.loss(scores, batch[1]))
            self.metric(scores)
            loss: Tensor = self.loss(scores, batch[1])
            return loss

    return Lit()


def require_taken(net: nn.Module, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Scores of the crops in all modes, captured once, the module's own mode, weights there and back."""
    with_trial_weights(net, 1, (8, 8)).train()
    image = noise((1, 1, 20, 17), 3)[0]
    expected = oracle.crops(net, image, (8, 8), (2, 2))
    captures: list[Any] = []
    capture = cache.capture
    monkeypatch.setattr(cache, "capture", lambda *given: captures.append(given) or capture(*given))
    for mode in MODES:
        m = ew.scan(net, image, window=8, stride=2, mode=mode, progress=False)
        assert oracle.relative_difference(m.scores, expected) < 1e-10
    assert len(captures) == 1
    assert all(part.training for part in net.modules())
    assert ew.scan(net, image, window=8, dtype="float32", progress=False).scores.dtype == torch.float32
    fcn = ew.convolutionalize(net, window=8)
    assert {name for name, _ in fcn.named_parameters()} == {"conv.weight", "conv.bias", "head.weight", "head.bias"}
    assert fcn.to_classifier(net) is net
    ew.Classifier(net, 8).save(tmp_path / "b")
    m = ew.scan(ew.load(tmp_path / "b"), image, stride=2, progress=False)
    assert oracle.relative_difference(m.scores, expected) < 1e-10


@pytest.mark.parametrize("attached", [False, True])
def test_a_lightning_module_is_taken(attached: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    net = lightning_net(StandInModule, Metric())
    if attached:
        net._trainer = SimpleNamespace(model=net, current_epoch=3, logged={}, callbacks=[object()])
        net.training_step((torch.rand(2, 1, 8, 8), torch.tensor([0, 1])), 0)  # type: ignore[operator]
    require_taken(net, monkeypatch, tmp_path)


@pytest.mark.parametrize("package", ["lightning", "pytorch_lightning"])
def test_lightnings_own_module_is_taken(package: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        library, metrics = importlib.import_module(package), importlib.import_module("torchmetrics")
    net = lightning_net(library.LightningModule, metrics.Accuracy(task="multiclass", num_classes=3))
    net.save_hyperparameters({"lr": 0.1})  # type: ignore[operator]
    require_taken(net, monkeypatch, tmp_path)


# MONAI


class Faceted(nn.Module):
    """Scores that depend on a number and on a vector beside the image."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(2, 4, 3), nn.Linear(4 + 3, 3)

    def forward(self, x: Tensor, facts: Tensor, gain: float = 1.0) -> Tensor:
        scores: Tensor = self.head(torch.cat([self.conv(x).relu().mean((2, 3)), facts.expand(x.shape[0], -1)], 1))
        return scores * gain


def facets(net: nn.Module, image: Tensor, facts: Tensor, gain: float) -> Tensor:
    class Call(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            made: Tensor = net(x, facts.to(x), gain)
            return made

    return oracle.crops(Call(), image, (8, 8), (4, 4))


def test_an_inferer_passes_further_arguments_on(monkeypatch: pytest.MonkeyPatch) -> None:
    net, images = with_trial_weights(Faceted(), 2, (8, 8)), noise((2, 2, 20, 24), 5)
    inferer = ew.DenseInferer(net, window=8, stride=4)
    captures: list[Any] = []
    capture = cache.capture
    monkeypatch.setattr(cache, "capture", lambda *given: captures.append(given) or capture(*given))
    for step in range(4):
        facts = torch.randn(1, 3)
        for got in (inferer(images, net, facts, 2.0), inferer(images, facts=facts, gain=2.0)):
            for image, scores in zip(images, got, strict=True):
                assert oracle.relative_difference(scores, facets(net, image, facts, 2.0)) < 1e-10, step
    assert len(captures) == 1  # other facts are other values in the same graph
    got = inferer(images, net, facts, 3.0)
    assert oracle.relative_difference(got[0], facets(net, images[0], facts, 3.0)) < 1e-10


def test_an_inferer_adds_to_the_arguments_of_its_classifier() -> None:
    net, images, facts = with_trial_weights(Faceted(), 2, (8, 8)), noise((1, 2, 20, 24), 5), torch.randn(1, 3)
    inferer = ew.DenseInferer(ew.Classifier(net, 8, constants={"facts": facts}), stride=4)
    for given, gain in (({}, 1.0), ({"gain": 2.0}, 2.0), ({}, 1.0)):
        for network in (None, net):
            got = inferer(images, network, **given)[0]
            assert oracle.relative_difference(got, facets(net, images[0], facts, gain)) < 1e-10


def test_what_an_inferer_cannot_take_is_named() -> None:
    inferer, images = ew.DenseInferer(Faceted(), window=8), torch.rand(1, 2, 12, 12)
    with pytest.raises(InputError, match=r"facts beside the image"):
        inferer(images)
    with pytest.raises(InputError, match=r"a function does not show its layers; give the torch\.nn\.Module"):
        inferer(images, lambda x: x)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="3 beside the image, Faceted takes 2"):
        inferer(images, None, 1, 2, 3)
    with pytest.raises(InputError, match="'condition': Faceted"):
        inferer(images, None, torch.rand(1, 3), condition=images)


def test_monais_own_inferer_is_called_alike() -> None:
    inferers = pytest.importorskip("monai.inferers", reason="monai is not installed")
    data = pytest.importorskip("monai.data")
    net, images = with_trial_weights(Faceted(), 2, (8, 8)), noise((2, 2, 24, 32), 5)

    class Tiles(nn.Module):
        """The score of a window at each of its pixels, which MONAI puts together."""

        def forward(self, x: Tensor, *given: Any) -> Tensor:
            tiles: Tensor = net(x, *given)[:, :, None, None].expand(-1, -1, 8, 8).clone()
            return tiles

    given = (torch.randn(1, 3).double(), 2.0)
    expected = inferers.SlidingWindowInferer(8, sw_batch_size=4, overlap=0)(images, Tiles(), *given)[..., ::8, ::8]
    got = ew.DenseInferer(net, window=8, stride=8)(data.MetaTensor(images), net, *given)
    torch.testing.assert_close(got, expected)
