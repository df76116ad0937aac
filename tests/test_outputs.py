"""Networks with several outputs: which are taken, by what name, and that all of them are kept."""

from __future__ import annotations

import copy
from collections import OrderedDict, namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import everywindow as ew
import oracle
from everywindow.errors import InputError
from trial_weights import noise, with_trial_weights

Named = namedtuple("Named", "scores extra")
MODES = ("crops", "fcn", "exact")


@dataclass
class Fields:
    scores: Tensor
    extra: Any = None


class Heads(nn.Module):
    """Two heads on one body, put out as somebody may like it."""

    def __init__(self, give: Callable[[Tensor, Tensor], Any], axes: int = 2, classes: tuple[int, int] = (3, 2)) -> None:
        super().__init__()
        convolution = {1: nn.Conv1d, 2: nn.Conv2d}[axes]
        self.body = nn.Sequential(convolution(1, 4, 3), nn.ReLU(), convolution(4, 4, 3), nn.ReLU(), nn.Flatten())
        self.first, self.second = (nn.Linear(4 * 4**axes, k) for k in classes)
        self.give = give

    def forward(self, x: Tensor) -> Any:
        features = self.body(x)
        return self.give(self.first(features), self.second(features))


# How the heads are put out; places and which head is there; what the converted network gives; names in a file.
KINDS: dict[str, tuple[Callable[[Tensor, Tensor], Any], dict[Any, int], Any, list[str]]] = {
    "tensor": (lambda a, b: a, {None: 0, 0: 0}, "a", ["scores"]),
    "tuple": (lambda a, b: (a, b), {None: 0, 0: 0, 1: 1, "1": 1, (1,): 1}, ("a", "b"), ["0", "1"]),
    "list": (lambda a, b: [b, [a]], {None: 1, 1: 0, "1.0": 0, (1, 0): 0}, ["b", ["a"]], ["0", "1.0"]),
    "dict": (lambda a, b: {"x": a, "y": b}, {None: 0, "y": 1, 1: 1}, {"x": "a", "y": "b"}, ["x", "y"]),
    "ordered": (lambda a, b: OrderedDict(x=a, y=b), {"y": 1}, {"x": "a", "y": "b"}, ["x", "y"]),
    "numbers for keys": (lambda a, b: {1: a, 0: b}, {None: 0, 1: 0, 0: 1}, {"1": "a", "0": "b"}, ["1", "0"]),
    "dots in keys": (lambda a, b: {"x": a, "x.y": b}, {"x.y": 1, "x": 0}, {"x": "a", "x.y": "b"}, ["x", "x.y"]),
    "named tuple": (Named, {None: 0, "extra": 1, 1: 1}, {"scores": "a", "extra": "b"}, ["scores", "extra"]),
    "dataclass": (Fields, {None: 0, "extra": 1, 1: 1}, {"scores": "a", "extra": "b"}, ["scores", "extra"]),
    "absent field": (lambda a, b: Fields(b), {None: 1, "scores": 1}, {"scores": "b", "extra": None}, ["scores"]),
    "nested": (
        lambda a, b: {"out": a, "aux": (b, {"deep": a})},
        {None: 0, "aux": 1, ("aux", 0): 1, "aux.1.deep": 0, ("aux", 1, "deep"): 0},
        {"out": "a", "aux": ("b", {"deep": "a"})},
        ["out", "aux.0", "aux.1.deep"],
    ),
    "none": (lambda a, b: (None, b, a), {None: 1, 1: 1, 2: 0}, (None, "b", "a"), ["1", "2"]),
    "no loss": (
        lambda a, b: {"loss": None, "logits": a},
        {None: 0, "logits": 0},
        {"loss": None, "logits": "a"},
        ["logits"],
    ),
    "text and numbers": (
        lambda a, b: {"name": "q", "n": 3, "a": a},
        {None: 0, "a": 0, 2: 0},
        {"name": None, "n": None, "a": "a"},
        ["a"],
    ),
}  # fmt: skip


def taken(kind: str, axes: int) -> Heads:
    net = Heads(KINDS[kind][0], axes)
    with_trial_weights(net, 1, (8,) * axes)
    return net


def head(net: Heads, index: int) -> nn.Module:
    return nn.Sequential(net.body, (net.first, net.second)[index])


@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize("kind", list(KINDS))
def test_every_place_gives_its_scores_in_every_mode(kind: str, axes: int) -> None:
    net, image = taken(kind, axes), noise((1, 1, *(17, 14)[:axes]), 3)[0]
    for place, index in KINDS[kind][1].items():
        expected = oracle.crops(head(net, index), image, (8,) * axes, (2,) * axes)
        for mode in MODES:
            m = ew.scan(net, image, window=8, stride=2, mode=mode, output=place, progress=False)
            assert oracle.relative_difference(m.scores, expected) < 1e-10, (place, mode)


