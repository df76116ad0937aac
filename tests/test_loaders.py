"""Models by name: libraries, WSInfer's zoo, exported programs, functions."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from everywindow.errors import DependencyError, ModelError, TrustError
from everywindow.graph import GraphNetwork
from everywindow.models import Classifier, load
from everywindow.models import zoo as zoo_module
from handmade import Lenet

torchvision = pytest.importorskip("torchvision", reason="torchvision is not installed")
timm = pytest.importorskip("timm", reason="timm is not installed")

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
RANDOM = pytest.mark.filterwarnings("ignore:.*no weights given:UserWarning")


def stored(module: nn.Module, file: Path) -> Path:
    save_file({name: tensor.clone() for name, tensor in module.state_dict().items()}, file)
    return file


# Libraries


def test_random_weights_are_warned_of() -> None:
    with pytest.warns(UserWarning, match="torchvision:squeezenet1_0: no weights given, they are random") as caught:
        found = load("torchvision:squeezenet1_0")
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert (found.window, found.channels, found.classes) == ((224, 224), 3, None)
    assert (found.mean, found.std) == IMAGENET
    assert found.architecture == "torchvision:squeezenet1_0"
    assert not found.module.training


@RANDOM
@pytest.mark.parametrize(
    ("name", "size", "normalisation"),
    [("inception_v3", 299, HALF), ("efficientnet_v2_s", 384, IMAGENET), ("vit_h_14", 224, IMAGENET)],
)
def test_torchvisions_windows(name: str, size: int, normalisation: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    models = torchvision.models
    if name == "vit_h_14":  # the real one has 630 million weights
        small = models.vision_transformer.VisionTransformer(224, 32, 1, 1, 8, 8)
        monkeypatch.setattr(models, "get_model", lambda *_args, **_options: small)
    found = load(f"torchvision:{name}")
    assert found.window == (size, size)
    assert (found.mean, found.std) == normalisation


@pytest.mark.parametrize("name", ["googlenet", "squeezenet1_1"])
def test_torchvision_with_weights(tmp_path: Path, name: str) -> None:
    options = {"init_weights": False, "aux_logits": False} if name == "googlenet" else {}
    module = torchvision.models.get_model(name, **options).eval()
    found = load(f"torchvision:{name}", weights=stored(module, tmp_path / "w.safetensors"))
    image = torch.randn(1, 3, 224, 224)
    torch.testing.assert_close(found.module(image), module(image), rtol=0, atol=0)
    assert found.classes is not None
    assert found.classes[:2] == ("tench", "goldfish")


def test_minus_one_to_one_is_what_torchvision_makes_of_its_normalisation() -> None:
    published = torchvision.models.googlenet(init_weights=False, aux_logits=False, transform_input=True)
    pixels = torch.rand(1, 3, 4, 4)
    mean, std = (torch.tensor(values).reshape(3, 1, 1) for values in IMAGENET)
    torch.testing.assert_close(published._transform_input((pixels - mean) / std), (pixels - 0.5) / 0.5)


def test_the_number_of_classes_is_seen_from_the_weights(tmp_path: Path) -> None:
    module = torchvision.models.resnet18(num_classes=7).eval()
    found = load("torchvision:resnet18", weights=stored(module, tmp_path / "w.safetensors"))
    assert found.module(torch.zeros(1, 3, 64, 64)).shape == (1, 7)
    assert found.classes is None


@RANDOM
def test_timm_says_window_and_normalisation() -> None:
    found = load("timm:inception_v3")
    assert (found.window, found.channels) == ((299, 299), 3)
    assert (found.mean, found.std) == (timm.get_pretrained_cfg("inception_v3").mean, HALF[1])
    assert load("timm:test_resnet.r160_in1k").window == (160, 160)


def test_timm_with_weights(tmp_path: Path) -> None:
    module = timm.create_model("test_resnet", num_classes=5).eval()
    found = load("timm:test_resnet", weights=stored(module, tmp_path / "w.safetensors"))
    image = torch.randn(1, 3, 160, 160)
    torch.testing.assert_close(found.module(image), module(image), rtol=0, atol=0)


@RANDOM
def test_another_window_can_be_asked_for() -> None:
    assert load("timm:test_resnet", window=96).window == (96, 96)


def test_wrong_weights_name_the_tensors(tmp_path: Path) -> None:
    file = stored(torchvision.models.squeezenet1_1(), tmp_path / "w.safetensors")
    with pytest.raises(ModelError, match=r"tensors do not fit.*features\.0\.weight has shape") as caught:
        load("torchvision:squeezenet1_0", weights=file)
    assert "and " in str(caught.value)
    assert len(str(caught.value)) < 600


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"gone\.safetensors: no such weights file"):
        load("torchvision:resnet18", weights=tmp_path / "gone.safetensors")


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("torchvision:vgg61", "torchvision:vgg16"),
        ("torchvision:mobile", "did you mean torchvision:mobilenet_v"),
        (
            "torchvision:qqqq",
            r"no such network; torchvision\.models\.list_models\(\) gives their names, such as alexnet",
        ),
        ("timm:resnt50", "timm:resnet50"),
        ("resnet18", "torchvision:resnet18"),
        ("torchvison:vgg16", "torchvision:vgg16"),
        ("torchvision:fasterrcnn_resnet50_fpn", "no such network"),
        ("timm:hf-hub:someone/model", "no such network"),
        ("timm:local-dir:/tmp", "no such network"),
        ("timm:", "no such network"),
        ("no_such_thing_at_all", "bundle directory"),
        ("no/such/bundle", "no such file or directory"),
        ("model.pt2", "no such file or directory"),
        ("", "no such model"),
        ("a\0b", "no such model"),
        ("x" * 5000, "no such model"),
    ],
)
def test_unknown_names(name: str, match: str) -> None:
    with pytest.raises(ModelError, match=match):
        load(name)


@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_a_missing_library_is_named(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise ModuleNotFoundError(name, name=name)

    monkeypatch.setattr(zoo_module.importlib, "import_module", absent)
    with pytest.raises(DependencyError, match=rf"{library}: not installed; pip install --no-deps .*{library}, "):
        load(f"{library}:resnet18")
    with pytest.raises(ModelError, match="no such model"):
        load("resnet18")


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("operator torchvision::nms does not exist"),
        ModuleNotFoundError("No module named 'nms'", name="nms"),
    ],
)
def test_a_broken_library_is_not_called_absent(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> Any:
        raise error

    monkeypatch.setattr(zoo_module.importlib, "import_module", broken)
    with pytest.raises(DependencyError, match=r"installed, but cannot be imported .*nms.*; install what it lacks"):
        load("torchvision:resnet18")


# Bundles that name their architecture


@RANDOM
def test_a_known_architecture_is_stored_by_name(tmp_path: Path) -> None:
    before = load("timm:test_resnet")
    before.save(tmp_path / "b")
    assert {p.name for p in (tmp_path / "b").iterdir()} == {"config.json", "model.safetensors"}
    after = load(tmp_path / "b")
    assert after.architecture == "timm:test_resnet"
    image = torch.randn(1, 3, 160, 160)
    torch.testing.assert_close(after.module(image), before.module(image), rtol=0, atol=0)
    config = json.loads((tmp_path / "b" / "config.json").read_text())
    (tmp_path / "b" / "config.json").write_text(json.dumps(config | {"architecture": "timm:test_vit"}))
    with pytest.raises(ModelError, match="do not fit"):
        load(tmp_path / "b")


def test_a_changed_architecture_is_stored_as_a_graph(tmp_path: Path) -> None:
    module = timm.create_model("test_resnet", num_classes=4).eval()
    for block in module.modules():
        if hasattr(block, "act2"):
            block.act2 = nn.GELU()
    Classifier(module, 160, architecture="timm:test_resnet").save(tmp_path / "b")
    after = load(tmp_path / "b")
    assert isinstance(after.module, GraphNetwork)
    assert after.architecture is None
    image = torch.randn(2, 3, 160, 160)
    torch.testing.assert_close(after.module(image), module(image))


# WSInfer


def wsinfer(folder: Path, module: nn.Module | None = None, **changes: Any) -> Path:
    config = {
        "spec_version": "1.0",
        "architecture": "test_resnet",
        "num_classes": 2,
        "class_names": ["notumor", "tumor"],
        "patch_size_pixels": 350,
        "spacing_um_px": 0.25,
        "transform": [
            {"name": "Resize", "arguments": {"size": 224}},
            {"name": "ToTensor"},
            {"name": "Normalize", "arguments": {"mean": [0.7, 0.6, 0.5], "std": [0.1, 0.2, 0.3]}},
        ],
    }
    (folder / "config.json").write_text(json.dumps(config | changes))
    stored(module or timm.create_model("test_resnet", num_classes=2), folder / "model.safetensors")
    return folder


def test_wsinfers_models_load(tmp_path: Path) -> None:
    module = timm.create_model("test_resnet", num_classes=2).eval()
    found = load(wsinfer(tmp_path, module))
    assert found.window == (224, 224)
    assert found.spacing_um_px == pytest.approx(0.25 * 350 / 224)
    assert (found.mean, found.std) == ((0.7, 0.6, 0.5), (0.1, 0.2, 0.3))
    assert found.classes == ("notumor", "tumor")
    assert found.architecture == "timm:test_resnet"
    image = torch.randn(1, 3, 224, 224)
    torch.testing.assert_close(found.module(image), module(image), rtol=0, atol=0)


def test_wsinfer_without_resizing(tmp_path: Path) -> None:
    found = load(wsinfer(tmp_path, transform=[{"name": "ToTensor"}]))
    assert (found.window, found.mean, found.spacing_um_px) == ((350, 350), (0.0, 0.0, 0.0), 0.25)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"transform": [{"name": "CenterCrop"}]}, "CenterCrop"),
        ({"transform": {"resize_size": 224}}, "list of steps"),
        ({"transform": [{"name": "Resize", "arguments": [224]}]}, "no table"),
        ({"transform": [{"name": "Resize", "arguments": {"size": "big"}}]}, "not sizes"),
        ({"patch_size_pixels": -1}, "not sizes"),
        ({"class_names": ["a"]}, "1 names for 2 classes"),
        ({"architecture": "no_such_net"}, "no such network"),
        ({"architecture": None}, "neither an architecture"),
        ({"num_classes": 3, "class_names": ["a", "b", "c"]}, r"fc\.weight has shape"),
    ],
)
def test_wsinfer_configs_that_do_not_fit(tmp_path: Path, changes: dict[str, Any], match: str) -> None:
    with pytest.raises(ModelError, match=match):
        load(wsinfer(tmp_path, **changes))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_torchscript_weights_need_trust(tmp_path: Path) -> None:
    module = timm.create_model("test_resnet", num_classes=2).eval()
    wsinfer(tmp_path, module)
    (tmp_path / "model.safetensors").unlink()
    torch.jit.save(torch.jit.trace(module, torch.zeros(1, 3, 64, 64)), str(tmp_path / "torchscript_model.pt"))
    with pytest.raises(TrustError, match=r"torchscript_model\.pt.*trust"):
        load(tmp_path)
    image = torch.randn(1, 3, 224, 224)
    torch.testing.assert_close(load(tmp_path, trust=True).module(image), module(image), rtol=0, atol=0)


# What runs code


@pytest.fixture
def exported(tmp_path: Path) -> tuple[Path, nn.Module]:
    module = Lenet().eval()
    batch = {0: torch.export.Dim.DYNAMIC}
    program = torch.export.export(module, (torch.zeros(2, 1, 12, 12),), dynamic_shapes=(batch,))
    torch.export.save(program, tmp_path / "net.pt2")
    return tmp_path / "net.pt2", module


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_exported_programs_need_trust(exported: tuple[Path, nn.Module]) -> None:
    path, module = exported
    with pytest.raises(TrustError, match=r"net\.pt2.*trust=True"):
        load(path)
    found = load(path, trust=True)
    assert (found.window, found.channels) == ((12, 12), 1)
    image = torch.randn(2, 1, 12, 12)
    torch.testing.assert_close(found.module(image), module(image), rtol=0, atol=0)
    found.save(path.parent / "b")
    back = load(path.parent / "b").module
    torch.testing.assert_close(back(image), module(image), rtol=0, atol=0)
    assert back.state_dict().keys() == module.state_dict().keys()


def test_a_damaged_export_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.pt2").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(ModelError, match=r"torch\.export cannot read it"):
        load(tmp_path / "net.pt2", trust=True)


FUNCTIONS = """
from torch import nn
import everywindow.models

