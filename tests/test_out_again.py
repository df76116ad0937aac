"""From the converted network to other programs, and back into the classifier."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import everywindow as ew
from everywindow.errors import DependencyError, InputError
from trial_weights import noise, with_trial_weights


def padded(mode: str = "zeros") -> nn.Module:
    conv = nn.Conv2d(2, 6, 3, padding=1, padding_mode=mode)
    layers = [conv, nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2)]
    net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3))
    return with_trial_weights(net, 2, (12, 12), dtype=torch.float32)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the exporter's own
@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
def test_onnx_runs_at_any_size(tmp_path: Path, mode: str) -> None:
    runtime: Any = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from everywindow.cli.export import write_onnx

    fcn = ew.convolutionalize(padded(mode), window=12, stride=None if mode == "zeros" else 1).eval()
    write_onnx(fcn, str(tmp_path / "net.onnx"))
    session = runtime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    for batch, size in ((1, (12, 12)), (2, (30, 17)), (3, (12, 41))):
        images = noise((batch, 2, *size), 1, torch.float32)
        (scores,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
        with torch.no_grad():
            assert torch.allclose(torch.from_numpy(scores), fcn(images), atol=1e-4)


def test_onnx_without_its_libraries_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from everywindow.cli import export, metadata

    monkeypatch.setattr(metadata, "find_spec", lambda name: None)
    with pytest.raises(DependencyError, match="pip install onnx"):
        export.write_onnx(ew.convolutionalize(padded(), window=12), str(tmp_path / "net.onnx"))


def test_trained_weights_go_back() -> None:
    net = padded()
    fcn = ew.convolutionalize(net, window=12)
    optimiser = torch.optim.SGD(fcn.parameters(), 0.1)
    fcn.train()(noise((2, 2, 20, 20), 1, torch.float32)).square().mean().backward()
    optimiser.step()
    images = noise((2, 2, 12, 12), 2, torch.float32)
    with torch.no_grad():
        before = net(images)
        trained = fcn.eval()(images)[..., 0, 0]
        assert not torch.allclose(before, trained, atol=1e-3)
        assert torch.allclose(fcn.to_classifier(net).eval()(images), trained, atol=1e-5)


def test_weights_do_not_go_into_another_network() -> None:
    fcn = ew.convolutionalize(padded(), window=12)
    with pytest.raises(InputError, match="original"):
        fcn.to_classifier(nn.Sequential(nn.Conv2d(2, 6, 5)))


def test_an_inferer_gives_the_maps_of_a_batch() -> None:
    net, images = padded(), noise((3, 2, 20, 26), 4, torch.float32)
    inferer = ew.DenseInferer(net, window=12, stride=2)
    scores = inferer(images, net)
    assert scores.shape == (3, 3, 5, 8)
    for image, one in zip(images, scores, strict=True):
        assert torch.allclose(one, ew.scan(net, image, window=12, stride=2, progress=False).scores, atol=1e-5)
    other = nn.Sequential(nn.Conv2d(2, 4, 12), nn.Flatten())
    assert inferer(images, other).shape == (3, 4, 5, 8)
    with pytest.raises(InputError, match="inputs"):
        inferer(images[0])
