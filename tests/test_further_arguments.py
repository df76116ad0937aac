"""Networks that take more than the image: the same further arguments for every window."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import everywindow as ew
import oracle
from everywindow.errors import ConversionError, InputError
from everywindow.graph import cache
from exactly import exactly
from trial_weights import noise, with_trial_weights

MODES = ("crops", "fcn", "exact")


class Beside(nn.Module):
    """Features of the image beside further facts."""

    def __init__(self, axes: int = 2, pooled: bool = True) -> None:
        super().__init__()
        convolution = {1: nn.Conv1d, 2: nn.Conv2d}[axes]
        pool = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d}[axes](1) if pooled else nn.Identity()
        self.body = nn.Sequential(convolution(2, 4, 3), nn.ReLU(), convolution(4, 5, 3), pool, nn.Flatten())
        self.facts = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
        self.head = nn.Linear((5 if pooled else 5 * 4**axes) + 4 + 3, 3)

    def forward(self, x: Tensor, facts: Tensor) -> Tensor:
        return self.head(torch.cat([facts, self.body(x), self.facts(facts)], 1))


class Gated(nn.Module):
    """Features multiplied by what further facts say."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.gate, self.head = nn.Conv2d(2, 4, 3), nn.Linear(3, 4), nn.Linear(4 * 36, 3)

    def forward(self, x: Tensor, facts: Tensor, *, gain: float = 1.0, negative: bool = False) -> Tensor:
        x = -x if negative else x
        return self.head((self.conv(x) * self.gate(facts)[:, :, None, None]).relu().flatten(1)) * gain


class Tempered(nn.Module):
    """Scores over a temperature for each class or for all: of shape [1] it must not become one for each window."""

    def __init__(self) -> None:
        super().__init__()
        self.scores = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 2))

    def forward(self, x: Tensor, temperature: Tensor) -> Tensor:
        return self.scores(x) / temperature


class Domain(nn.Module):
    """A vector looked up by number."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.table, self.head = nn.Conv2d(2, 4, 3), nn.Embedding(7, 4), nn.Linear(8, 3)

    def forward(self, x: Tensor, domain: Tensor) -> Tensor:
        return self.head(torch.cat([self.conv(x).relu().mean((2, 3)), self.table(domain)], 1))


class Prompted(nn.Module):
    """Positions of the image attend to a prompt."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(2, 8, 3, 2), nn.Linear(8, 3)
        self.attend = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor, prompt: Tensor) -> Tensor:
        positions = self.conv(x).flatten(2).transpose(1, 2)
        return self.head(self.attend(positions, prompt, prompt)[0].mean(1))