@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize("kind", list(KINDS))
def test_the_converted_network_keeps_all_outputs_as_they_were_nested(kind: str, axes: int, tmp_path: Path) -> None:
    net, images = taken(kind, axes), noise((2, 1, *(17, 14)[:axes]), 3)
    fcn = ew.convolutionalize(net, window=8)
    maps = {name: torch.stack([oracle.crops(head(net, at), x, (8,) * axes, (1,) * axes) for x in images])
            for at, name in enumerate("ab")}  # fmt: skip
    for made in (fcn, copy.deepcopy(fcn)):
        require_nested(made(images), KINDS[kind][2], maps)
    ew.Classifier(net, 8).save(tmp_path / "b")
    require_nested(ew.convolutionalize(ew.load(tmp_path / "b"))(images), KINDS[kind][2], maps)


def require_nested(outputs: Any, structure: Any, maps: dict[str, Tensor]) -> None:
    if isinstance(structure, str):
        torch.testing.assert_close(outputs, maps[structure])
    elif isinstance(structure, dict):
        assert isinstance(outputs, dict)
        assert list(outputs) == list(structure)
        for key, inside in structure.items():
            require_nested(outputs[key], inside, maps)
    elif structure is None:
        assert outputs is None
    else:
        assert isinstance(outputs, type(structure))
        assert len(outputs) == len(structure)
        for output, inside in zip(outputs, structure, strict=True):
            require_nested(output, inside, maps)


@pytest.mark.parametrize("kind", ["tuple", "nested", "dataclass", "text and numbers"])
def test_exported_programs_have_all_outputs(kind: str, tmp_path: Path) -> None:
    from everywindow.cli.export import write_pt2

    fcn = ew.convolutionalize(taken(kind, 2).float(), window=8)
    write_pt2(fcn, str(tmp_path / "net.pt2"))
    image = noise((1, 1, 20, 11), 5, torch.float32)
    torch.testing.assert_close(torch.export.load(tmp_path / "net.pt2").module()(image), fcn(image))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the exporter's own
@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize("kind", ["tensor", "nested", "named tuple", "none", "text and numbers"])
def test_onnx_names_all_outputs(kind: str, axes: int, tmp_path: Path) -> None:
    runtime: Any = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from everywindow.cli.export import write_onnx

    write_onnx(ew.convolutionalize(taken(kind, axes).float(), window=8), str(tmp_path / "net.onnx"))
    session = runtime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    assert [output.name for output in session.get_outputs()] == KINDS[kind][3]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("place", ["q", 7, "aux.2", ("aux", "x"), "out.0"])
def test_what_is_not_there_is_answered_with_what_is(place: Any, mode: str) -> None:
    with pytest.raises(InputError, match=r"is none of out, aux\.0, aux\.1\.deep; give one of them"):
        ew.scan(taken("nested", 2), noise((1, 1, 12, 12), 1)[0], window=8, mode=mode, output=place, progress=False)
    with pytest.raises(InputError, match=r"one output, not 'q'"):
        ew.scan(taken("tensor", 2), noise((1, 1, 12, 12), 1)[0], window=8, mode=mode, output="q", progress=False)


def test_a_network_without_scores_is_refused() -> None:
    with pytest.raises(InputError, match="puts out no tensor"):
        ew.scan(Heads(lambda a, b: {"n": 3}), torch.rand(1, 12, 12), window=8, progress=False)


