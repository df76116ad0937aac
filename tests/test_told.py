"""What a classifier knows goes on with its network, what it does not know is said, and a converted network is read."""

from __future__ import annotations

import copy
import json
import pickle
import re
import warnings
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from torch import Tensor, nn

import everywindow as ew
from everywindow.cli.entry import cli
from everywindow.errors import DependencyError, EverywindowError, InputError, ModelError, TrustError
from everywindow.io import read_image

NAMES = ["no", "yes", "perhaps"]
SAID: dict[str, Any] = {"mean": [0.25, 0.5], "std": [0.5, 0.125], "classes": NAMES, "activation": "sigmoid"}


def network(channels: int = 2) -> nn.Module:
    layers = [nn.Conv2d(channels, 4, 3, stride=2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(4 * 9, 5), nn.ReLU(), nn.Dropout(), nn.Linear(5, 3)).eval()


def classifier(**changes: Any) -> ew.Classifier:
    return ew.Classifier(network(), window=14, **(SAID | changes))


def known(thing: Any) -> tuple[Any, ...]:
    return thing.mean, thing.std, thing.classes, thing.activation


# The converted network keeps it


def test_the_converted_network_keeps_what_its_classifier_knew() -> None:
    clf = classifier()
    fcn = ew.convolutionalize(clf)
    assert known(fcn) == known(clf) == ((0.25, 0.5), (0.5, 0.125), tuple(NAMES), "sigmoid")
    assert known(copy.deepcopy(fcn)) == known(pickle.loads(pickle.dumps(fcn))) == known(clf)
    assert known(ew.Classifier(fcn)) == known(clf)
    assert known(ew.convolutionalize(fcn)) == known(clf)
    assert known(ew.convolutionalize(clf.module, window=14)) == (None,) * 4


def test_a_converted_network_takes_images_as_its_classifier_does() -> None:
    clf = classifier()
    image = np.random.default_rng(0).integers(0, 256, (20, 24, 2), np.uint8)
    expected, found = ew.scan(clf, image), ew.scan(ew.convolutionalize(clf), image, mode="fcn")
    assert torch.allclose(found.scores, expected.scores, atol=1e-5)
    assert found.classes == tuple(NAMES)
    assert torch.allclose(found.probabilities(), expected.probabilities(), atol=1e-5)


class WithOwnMean(nn.Module):
    """Its own normalisation, in buffers of the names that a converted network has for the classifier's."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.rand(1, 2, 1, 1))
        self.register_buffer("std", torch.rand(1, 2, 1, 1) + 0.5)
        self.rest = network()

    def forward(self, x: Tensor) -> Tensor:
        return self.rest((x - self.mean) / self.std)


def test_a_networks_own_weights_go_before() -> None:
    net, images = WithOwnMean().eval(), torch.rand(2, 2, 14, 14)
    fcn = ew.convolutionalize(ew.Classifier(net, window=14, **SAID)).eval()
    assert torch.equal(fcn.mean, net.mean)
    assert fcn.known.mean == (0.25, 0.5)
    with torch.no_grad():
        assert torch.allclose(fcn(images)[..., 0, 0], net(images), atol=1e-5)


@pytest.mark.parametrize("name", ["known", "maps", "graph", "code", "channels", "classes", "_root"])
def test_layers_may_be_called_as_attributes_of_the_converted_network(name: str) -> None:
    net = nn.Sequential()
    net.add_module(name, nn.Conv2d(2, 4, 5))
    net.add_module("rest", nn.Flatten())
    images = torch.rand(2, 2, 5, 5)
    clf = ew.Classifier(net, window=5, mean=0, std=1)
    fcn = ew.convolutionalize(clf)
    assert fcn.known.mean == (0.0, 0.0)
    assert f"({name}): Conv2d(2, 4, kernel_size=(5, 5))" in repr(fcn)
    for each in (fcn, copy.deepcopy(fcn), pickle.loads(pickle.dumps(fcn))):
        assert torch.allclose(each(images)[..., 0, 0], net(images), atol=1e-6)
    assert ew.scan(fcn, images[0], mode="fcn").scores.shape == (4, 1, 1)


def test_other_names_are_no_attributes() -> None:
    with pytest.raises(AttributeError, match="meen"):
        ew.convolutionalize(classifier()).meen  # noqa: B018


# It prints as layers


LENET = """\
FullyConvolutional(
  window=32×32, stride=4×4, equals the crops at every window
  (0): Conv2d(3, 6, kernel_size=(5, 5))
  (1): ReLU()
  (2): MaxPool2d(kernel_size=(2, 2), stride=(2, 2))
  (3): Conv2d(6, 16, kernel_size=(5, 5))
  (4): ReLU()
  (5): MaxPool2d(kernel_size=(2, 2), stride=(2, 2))
  (7): Conv2d(16, 120, kernel_size=(5, 5))
  (8): ReLU()
  (9): Conv2d(120, 10, kernel_size=(1, 1))
)"""


def test_lenet_reads_as_convolutions() -> None:
    stages = [nn.Conv2d(3, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)]
    net = nn.Sequential(*stages, nn.Flatten(), nn.Linear(16 * 5 * 5, 120), nn.ReLU(), nn.Linear(120, 10))
    fcn = ew.convolutionalize(net, window=32)
    assert repr(fcn) == LENET
    assert repr(pickle.loads(pickle.dumps(fcn))) == LENET
    assert "(7): Conv2d(16, 120, kernel_size=(5, 5), dilation=(2, 2))" in repr(ew.convolutionalize(net, 32, stride=2))


class Mixed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 3, padding=1, groups=2)
        self.normed = nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 4, 1))
        self.norm, self.drop = nn.BatchNorm2d(4), nn.Dropout(0.25)
        self.up, self.head = nn.ConvTranspose2d(4, 6, 2, stride=2), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = nn.functional.avg_pool2d(nn.functional.gelu(self.normed(x) + x), 3, 2, ceil_mode=True)
        return self.head(self.drop(self.up(self.norm(x)).amax((2, 3))))


def test_layers_of_all_kinds_have_a_line_each() -> None:
    lines = repr(ew.convolutionalize(Mixed().eval(), window=14)).splitlines()
    assert "differs from the crops" in lines[1]
    for line in (
        "(stem): Conv2d(2, 4, kernel_size=(3, 3), padding=(1, 1), groups=2)",
        "(normed): Conv2d(4, 4, kernel_size=(1, 1))",
        "(norm): BatchNorm2d(4, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)",
        "(up): ConvTranspose2d(4, 6, kernel_size=(2, 2), stride=(2, 2))",
        "(drop): Dropout(p=0.25, inplace=False)",
        "(head): Conv2d(6, 3, kernel_size=(1, 1))",
    ):
        assert f"  {line}" in lines
    assert sum("MaxPool2d(kernel_size=(14, 14)" in line for line in lines) == 1
    assert not any("object at" in line or "function" in line for line in lines)


def test_what_is_known_is_shown_briefly() -> None:
    shown = repr(ew.convolutionalize(classifier()))
    assert "mean=(0.25, 0.5), std=(0.5, 0.125), classes=('no', 'yes', 'perhaps'), activation='sigmoid'" in shown
    many = nn.Sequential(nn.Conv2d(1, 9, 3), nn.Flatten())
    named = ew.Classifier(many, window=3, classes=[f"kind {k}" for k in range(9)])
    assert "classes=<9>" in repr(ew.convolutionalize(named))


# The normalisation that nobody told


PIXELS = np.random.default_rng(0).integers(0, 256, (20, 24), np.uint8)


@pytest.fixture
def photo(tmp_path: Path) -> str:
    Image.fromarray(PIXELS).save(tmp_path / "photo.png")
    return str(tmp_path / "photo.png")


def gray(**said: Any) -> ew.Classifier:
    return ew.Classifier(network(1), window=14, **said)


def told(record: Any) -> list[str]:
    return [str(each.message) for each in record]


@pytest.mark.parametrize("kind", ["path", "Path", "uint8", "uint16", "Pillow"])
def test_integers_without_a_known_normalisation_warn_once(photo: str, kind: str) -> None:
    image: Any = {
        "path": photo,
        "Path": Path(photo),
        "uint8": PIXELS,
        "uint16": PIXELS.astype(np.uint16) * 257,
        "Pillow": Image.fromarray(PIXELS),
    }[kind]
    clf = gray()
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        for _ in range(2):
            ew.scan(clf, image)
        ew.scan(clf.module, image, window=14)
        ew.compare(clf, image)
        ew.pyramid(clf, image, scales=(1, 0.8))
    (message,) = told(record)
    assert "\n" not in message
    assert "mean=" in message
    assert "std=" in message
    assert record[0].category is UserWarning
    assert record[0].filename == __file__


def test_one_line_for_each_way_to_scan(photo: str) -> None:
    for way, options in ((ew.pyramid, {"scales": (1, 0.8)}), (ew.compare, {}), (ew.scan, {"scale": 0.8})):
        with pytest.warns(UserWarning, match="mean and std are not known") as record:
            way(gray(), photo, **options)
        assert len(record) == 1


def test_tensors_floats_and_what_was_said_do_not_warn(photo: str, tmp_path: Path) -> None:
    clf = gray()
    ew.scan(clf, torch.randn(1, 20, 24))
    ew.scan(clf, PIXELS / 255)
    assert not read_image(PIXELS / 255, channels=1).counted
    for said in ({"mean": 0, "std": 1}, {"mean": [0.5], "std": [0.25]}):
        clf = gray(**said)
        ew.scan(clf, photo)
        clf.save(tmp_path / "bundle")
        ew.scan(ew.load(tmp_path / "bundle"), photo)
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        gray().save(tmp_path / "bundle")
        ew.scan(ew.load(tmp_path / "bundle"), photo)
    assert len(record) == 1


def test_no_normalisation_gives_the_scores_of_an_unknown_one(photo: str) -> None:
    clf = gray()
    with pytest.warns(UserWarning, match="not known"):
        unknown = ew.scan(clf, photo).scores
    assert torch.equal(ew.scan(ew.Classifier(clf.module, window=14, mean=0, std=1), photo).scores, unknown)


def test_one_number_is_for_all_channels() -> None:
    clf = classifier(mean=0.25, std=2)
    assert (clf.mean, clf.std) == ((0.25, 0.25), (2.0, 2.0))
    with pytest.raises(InputError, match="1 numbers for 2 channels"):
        classifier(mean=[0.25])


def test_an_error_is_not_preceded_by_a_warning(photo: str) -> None:
    for wrong in ({"stride": 0}, {"scale": 0.1}, {"window": 30}):
        with pytest.raises(EverywindowError):
            ew.scan(gray(), photo, **wrong)


def test_wsinfers_steps_without_a_normalisation_say_that_there_is_none() -> None:
    from everywindow.models.config import parse

    config = {
        "patch_size_pixels": 14,
        "architecture": "resnet18",
        "num_classes": 2,
        "transform": [{"name": "ToTensor"}],
    }
    assert (parse(config, Path("c.json")).mean, parse(config, Path("c.json")).std) == ([0.0] * 3, [1.0] * 3)
    del config["transform"]
    assert parse(config, Path("c.json")).mean is None


# Names are those of the first output


class WithAux(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(2, 4, 14), nn.Flatten())
        self.main, self.aux = nn.Linear(4, 3), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Any:
        x = self.body(x)
        return {"main": self.main(x), "aux": (self.aux(x), -self.main(x))}


@pytest.mark.parametrize("mode", ["crops", "fcn", "exact"])
def test_another_output_of_other_classes_has_no_names(mode: str) -> None:
    clf = ew.Classifier(WithAux().eval(), window=14, **SAID)
    image = torch.randn(2, 15, 16)
    for output in ("aux", "aux.0", ("aux", 0), 1):
        m = ew.scan(clf, image, mode=mode, output=output)
        assert (len(m.scores), m.classes) == (2, None)
    for first in (None, "main", 0):
        assert ew.scan(clf, image, mode=mode, output=first).classes == tuple(NAMES)
    assert ew.scan(clf, image, mode=mode, output="aux.1").classes == tuple(NAMES)


@pytest.mark.parametrize("output", [None, "main", 0])
def test_a_first_output_of_other_classes_is_an_error(output: Any) -> None:
    clf = ew.Classifier(WithAux().eval(), window=14, classes=["a", "b"])
    with pytest.raises(InputError, match="2 names for 3 scores"):
        ew.scan(clf, torch.randn(2, 15, 16), output=output)


class Untraceable(WithAux):
    def forward(self, x: Tensor) -> Any:
        return super().forward(x * float(x.abs().max() < 1e9))


def test_names_where_the_network_cannot_be_captured() -> None:
    clf = ew.Classifier(Untraceable().eval(), window=14, **SAID)
    image = torch.randn(2, 15, 16)
    assert ew.scan(clf, image).classes == tuple(NAMES)
    assert ew.scan(clf, image, output="aux").classes is None
    with pytest.raises(InputError, match="2 names for 3 scores"):
        ew.scan(ew.Classifier(clf.module, window=14, classes=["a", "b"]), image)


# Files say it too


def run(*args: Any) -> Any:
    return CliRunner().invoke(cli, [str(arg) for arg in args], catch_exceptions=False, standalone_mode=False)


def converted(tmp_path: Path, name: str, **changes: Any) -> Path:
    classifier(**changes).save(tmp_path / "bundle")
    run("convert", "--model", tmp_path / "bundle", "--out", tmp_path / name)
    return tmp_path / name


FACTS: dict[str, Any] = {
    "everywindow": ew.__version__,
    "image": ["batch", 2, "height", "width"],
    "outputs": {"scores": ["batch", 3, "rows", "cols"]},
    "window": [14, 14],
    "stride": [4, 4],
    "mean": [0.25, 0.5],
    "std": [0.5, 0.125],
    "classes": NAMES,
    "activation": "sigmoid",
    "exact": True,
    "reasons": [],
}


def test_a_pt2_file_says_what_the_classifier_knew(tmp_path: Path) -> None:
    file = converted(tmp_path, "net.pt2")
    texts = {"everywindow.json": ""}
    torch.export.load(file, extra_files=texts)
    assert json.loads(texts["everywindow.json"]) == FACTS
    assert json.loads(run("info", file, "--json").stdout) == {"kind": "network", **FACTS}
    shown = run("info", file).stdout
    assert "outputs:      scores [batch, 3, rows, cols]" in shown
    assert "equals crops: yes" in shown


def test_the_activation_is_that_of_a_scan(tmp_path: Path) -> None:
    file = converted(tmp_path, "net.pt2", activation=None, mean=None, std=None)
    facts = json.loads(run("info", file, "--json").stdout)
    assert (facts["activation"], facts["mean"], facts["std"]) == ("softmax", None, None)


def test_info_of_a_pt2_file_runs_nothing_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "load", None)
    monkeypatch.setattr(torch.export, "load", None)
    with zipfile.ZipFile(tmp_path / "net.pt2", "w") as archive:
        archive.writestr("net/data/sample_inputs/model.pt", b"cos\nsystem\n(S'touch ran'\ntR.")
        archive.writestr("net/extra/everywindow.json", json.dumps(FACTS))
    monkeypatch.chdir(tmp_path)
    assert "scores [batch" in run("info", "net.pt2").stdout
    assert not (tmp_path / "ran").exists()


def test_other_pt2_files_still_need_trust(tmp_path: Path) -> None:
    torch.export.save(torch.export.export(network(), (torch.zeros(1, 2, 14, 14),)), tmp_path / "other.pt2")
    with pytest.raises(TrustError):
        run("info", tmp_path / "other.pt2")
    assert "channels" in run("info", tmp_path / "other.pt2", "--trust").stdout


@pytest.mark.parametrize("text", ["", "[]", "{}", "{", '{"window": 3}'])
def test_damaged_facts_are_named(tmp_path: Path, text: str) -> None:
    with zipfile.ZipFile(tmp_path / "bad.pt2", "w") as archive:
        archive.writestr("bad/extra/everywindow.json", text)
    with pytest.raises(ModelError, match="damaged"):
        run("info", tmp_path / "bad.pt2")


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    with pytest.raises(ModelError, match="not an intact ONNX file"):
        run("info", tmp_path / "bad.onnx")
    with pytest.raises(InputError, match="no such file"):
        run("info", tmp_path / "absent.onnx")


def test_onnx_without_its_library_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from everywindow.cli import metadata

    monkeypatch.setattr(metadata, "find_spec", lambda name: None)
    (tmp_path / "net.onnx").touch()
    with pytest.raises(DependencyError, match="pip install onnx"):
        run("info", tmp_path / "net.onnx")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the exporter's own
def test_an_onnx_file_says_it_and_names_its_axes(tmp_path: Path) -> None:
    runtime: Any = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    import onnx

    file = converted(tmp_path, "net.onnx")
    session = runtime.InferenceSession(file, providers=["CPUExecutionProvider"])
    assert [list(value.shape) for value in session.get_inputs()] == [FACTS["image"]]
    assert [list(value.shape) for value in session.get_outputs()] == [FACTS["outputs"]["scores"]]
    texts = session.get_modelmeta().custom_metadata_map
    assert {name: json.loads(texts[name]) for name in FACTS} == FACTS
    assert json.loads(run("info", file, "--json").stdout) == {"kind": "network", **FACTS}
    assert "image:        [batch, 2, height, width]" in run("info", file).stdout
    onnx.checker.check_model(onnx.load(file), full_check=True)
    other = onnx.load(file)
    del other.metadata_props[:]
    onnx.save(other, tmp_path / "other.onnx")
    with pytest.raises(ModelError, match="another program"):
        run("info", tmp_path / "other.onnx")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the exporter's own
@pytest.mark.parametrize(("make", "window"), [(WithAux, 14), (lambda: nn.Conv1d(2, 4, 9, 2), 9)])
def test_all_axes_of_an_onnx_file_are_as_it_says(tmp_path: Path, make: Any, window: int) -> None:
    runtime: Any = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from everywindow.cli.export import described, write_onnx

    fcn = ew.convolutionalize(make().eval(), window=window)
    write_onnx(fcn, str(tmp_path / "net.onnx"))
    session = runtime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    facts = described(fcn)
    assert {value.name: value.shape for value in session.get_inputs()} == {"image": facts["image"]}
    assert {value.name: value.shape for value in session.get_outputs()} == facts["outputs"]


def test_axes_of_recordings_and_of_several_outputs() -> None:
    from everywindow.cli.export import described

    line = nn.Sequential(nn.Conv1d(2, 4, 5), nn.Flatten())
    volume = nn.Sequential(nn.Conv3d(1, 4, 5), nn.Flatten())
    assert described(ew.convolutionalize(line, window=5))["image"] == ["batch", 2, "length"]
    assert described(ew.convolutionalize(line, window=5))["outputs"] == {"scores": ["batch", 4, "windows"]}
    assert described(ew.convolutionalize(volume, window=5))["outputs"]["scores"][2:] == ["planes", "rows", "cols"]
    several = described(ew.convolutionalize(ew.Classifier(WithAux().eval(), window=14, **SAID)))
    assert several["outputs"] == {
        "main": ["batch", 3, "rows", "cols"],
        "aux.0": ["batch", 2, "rows", "cols"],
        "aux.1": ["batch", 3, "rows", "cols"],
    }


def test_names_that_a_library_repeats_get_their_index(tmp_path: Path) -> None:
    class BirdForImageClassification(nn.Sequential):
        config = SimpleNamespace(id2label={0: "crane", 1: "dog", 2: "crane"}, image_size=14, num_channels=2)

    names = ("crane (0)", "dog", "crane (2)")
    clf = ew.Classifier(BirdForImageClassification(*network()))
    assert clf.classes == ew.scan(clf, torch.rand(2, 20, 20), window=14).classes == names
    clf.save(tmp_path / "bird")
    assert ew.load(str(tmp_path / "bird")).classes == names
    config = tmp_path / "bird" / "config.json"  # as a version that did not look wrote it
    config.write_text(re.sub(r" \(\d\)", "", config.read_text()))
    assert ew.load(str(tmp_path / "bird")).classes == names