ran = []

def bare():
    ran.append(1)
    return nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), nn.Flatten(), nn.Linear(100, 3))

def whole():
    return everywindow.models.Classifier(bare(), 12, 1, classes=["a", "b", "c"])

def wrong():
    return 3

value = 7
network = bare()
"""


@pytest.fixture
def functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"networks_of_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(FUNCTIONS)
    monkeypatch.chdir(tmp_path)
    return name


def test_functions_need_trust_before_anything_is_imported(functions: str) -> None:
    with pytest.raises(TrustError, match="trust=True"):
        load(f"{functions}:whole")
    assert functions not in sys.modules


def test_functions_return_classifiers_or_modules(functions: str) -> None:
    path = list(sys.path)
    assert load(f"{functions}:whole", trust=True).classes == ("a", "b", "c")
    assert load(f"{functions}:bare", trust=True, window=12).channels == 1
    assert sys.path == path


def test_a_network_in_a_module_is_taken_as_it_is(functions: str) -> None:
    found = load(f"{functions}:network", trust=True, window=12)
    assert found.module is sys.modules[functions].network
    with pytest.raises(ModelError, match=r"gives a bare module.*window="):
        load(f"{functions}:network", trust=True)


def test_functions_with_weights(functions: str, tmp_path: Path) -> None:
    module = load(f"{functions}:bare", trust=True, window=12).module
    file = stored(module, tmp_path / "w.safetensors")
    again = load(f"{functions}:whole", trust=True, weights=file).module
    image = torch.randn(1, 1, 12, 12)
    torch.testing.assert_close(again(image), module(image), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("bare", "does not say its window"),
        ("wrong", "returned a int"),
        ("value", "not a function"),
        ("gone", "cannot be found"),
    ],
)
def test_functions_that_do_not_fit(functions: str, name: str, match: str) -> None:
    with pytest.raises(ModelError, match=match):
        load(f"{functions}:{name}", trust=True)


def test_a_missing_module_is_named() -> None:
    with pytest.raises(ModelError, match="no_such_package"):
        load("no_such_package.networks:make", trust=True)


@pytest.mark.parametrize(
    ("name", "match"), [("w.safetensors", "no network"), ("x.png", "known kind"), ("x.onnx", "known kind")]
)
def test_files_of_other_kinds(tmp_path: Path, name: str, match: str) -> None:
    (tmp_path / name).write_bytes(b"something else")
    with pytest.raises(ModelError, match=match):
        load(tmp_path / name)
    with pytest.raises(ModelError, match="not a bundle"):
        load(tmp_path)