class Tasks(nn.Module):
    """One of several heads, by number or name, and options nested in a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 8, 3, 2)
        self.heads = nn.ModuleDict({"a": nn.Linear(8, 3), "b": nn.Linear(8, 2)})

    def forward(self, x: Tensor, task: str, options: dict[str, Any] | None = None) -> Tensor:
        scores: Tensor = self.heads[task](self.conv(x).relu().mean((2, 3)))
        return scores if options is None else scores * options["gain"] + options["shifts"][0]


FACTS = torch.tensor([[0.5, -1.0, 2.0]])
# A network, its further arguments, whether mode fcn has a conversion.
KINDS: dict[str, tuple[Callable[[], nn.Module], dict[str, Any], bool]] = {
    "beside": (Beside, {"facts": FACTS}, True),
    "beside, flattened": (lambda: Beside(pooled=False), {"facts": FACTS}, True),
    "beside, 1-D": (lambda: Beside(1), {"facts": FACTS}, True),
    "gate": (Gated, {"facts": FACTS}, True),
    "options": (Gated, {"facts": FACTS, "gain": 3, "negative": True}, True),
    "temperature": (Tempered, {"temperature": torch.tensor([2.0])}, True),
    "temperatures": (Tempered, {"temperature": torch.tensor([2.0, 0.5])}, True),
    "a number as a tensor": (Tempered, {"temperature": torch.tensor(2.0)}, True),
    "table": (Domain, {"domain": torch.tensor([3])}, True),
    "prompt": (Prompted, {"prompt": torch.randn(1, 5, 8, generator=torch.Generator().manual_seed(1))}, False),
    "name": (Tasks, {"task": "b"}, True),
    "nested": (Tasks, {"task": "a", "options": {"gain": 2.5, "shifts": [torch.tensor([[1.0, -1.0, 0.5]])]}}, True),
}


class Called(nn.Module):
    """A plain call with the arguments: the reference."""

    def __init__(self, net: nn.Module, constants: dict[str, Any]) -> None:
        super().__init__()
        self.net, self.given = net, constants

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.net(x, **self.given)
        return made


def doubled(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: doubled(item) for key, item in value.items()}
    if isinstance(value, list):
        return [doubled(item) for item in value]
    return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value


def prepared(kind: str) -> tuple[nn.Module, dict[str, Any], tuple[int, ...], Tensor, Tensor]:
    """A network, its arguments, the window, an image and the scores of its crops."""
    make, constants, _ = KINDS[kind]
    window = (8,) if "1-D" in kind else (8, 8)
    net = make()
    with_trial_weights(net, 2, window)
    image = noise((1, 2, *(21, 18)[: len(window)]), 4)[0]
    expected = oracle.crops(Called(net, doubled(constants)), image, window, (2,) * len(window))
    return net, constants, window, image, expected


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_mode_and_a_bundle_give_the_scores_with_these_arguments(kind: str, tmp_path: Path) -> None:
    net, constants, window, image, expected = prepared(kind)
    clf = ew.Classifier(net, window, 2, constants=constants)
    clf.save(tmp_path / "b")
    loaded = ew.load(tmp_path / "b")
    for known in (clf, loaded):
        for mode in MODES:
            if mode == "fcn" and not KINDS[kind][2]:
                with pytest.raises(ConversionError):
                    ew.scan(known, image, stride=2, mode=mode, progress=False)
                continue
            m = ew.scan(known, image, stride=2, mode=mode, progress=False)
            assert m.verdict.exact, mode
            assert oracle.relative_difference(m.scores, expected) < 1e-10, mode
            assert mode != "crops" or m.plan.batch > 1
    forced = exactly(clf.module, image, window, (2,) * len(window))
    assert oracle.relative_difference(forced.scores, expected) < 1e-10


@pytest.mark.parametrize("kind", ["beside", "gate", "nested"])
def test_converted_networks_have_the_names_of_the_original(kind: str) -> None:
    net, constants, window, image, expected = prepared(kind)
    fcn = ew.convolutionalize(ew.Classifier(net, window, 2, constants=constants), stride=2)
    assert oracle.relative_difference(fcn(image[None])[0].detach(), expected) < 1e-10
    own = {name for name, _ in net.named_parameters()}
    assert {name for name, _ in fcn.named_parameters()} <= own
    assert {name.partition(".")[0] for name, _ in fcn.named_buffers()} <= {"constants"}
    for _, why in fcn.verdict.reasons:
        assert "module." not in why


def test_arguments_are_data_in_a_bundle(tmp_path: Path) -> None:
    ew.Classifier(Gated(), 8, constants={"facts": FACTS}).save(tmp_path / "b")
    assert "constants.facts" in json.loads((tmp_path / "b" / "graph.json").read_text())["state"]
    loaded = ew.load(tmp_path / "b")
    torch.testing.assert_close(loaded.module.state_dict()["constants.facts"], FACTS)
    with pytest.raises(InputError, match="before it is saved"):
        ew.Classifier(loaded.module, 8, 2, constants={"facts": FACTS})


def test_other_arguments_are_another_network() -> None:
    net, _, window, image, _ = prepared("gate")
    for constants in ({"facts": FACTS}, {"facts": -FACTS}, {"facts": FACTS, "negative": True}, {"facts": FACTS}):
        expected = oracle.crops(Called(net, doubled(constants)), image, window, (2, 2))
        for mode in MODES:
            m = ew.scan(ew.Classifier(net, 8, constants=constants), image, stride=2, mode=mode, progress=False)
            assert oracle.relative_difference(m.scores, expected) < 1e-10


def test_a_classifier_with_arguments_is_captured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    captures: list[Any] = []
    capture = cache.capture
    monkeypatch.setattr(cache, "capture", lambda *given: captures.append(given) or capture(*given))
    net, _, _, image, _ = prepared("beside")
    clf = ew.Classifier(net, 8, 2, constants={"facts": FACTS})
    for _ in range(3):
        ew.scan(clf, image, progress=False)
    assert len(captures) == 1


def test_arguments_are_of_their_time_and_follow_the_weights() -> None:
    net, _, window, image, _ = prepared("gate")
    facts = FACTS.clone()
    clf = ew.Classifier(net.float(), 8, constants={"facts": facts})
    facts.fill_(7)
    net.double()
    expected = oracle.crops(Called(net, {"facts": FACTS.double()}), image, window, (2, 2))
    m = ew.scan(clf, image, stride=2, progress=False)
    assert oracle.relative_difference(m.scores, expected) < 1e-10
    assert ew.scan(clf, image, stride=2, dtype="float32", progress=False).scores.dtype == torch.float32


def test_names_that_run_together_stay_apart() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scores = nn.Conv2d(2, 3, 8)

        def forward(self, x: Tensor, a: dict[str, Tensor], a_b: Tensor) -> Tensor:
            return self.scores(x) * a["b"] - a_b

    net = with_trial_weights(Two(), 2, (8, 8))
    given = {"a": {"b": torch.tensor(2.0).double()}, "a_b": torch.tensor(-3.0).double()}
    image = noise((1, 2, 12, 12), 4)[0]
    expected = oracle.crops(Called(net, given), image, (8, 8), (1, 1))
    m = ew.scan(ew.Classifier(net, 8, constants=given), image, progress=False)
    assert oracle.relative_difference(m.scores, expected) < 1e-10


def test_a_module_may_have_a_layer_called_constants() -> None:
    net, _, window, image, _ = prepared("gate")
    net.constants = nn.Module()
    net.constants.facts = nn.Parameter(torch.ones(1))  # type: ignore[assignment]
    expected = oracle.crops(Called(net, {"facts": FACTS.double()}), image, window, (2, 2))
    m = ew.scan(ew.Classifier(net, 8, constants={"facts": FACTS}), image, stride=2, progress=False)
    assert oracle.relative_difference(m.scores, expected) < 1e-10


@pytest.mark.parametrize("mode", MODES)
def test_what_is_lacking_is_named_with_the_remedy(mode: str) -> None:
    remedy = (
        r"forward\(\): Gated takes facts beside the image; give it for all windows: .*constants=\{'facts': \.\.\.\}"
    )
    with pytest.raises(InputError, match=remedy):
        ew.scan(Gated(), torch.rand(2, 12, 12), window=8, mode=mode, progress=False)
    with pytest.raises(InputError, match=remedy):
        ew.scan(ew.Classifier(Gated(), 8, constants={"gain": 2}), torch.rand(2, 12, 12), mode=mode, progress=False)


@pytest.mark.parametrize(
    ("net", "constants", "match"),
    [
        (
            Gated(),
            {"fakts": FACTS},
            "'fakts': Gated.* no such argument; beside the image it takes facts, gain, negative",
        ),
        (Gated(), {"x": FACTS}, "'x': Gated.* no such argument"),
        (nn.Conv2d(2, 3, 8), {"facts": FACTS}, "it takes the image alone"),
        (Gated(), [FACTS], "not values by name"),
        (Gated(), {1: FACTS}, "not values by name"),
    ],
)
def test_arguments_that_nobody_takes_are_refused(net: nn.Module, constants: Any, match: str) -> None:
    with pytest.raises(InputError, match=match):
        ew.Classifier(net, 8, constants=constants)


def test_arguments_with_defaults_need_not_be_given() -> None:
    class Optional(nn.Conv2d):
        def forward(self, x: Tensor, gain: float = 2.0, mask: Tensor | None = None) -> Tensor:
            return super().forward(x) * gain

    m = ew.scan(Optional(2, 3, 8), torch.rand(2, 12, 12), window=8, progress=False)
    assert m.scores.shape == (3, 5, 5)
