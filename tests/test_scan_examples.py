"""The examples of scans: in a short form they learn, and their bundles scan as the classifiers themselves do."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

import everywindow as ew
from example_modules import FOLDER, example_module


def example(name: str, needs: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    pytest.importorskip(needs)
    pytest.importorskip("skimage")
    monkeypatch.syspath_prepend(str(FOLDER))
    module = example_module(name)
    monkeypatch.setattr("small_networks.HELD_OUT", 600)
    return module


def bundle_after(module: ModuleType, data: Path, out: Path, **options: Any) -> tuple[Any, ew.Classifier]:
    if not data.parent.is_dir():
        pytest.skip(f"no data at {data.parent}")
    with torch.random.fork_rng(devices=[]):
        found = module.run(data, out, **options)
    assert found.counts.sum() > 500
    return found, ew.load(out / "bundle")


def agrees(clf: ew.Classifier, image: np.ndarray) -> ew.ScoreMap:
    """The map of a part of the image, in the units in which the network learned; equal to the crops'."""
    channels_first = torch.from_numpy(np.ascontiguousarray(np.moveaxis(image, -1, 0)))
    found = [ew.scan(clf, channels_first, stride=4, mode=mode, progress=False) for mode in ("exact", "crops")]
    np.testing.assert_allclose(found[0].scores, found[1].scores, atol=1e-3)
    return found[0]


def test_slide(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = example("slide_tissue", "openslide", monkeypatch)
    slide = shared_data / "slide" / "small_HE.svs"
    if slide.parent.is_dir():
        image, spacing = module.read(slide)
        part = image[1000:2100, 800:1500].copy()  # all of it takes long
        monkeypatch.setattr(module, "read", lambda path: (part, spacing))
    found, clf = bundle_after(module, slide, tmp_path, steps=40)
    assert min(found.recalls) > 0.6
    assert clf.spacing_um_px == pytest.approx(0.499)
    assert agrees(clf, part[:80, 200:280]).scores.shape[1:] == (5, 5)


def test_satellite(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = example("satellite_water", "rasterio", monkeypatch)
    found, clf = bundle_after(module, shared_data / "geotiff" / "RGB.byte.tif", tmp_path, steps=150)
    assert min(found.recalls) > 0.5
    image, valid = module.read(shared_data / "geotiff" / "RGB.byte.tif")
    assert (module.weak_labels(image, valid) == -1).mean() == pytest.approx(1 - valid.mean())
    agrees(clf, image[250:282, 250:282])


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # wfdb's own use of pandas
def test_electrocardiogram(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = example("ecg_beats", "wfdb", monkeypatch)
    found, clf = bundle_after(module, shared_data / "ecg" / "100", tmp_path, steps=100)
    assert found.recalls[0] > 0.9
    assert found.recalls[1] > 0.9
    signal, *_ = module.read(shared_data / "ecg" / "100")
    agrees(clf, signal[200_000:200_600])


def test_head(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = example("mri_head", "nibabel", monkeypatch)
    found, clf = bundle_after(module, shared_data / "mri" / "someones_anatomy.nii.gz", tmp_path, steps=100)
    assert found.accuracy > found.commonest + 0.2
    image = module.read(shared_data / "mri" / "someones_anatomy.nii.gz")
    agrees(clf, image[20:32, 20:32, 20:32])


def test_windows_of_two_parts_share_no_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    module = example_module("small_networks")
    labels = np.zeros((20, 9), np.int8)
    labels[3] = -1
    window, seen = (4, 3), []
    for part in (((0, 11), (0, 9)), ((11, 20), (0, 9))):
        pixels = np.zeros(labels.shape, bool)
        for row, column in module.centres_in(part, window, labels):
            assert row != 3
            first = row - 2, column - 1
            assert first[0] >= part[0][0]
            assert first[0] + 4 <= part[0][1]
            assert first[1] >= 0
            assert first[1] + 3 <= 9
            pixels[first[0] : first[0] + 4, first[1] : first[1] + 3] = True
        seen.append(pixels)
    assert not (seen[0] & seen[1]).any()
    assert (seen[0] | seen[1]).all()
    image = np.arange(labels.size, dtype=np.float32).reshape(*labels.shape, 1)
    cut = module.crops(image, np.array([[2, 1]]), window)
    np.testing.assert_array_equal(cut[0, 0], image[:4, :3, 0])


def test_what_is_found_is_counted_by_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    found = example_module("small_networks").Found(("a", "b", "c"), np.array([[6, 2, 0], [1, 1, 0], [0, 0, 0]]))
    assert (found.accuracy, found.commonest) == (0.7, 0.8)
    assert found.recalls[:2] == (0.75, 0.5)
    assert np.isnan(found.recalls[2])
