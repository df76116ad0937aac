"""Bundles: what is saved comes back the same, and what does not fit together is refused."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import everywindow as ew
from everywindow.errors import CaptureError, IndependenceError, InputError, ModelError, TrustError
from everywindow.graph import GraphNetwork
from everywindow.models import Classifier, load
from handmade import Lenet, lenet, odd_arguments


class Tied(nn.Module):
    """Two names for one weight, and one weight that is a part of another."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 6, bias=False)
        self.second = nn.Linear(6, 6, bias=False)
        self.second.weight = self.first.weight
        self.register_buffer("row", self.first.weight.detach()[2])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.relu(self.first(x.flatten(1)))) + self.row


def classifier(module: nn.Module | None = None) -> Classifier:
    return Classifier(
        module or GraphNetwork(lenet()),
        12,
        1,
        mean=[0.25],
        std=[0.5],
        classes=["cat", "dog", "none"],
        activation="softmax",
        spacing_um_px=0.5,
    )


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    classifier().save(tmp_path / "bundle")
    return tmp_path / "bundle"


def edit(file: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    data = json.loads(file.read_text())
    change(data)
    file.write_text(json.dumps(data))


def edit_weights(bundle: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    tensors = load_file(bundle / "model.safetensors")
    change(tensors)
    save_file(tensors, bundle / "model.safetensors")


# There and back


@pytest.mark.parametrize("make", [lambda: GraphNetwork(lenet()), Lenet], ids=["graph", "module"])
def test_a_classifier_comes_back_the_same(tmp_path: Path, make: Callable[[], nn.Module]) -> None:
    before = classifier(make())
    before.save(tmp_path / "b")
    after = load(tmp_path / "b")
    for name in (
        "window",
        "channels",
        "mean",
        "std",
        "classes",
        "activation",
        "architecture",
        "spacing_um_px",
    ):
        assert getattr(after, name) == getattr(before, name), name
    image = torch.randn(4, 1, 12, 12)
    torch.testing.assert_close(after.module(image), before.module(image), rtol=0, atol=0)
    assert after.module.state_dict().keys() == before.module.state_dict().keys()
    assert not after.module.training


def test_a_bundle_is_three_files_of_plain_data(bundle: Path) -> None:
    assert {p.name for p in bundle.iterdir()} == {"config.json", "graph.json", "model.safetensors"}
    assert not any(b"torch" in (bundle / name).read_bytes() for name in ("config.json", "graph.json"))


def test_several_outputs_and_one_axis_come_back(tmp_path: Path) -> None:
    before = Classifier(GraphNetwork(odd_arguments()), 8, 2)
    before.save(tmp_path / "b")
    image = torch.randn(4, 2, 8)
    torch.testing.assert_close(load(tmp_path / "b").module(image), before.module(image), rtol=0, atol=0)


def test_double_precision_is_kept(tmp_path: Path) -> None:
    before = classifier(Lenet().double())
    before.save(tmp_path / "b")
    after = load(tmp_path / "b").module
    image = torch.randn(2, 1, 12, 12, dtype=torch.float64)
    torch.testing.assert_close(after(image), before.module(image), rtol=0, atol=0)


def test_a_bundle_can_be_saved_again(bundle: Path) -> None:
    load(bundle).save(bundle.parent / "again")
    for file in bundle.iterdir():
        assert file.read_bytes() == (bundle.parent / "again" / file.name).read_bytes()


def test_a_loaded_network_trains(bundle: Path) -> None:
    module = load(bundle).module
    module(torch.randn(2, 1, 12, 12)).sum().backward()
    assert all(parameter.grad is not None for parameter in module.parameters())


def test_tied_weights_are_stored_once(tmp_path: Path) -> None:
    before = Classifier(Tied(), (6, 1), 1)
    before.save(tmp_path / "b")
    stored = load_file(tmp_path / "b" / "model.safetensors")
    assert sum(tensor.numel() for tensor in stored.values()) == 36 + 6
    image = torch.randn(2, 1, 6, 1)
    torch.testing.assert_close(load(tmp_path / "b").module(image), before.module(image), rtol=0, atol=0)


def test_one_weight_changed_shows(bundle: Path) -> None:
    image = torch.randn(2, 1, 12, 12)
    before = load(bundle).module(image)
    edit_weights(bundle, lambda tensors: tensors["head.weight"][0, 0].add_(1e-3))
    assert not torch.equal(load(bundle).module(image), before)


def test_other_weights_can_be_given(bundle: Path) -> None:
    other = {name: tensor + 1 for name, tensor in load_file(bundle / "model.safetensors").items()}
    save_file(other, bundle.parent / "other.safetensors")
    loaded = load(bundle, weights=bundle.parent / "other.safetensors")
    assert torch.equal(loaded.module.state_dict()["head.bias"], other["head.bias"])


def test_a_moved_bundle_and_its_config_file_load(bundle: Path) -> None:
    moved = shutil.move(bundle, bundle.parent / "moved")
    assert load(Path(moved) / "config.json").classes == ("cat", "dog", "none")


# Writing


def test_a_bundle_replaces_a_bundle_and_nothing_else(bundle: Path) -> None:
    Classifier(Lenet(), 12, 1).save(bundle)
    assert load(bundle).classes is None
    (bundle / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="not a bundle"):
        classifier().save(bundle)
    assert (bundle / "notes.txt").read_text() == "mine"
    (bundle.parent / "file").touch()
    with pytest.raises(InputError, match="not a bundle"):
        classifier().save(bundle.parent / "file")


def test_an_empty_directory_is_filled(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    classifier().save(tmp_path / "b")
    assert load(tmp_path / "b").channels == 1


def test_what_cannot_be_stored_leaves_nothing(tmp_path: Path) -> None:
    class Undecided(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(CaptureError):
        Classifier(Undecided(), 4).save(tmp_path / "b")
    assert list(tmp_path.iterdir()) == []


def test_what_would_not_load_is_not_written(tmp_path: Path) -> None:
    class AlwaysDropping(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.dropout(x.flatten(1), 0.5)

    with pytest.raises(IndependenceError, match="random numbers"):
        Classifier(AlwaysDropping(), 4).save(tmp_path / "b")
    assert list(tmp_path.iterdir()) == []


# Parts that disagree


CONFIGS: list[tuple[Callable[[dict[str, Any]], Any], str]] = [
    (lambda c: c.update(window=[13, 12]), r"window \[13, 12\], graph.json \[12, 12\]"),
    (lambda c: c.update(window=12), "window"),
    (lambda c: c.pop("window"), "no window"),
    (lambda c: c.update(channels=2, mean=None, std=None), "channels 2, graph.json 1"),
    (lambda c: c.update(classes=["a", "b"]), "number of classes 2, graph.json 3"),
    (lambda c: c.update(classes="abc"), "classes"),
    (lambda c: c.update(mean=[1, 2]), "mean: 2 numbers"),
    (lambda c: c.update(std=[0]), "std: .*not positive"),
    (lambda c: c.update(activation="tanh"), "activation: 'tanh'"),
    (lambda c: c.update(architecture="torchvision:vgg16"), "has both"),
    (lambda c: c.update(architecture=7), "architecture 7"),
    (lambda c: c.update(num_classes="3"), "num_classes '3'"),
    (lambda c: c.update(spacing_um_px=-1), "spacing_um_px -1"),
    (lambda c: c.update(tied={"new": "gone"}), "gone, which is missing"),
    (lambda c: c.update(tied={"new": "head.bias"}), "new is not in the graph"),
    (lambda c: c.update(tied=["new"]), "tied"),
    (lambda c: c.update(version=2), "version is 2"),
    (lambda c: c.update(format="other"), "not the config of a bundle"),
]


@pytest.mark.parametrize(("change", "match"), CONFIGS, ids=range(len(CONFIGS)))
def test_a_config_that_does_not_fit(bundle: Path, change: Callable[[Any], Any], match: str) -> None:
    edit(bundle / "config.json", change)
    with pytest.raises(ModelError, match=match) as caught:
        load(bundle)
    assert "bundle" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_that_do_not_fit_are_named(bundle: Path) -> None:
    def spoil(tensors: dict[str, torch.Tensor]) -> None:
        del tensors["conv.bias"]
        tensors["head.weight"] = torch.zeros(3, 7)
        tensors["extra"] = torch.zeros(1)

    edit_weights(bundle, spoil)
    with pytest.raises(ModelError, match="3 tensors do not fit") as caught:
        load(bundle)
    for text in ("conv.bias is missing", "head.weight has shape [3, 7]", "[3, 100]", "extra"):
        assert text in str(caught.value)


def test_a_graph_with_another_operation_is_refused(bundle: Path) -> None:
    def replace(data: dict[str, Any]) -> None:
        next(node for node in data["nodes"] if node["op"] == "aten.relu.default")["op"] = "aten.save.default"

    edit(bundle / "graph.json", replace)
    with pytest.raises(ModelError, match=r"aten\.save\.default.*not among the operations"):
        load(bundle)


@pytest.mark.parametrize("where", ["state", "layer", "kwargs"])
def test_names_that_would_be_code_are_refused(bundle: Path, tmp_path: Path, where: str) -> None:
    """A name from a file that ends the text it stands in would run as code where the network is written as such."""
    trap = tmp_path / "sprung"
    code = f"open(bytes({list(str(trap).encode())}),'w')"
    name = f'gain", {code} or "'

    def replace(data: dict[str, Any]) -> None:
        if where == "state":
            old = next(iter(data["state"]))
            text = json.dumps(data).replace(json.dumps(old), json.dumps(name))
            data.update(json.loads(text))
            tensors = load_file(bundle / "model.safetensors")
            save_file(
                {name if key == old else key: value for key, value in tensors.items()}, bundle / "model.safetensors"
            )
        elif where == "layer":
            data["nodes"][-1]["layer"] = name
        else:
            data["nodes"][-1].setdefault("kwargs", {})[f"a={code}, b"] = 1

    edit(bundle / "graph.json", replace)
    with pytest.raises(ModelError, match=r"named|is no name|name is none"):
        load(bundle)
    assert not trap.exists()


def test_a_live_network_with_such_names_is_scanned_without_writing_code(tmp_path: Path) -> None:
    import everywindow as ew

    trap = tmp_path / "sprung"
    name = f"a', open(bytes({list(str(trap).encode())}),'w'), '"
    net = nn.Sequential()
    net.add_module(name, nn.Conv2d(1, 2, 3))
    net.add_module("flat", nn.Flatten())
    net.eval()
    image = torch.randn(1, 9, 9)
    m = ew.scan(net, image, window=3, progress=False)
    assert torch.allclose(m.scores, net[0](image).detach(), atol=1e-5)
    assert not trap.exists()
    with pytest.raises(ew.ConversionError, match="cannot be written as code"):
        ew.convolutionalize(net, window=3)


@pytest.mark.parametrize("name", ["config.json", "graph.json"])
@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "[]", "3", '{"a": 1}', "\x00", '{"format": "x"}'])
def test_damaged_json_is_refused(bundle: Path, name: str, text: str) -> None:
    (bundle / name).write_text(text)
    with pytest.raises(ModelError) as caught:
        load(bundle)
    assert len(str(caught.value)) < 400


def header(length: int, text: bytes = b"{}") -> bytes:
    return struct.pack("<Q", length) + text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"short",
        header(2**60),
        header(2),
        header(3, b"{}"),
        header(2, b"no"),
        header(50, b'{"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'),
        header(54, b'{"w":{"dtype":"F32","shape":[9],"data_offsets":[0,99]}}'),
    ],
)
def test_corrupt_weights_are_refused(bundle: Path, content: bytes) -> None:
    (bundle / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match=r"safetensors|missing"):
        load(bundle)


def test_cut_weights_are_refused(bundle: Path) -> None:
    whole = (bundle / "model.safetensors").read_bytes()
    (bundle / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match=r"model\.safetensors: not an intact"):
        load(bundle)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "graph.json"])