class Features(nn.Module):
    """Scores, and beside them the padded map that they were made of."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.pad = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(4 * 36, 3)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = self.conv(x).relu()
        return {"logits": self.head(features.flatten(1)), "map": self.pad(features)}


def test_other_outputs_stand_in_nobodys_way() -> None:
    """The map is no score of a window, and pads; of the logits all is shared and proved."""
    net, image = with_trial_weights(Features(), 1, (8, 8)), noise((1, 1, 20, 17), 2)[0]
    expected = oracle.crops(net, image, (8, 8), (1, 1), lambda outputs: outputs["logits"])
    for mode in MODES:
        m = ew.scan(net, image, window=8, stride=1, mode=mode, progress=False)
        assert m.verdict.exact
        assert oracle.relative_difference(m.scores, expected) < 1e-10
        with pytest.raises(ew.EverywindowError, match=r"positions for one window|not one vector"):
            ew.scan(net, image, window=8, mode=mode, output="map", progress=False)


# What the scores mean


HEADS: dict[str, tuple[Callable[[Tensor], Tensor], int, str]] = {
    "logits": (lambda z: z, 3, "softmax"),
    "log softmax": (lambda z: z.log_softmax(1), 3, "softmax"),
    "softmax": (lambda z: z.softmax(1), 3, "none"),
    "sigmoids": (torch.sigmoid, 3, "none"),
    "hard sigmoids": (F.hardsigmoid, 3, "none"),
    "probabilities of half precision": (lambda z: z.sigmoid().float(), 3, "none"),
    "one class of a softmax": (lambda z: z.softmax(1)[:, 1], 3, "none"),
    "some classes of a softmax": (lambda z: z.softmax(1)[:, 1:], 3, "none"),
    "one class of a log softmax": (lambda z: z.log_softmax(1)[:, 1].exp(), 3, "none"),
    "both classes of a sigmoid": (lambda z: torch.cat([1 - z.sigmoid(), z.sigmoid()], 1), 1, "none"),
    "the other class of a sigmoid": (lambda z: 1 - z.sigmoid(), 1, "none"),
    "a clamped sigmoid": (lambda z: z.sigmoid().clamp(1e-6, 1 - 1e-6), 1, "none"),
    "logarithms of sigmoids": (F.logsigmoid, 3, "none"),
    "one logit": (lambda z: z, 1, "sigmoid"),
    "one logit, squeezed": (lambda z: z.squeeze(1), 1, "sigmoid"),
    "one logit, all squeezed": (lambda z: z.squeeze(), 1, "sigmoid"),
    "one logit, flattened": (lambda z: z.flatten(), 1, "sigmoid"),
    "one logit, picked": (lambda z: z[:, 0], 1, "sigmoid"),
    "one probability, squeezed": (lambda z: z.sigmoid().squeeze(1), 1, "none"),
    "of one position": (lambda z: z[:, :, None, None], 3, "softmax"),
}


@pytest.mark.parametrize("name", list(HEADS))
def test_what_the_scores_mean_is_seen_in_every_mode(name: str) -> None:
    give, classes, activation = HEADS[name]
    net = with_trial_weights(Heads(lambda a, b: give(a), classes=(classes, 1)), 1, (8, 8))
    image = noise((1, 1, 17, 20), 2)[0]
    expected = oracle.crops(net, image, (8, 8), (3, 3)).double()
    for mode in MODES:
        m = ew.scan(net, image, window=8, stride=3, mode=mode, progress=False)
        assert m.activation == activation, mode
        assert oracle.relative_difference(m.scores.double(), expected) < 1e-4
        require_right_report(m)


def require_right_report(m: ew.ScoreMap) -> None:
    """Everything that is made of a map follows from its probabilities."""
    chances = {"softmax": m.scores.softmax(0), "sigmoid": m.scores.sigmoid(), "none": m.scores}[m.activation]
    torch.testing.assert_close(m.probabilities(), chances)
    klass = m.shown_class()
    peak, best = m.strongest(), float(chances[klass].max())
    assert peak.probability == pytest.approx(best)
    torch.testing.assert_close(m.image_scores(), chances.flatten(1).mean(1))
    threshold = best - 1e-6
    assert m.boxes(threshold=threshold)[0].probability == pytest.approx(best)
    assert m.peaks(threshold=threshold)[0].centre == peak.centre
    assert len(m.boxes(threshold=best + 1e-6)) == 0
    label = m.plot().axes[1].get_ylabel()
    assert label == ("score" if m.activation == "none" else "probability")


def test_several_labels_are_scored_apart() -> None:
    net = with_trial_weights(Heads(lambda a, b: a), 1, (8, 8))
    clf = ew.Classifier(net, 8, activation="sigmoid", classes=["tree", "house", "road"])
    m = ew.scan(clf, noise((1, 1, 17, 20), 2)[0], progress=False)
    torch.testing.assert_close(m.probabilities(), m.scores.sigmoid())
    require_right_report(m)


@pytest.mark.parametrize("activation", ["sigmoid", "none"])
def test_agreement_of_a_single_score_is_on_the_side_of_a_half(activation: str) -> None:
    """A padded network in one pass: some windows change sides."""
    layers = [nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.Conv2d(6, 6, 5, padding=2), nn.ReLU()]
    ends = [nn.Sigmoid()] if activation == "none" else []
    net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(6 * 64, 1), *ends)
    with_trial_weights(net, 1, (8, 8))
    image = noise((1, 1, 30, 30), 2)[0]
    maps = [ew.scan(net, image, window=8, stride=1, mode=mode, progress=False) for mode in ("crops", "fcn")]
    sides = [m.probabilities() >= 0.5 for m in maps]
    expected = float((sides[0] == sides[1]).double().mean())
    assert expected < 1
    found = ew.compare(net, image, window=8, stride=1, modes=("fcn",), progress=False).run("fcn").agreement
    assert found == pytest.approx(expected)