def test_a_missing_file_is_named(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    with pytest.raises(ModelError, match=name.replace(".", r"\.")):
        load(bundle)


# Pickles


class Bomb:
    """Whoever reads its pickle, notices."""

    went_off = False

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return (setattr, (Bomb, "went_off", True))


@pytest.fixture(autouse=True)
def _no_bomb() -> Any:
    Bomb.went_off = False
    yield
    assert not Bomb.went_off


def torch_pickle(path: Path) -> None:
    torch.save({"w": torch.zeros(1), "bomb": Bomb()}, path)


def raw_pickle(protocol: int) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(pickle.dumps(Bomb(), protocol=protocol)) and None


def empty_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.pkl", pickle.dumps(Bomb()))


PICKLES = [torch_pickle, empty_zip, *map(raw_pickle, range(6))]


@pytest.mark.parametrize("write", PICKLES, ids=range(len(PICKLES)))
@pytest.mark.parametrize("trust", [False, True])
def test_a_pickle_is_refused_without_loading_it(bundle: Path, write: Callable[[Path], None], trust: bool) -> None:
    weights = bundle / "model.safetensors"
    write(weights)
    with pytest.raises(ModelError):
        load(bundle, trust=trust)
    for suffix in ("pt", "pth", "pkl", "bin", "ckpt"):
        file = bundle.parent / f"model.{suffix}"
        write(file)
        with pytest.raises(TrustError, match="not read"):
            load(file, trust=trust)
        with pytest.raises(TrustError, match="not read"):
            load(bundle, weights=file, trust=trust)


def test_pickled_weights_in_a_bundle_are_refused(bundle: Path) -> None:
    (bundle / "model.safetensors").unlink()
    torch_pickle(bundle / "pytorch_model.bin")
    with pytest.raises(TrustError, match=r"pytorch_model\.bin.*not read"):
        load(bundle, trust=True)
    (bundle / "config.json").unlink()
    with pytest.raises(TrustError, match=r"pytorch_model\.bin.*not read"):
        load(bundle, trust=True)


def test_weights_whose_header_starts_as_a_pickle_does_are_read(tmp_path: Path) -> None:
    # 128 bytes of header: the file's first byte is that of a pickle.
    for padding in range(200):
        path = tmp_path / "w.safetensors"
        save_file({"w" * (padding + 1): torch.zeros(1)}, path)
        if path.read_bytes()[0] == 0x80:
            break
    classifier().save(tmp_path / "b")
    with pytest.raises(ModelError, match="do not fit the graph") as caught:
        load(tmp_path / "b", weights=path)
    assert not isinstance(caught.value, TrustError)


def test_files_have_the_mode_of_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        ew.Classifier(nn.Sequential(nn.Conv2d(1, 2, 5), nn.Flatten()), window=5).save(tmp_path / "bundle")
    finally:
        os.umask(before)
    modes = {file.name: file.stat().st_mode & 0o777 for file in (tmp_path / "bundle").iterdir()}
    assert set(modes.values()) == {0o644}, modes


def test_a_loaded_classifier_has_the_name_of_its_folder(tmp_path: Path) -> None:
    clf = ew.Classifier(nn.Sequential(nn.Conv2d(1, 2, 5), nn.Flatten()), window=5)
    assert clf.title == "Sequential"
    clf.save(tmp_path / "wonder")
    loaded = ew.load(tmp_path / "wonder")
    assert (loaded.name, loaded.title) == ("wonder", "wonder")
    assert ew.explain(loaded, image_size=9).name == "wonder"
