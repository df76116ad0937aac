"""Score maps: reductions, the strongest window, files."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from everywindow.errors import InputError
from everywindow.geometry import Place
from everywindow.geometry.verdict import Reason, Verdict
from everywindow.report import ScoreMap


@dataclass(frozen=True)
class FakePlan:
    mode: str = "fcn"
    notes: tuple[str, ...] = ("one pass",)


def make(scores: torch.Tensor, window: int = 5, stride: int = 2, start: int = 0, **fields: object) -> ScoreMap:
    counts = scores.shape[1:]
    base = ScoreMap(
        scores=scores,
        offsets=tuple(tuple(start + stride * i for i in range(n)) for n in counts),
        window=(window,) * len(counts),
        stride=(stride,) * len(counts),
        mode="fcn",
        verdict=Verdict(False, (Reason("features.0", "zero padding (1, 1)"),)),
        image_size=tuple(stride * (n - 1) + window + 2 * start for n in counts),
    )
    return replace(base, **fields)  # type: ignore[arg-type]


@pytest.fixture
def scores() -> torch.Tensor:
    return torch.randn(3, 4, 6, generator=torch.Generator().manual_seed(0))


def softmax(values: np.ndarray) -> np.ndarray:
    e = np.exp(values - values.max(0))
    return e / e.sum(0)


def test_mean_of_the_windows_probabilities_is_the_images_probability() -> None:
    four = torch.tensor([[[0.0, 1.0], [2.0, 3.0]], [[1.0, 1.0], [1.0, 1.0]]])
    by_hand = np.mean([softmax(np.array([s, 1.0])) for s in (0.0, 1.0, 2.0, 3.0)], axis=0)
    np.testing.assert_allclose(make(four).image_scores("mean_probability"), by_hand, rtol=1e-6)


@pytest.mark.parametrize(("kind", "reduce"), [("mean_score", np.mean), ("sum_score", np.sum), ("max", np.max)])
def test_other_reductions_come_before_the_softmax(scores: torch.Tensor, kind: str, reduce: object) -> None:
    by_hand = softmax(reduce(scores.numpy(), axis=(1, 2)))  # type: ignore[operator]
    np.testing.assert_allclose(make(scores).image_scores(kind), by_hand, rtol=1e-5)  # type: ignore[arg-type]


def test_activations(scores: torch.Tensor) -> None:
    np.testing.assert_allclose(make(scores).probabilities(), softmax(scores.numpy()), rtol=1e-5)
    sigmoid = make(scores, activation="sigmoid")
    np.testing.assert_allclose(sigmoid.probabilities(), 1 / (1 + np.exp(-scores.numpy())), rtol=1e-5)
    assert torch.equal(make(scores, activation="none").probabilities(), scores)


def test_unknown_reduction_names_the_known_ones(scores: torch.Tensor) -> None:
    with pytest.raises(InputError, match="mean_probability"):
        make(scores).image_scores("median")  # type: ignore[arg-type]


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_a_single_bright_pixel_is_found_in_the_only_window_centred_on_it(dims: int, tmp_path: Path) -> None:
    pixel = (11, 7, 9)[:dims]
    image = torch.zeros((1, 1, *(20, 24, 22)[:dims]))
    image[(0, 0, *pixel)] = 1
    convolution = (torch.nn.functional.conv1d, torch.nn.functional.conv2d, torch.nn.functional.conv3d)[dims - 1]
    kernel = torch.zeros((2, 1, *(5,) * dims))
    kernel[(1, 0, *(2,) * dims)] = 1
    m = make(convolution(image, kernel, stride=1)[0], stride=1)
    for name in ("map.npz", "map.zarr"):
        m.save(tmp_path / name)
        for found in (m, ScoreMap.load(tmp_path / name)):
            peak = found.strongest(1)
            assert peak.start == tuple(p - 2 for p in pixel)
            assert peak.centre == tuple(p + 0.5 for p in pixel)


def test_strongest_reports_window_score_and_probability() -> None:
    m = make(torch.tensor([[[0.0, 0.0, 3.0]], [[0.0, 5.0, 0.0]]]), start=-1, classes=("cat", "dog"), scale=0.5)
    peak = m.strongest("dog")
    assert (peak.klass, peak.name, peak.index) == (1, "dog", (0, 1))
    assert (peak.start, peak.stop) == ((-2, 2), (8, 12))
    assert peak.score == 5
    assert peak.probability == pytest.approx(1 / (1 + np.exp(-5)))


def test_strongest_is_not_fooled_by_probabilities_that_round_to_one() -> None:
    saturated = make(torch.tensor([[[200.0, 300.0, 250.0]], [[0.0, 0.0, 0.0]]]))
    assert saturated.probabilities()[0].unique().numel() == 1
    assert saturated.strongest(0).index == (0, 1)


def test_strongest_of_softmax_counts_the_other_classes() -> None:
    m = make(torch.tensor([[[9.0, 5.0]], [[9.0, 0.0]]]))
    assert m.strongest(0).index == (0, 1)
    assert replace(m, activation="sigmoid").strongest(0).index == (0, 0)


def test_top_classes_have_names_in_order(scores: torch.Tensor) -> None:
    top = make(scores, classes=("a", "b", "c")).top(2)
    values = make(scores).image_scores().sort(descending=True).values
    assert [value for _, _, value in top] == pytest.approx(values[:2].tolist())
    assert all(name == "abc"[index] for index, name, _ in top)
    assert make(scores).class_name(1) == "class 1"


@pytest.mark.parametrize("klass", ["zebra", 3, -1, "17"])
def test_unknown_class_is_refused(scores: torch.Tensor, klass: int | str) -> None:
    with pytest.raises(InputError, match=f"class {klass!r}"):
        make(scores, classes=("a", "b", "c")).strongest(klass)


def test_fields_that_do_not_fit_are_refused(scores: torch.Tensor) -> None:
    with pytest.raises(InputError, match="does not fit"):
        make(scores, offsets=((0,), (0,)))
    with pytest.raises(InputError, match="2 names for 3"):
        make(scores, classes=("a", "b"))
    with pytest.raises(InputError, match="per spatial axis"):
        replace(make(scores), window=(5,))
    with pytest.raises(InputError, match="relu"):
        make(scores, activation="relu")


@pytest.mark.parametrize("suffix", [".npz", ".zarr"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_files_give_back_every_field(scores: torch.Tensor, suffix: str, dtype: torch.dtype, tmp_path: Path) -> None:
    m = make(
        scores.to(dtype),
        start=-3,
        classes=("a", "b", "c"),
        activation="sigmoid",
        plan=FakePlan(),
        scale=0.25,
        path="photo.png",
        seconds=1.5,
    )
    m.save(tmp_path / f"deep/er/map{suffix}")
    back = ScoreMap.load(tmp_path / f"deep/er/map{suffix}")
    assert torch.equal(back.scores, m.scores)
    assert back.scores.dtype == dtype
    for name in (
        "offsets",
        "window",
        "stride",
        "mode",
        "verdict",
        "activation",
        "classes",
        "image_size",
        "scale",
        "path",
        "seconds",
    ):
        assert getattr(back, name) == getattr(m, name), name
    assert back.plan == {"mode": "fcn", "notes": ["one pass"]}
    assert isinstance(back.verdict.reasons[0], Reason)
    assert [p.name for p in (tmp_path / "deep/er").iterdir()] == [f"map{suffix}"]


def test_bfloat16_is_widened(scores: torch.Tensor, tmp_path: Path) -> None:
    m = make(scores.bfloat16())
    m.save(tmp_path / "m.npz")
    assert torch.equal(ScoreMap.load(tmp_path / "m.npz").scores, m.scores.float())


def test_zarr_holds_an_array_with_named_axes_and_attributes(scores: torch.Tensor, tmp_path: Path) -> None:
    import zarr

    make(scores).save(tmp_path / "m.zarr")
    stored = zarr.open_group(str(tmp_path / "m.zarr"), mode="r")
    assert stored["0"].shape == (3, 4, 6)  # type: ignore[union-attr]
    assert stored["0"].metadata.dimension_names == ("c", "y", "x")  # type: ignore[union-attr]
    own: dict[str, object] = stored.attrs["everywindow"]  # type: ignore[assignment]
    assert own["window"] == [5, 5]
    assert own["verdict"]["exact"] is False  # type: ignore[index]
    assert "torch" in own["versions"]  # type: ignore[operator]


def test_the_older_format_is_still_read(scores: torch.Tensor, tmp_path: Path) -> None:
    import zarr

    older = {
        "format": "everywindow score map 1",
        "offsets": [[-1, 1, 3, 5], [0, 2, 4, 6, 8, 10]],
        "window": [5, 5],
        "stride": [2, 2],
        "mode": "fcn",
        "activation": "softmax",
        "classes": ["a", "b", "c"],
        "verdict": {"exact": True, "reasons": []},
        "image_size": [10, 15],
        "scale": 0.5,
        "path": None,
        "seconds": 1.5,
        "plan": None,
        "versions": {},
    }
    names = ["class", "y", "x"]
    zarr.create_array(str(tmp_path / "m.zarr"), data=scores.numpy(), dimension_names=names, attributes=older)
    with open(tmp_path / "m.npz", "wb") as file:
        np.savez_compressed(file, scores=scores.numpy(), metadata=np.array(json.dumps(older)))
    for name in ("m.zarr", "m.npz"):
        m = ScoreMap.load(tmp_path / name)
        assert torch.equal(m.scores, scores)
        assert m.offsets == ((-1, 1, 3, 5), (0, 2, 4, 6, 8, 10))
        assert (m.classes, m.scale, m.seconds) == (("a", "b", "c"), 0.5, 1.5)


def nan_outside(scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The same scores with a frame of windows that were not scored, and the strongest of them far off."""
    framed = torch.full((len(scores), *(n + 2 for n in scores.shape[1:])), torch.nan)
    framed[:, 1:-1, 1:-1] = scores
    return scores, framed


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "none"])
def test_windows_that_were_not_scored_count_nowhere(scores: torch.Tensor, activation: str) -> None:
    inner, framed = nan_outside(scores)
    m, whole = make(inner, start=2, activation=activation), make(framed, activation=activation)
    for kind in ("mean_probability", "mean_score", "sum_score", "max"):
        torch.testing.assert_close(whole.image_scores(kind), m.image_scores(kind))  # type: ignore[arg-type]
    for k in range(3):
        assert whole.strongest(k).start == m.strongest(k).start
        for threshold in (0.1, 0.4):
            assert [d.start for d in whole.peaks(k, threshold)] == [d.start for d in m.peaks(k, threshold)]
            assert [d.start for d in whole.boxes(k, threshold)] == [d.start for d in m.boxes(k, threshold)]
    assert whole.plot() is not None
    assert whole.plot(np.zeros((12, 12)), 0) is not None


def test_a_map_without_any_score_says_so(scores: torch.Tensor, tmp_path: Path) -> None:
    m = make(torch.full_like(scores, torch.nan))
    m.save(tmp_path / "m.zarr")
    for ask in (m.image_scores, m.strongest, m.peaks, m.boxes, m.plot, ScoreMap.load(tmp_path / "m.zarr").top):
        with pytest.raises(InputError, match="nothing was scored"):
            ask()


def test_a_placed_map_answers_in_pixels_of_the_given_image(scores: torch.Tensor, tmp_path: Path) -> None:
    place = Place((5, 5), (2, 2), (1, 0), (10.0, 3.5), (4.0, 2.5))
    offsets = (tuple(2 * i - 1 for i in range(4)), tuple(2 * i for i in range(6)))
    m = make(scores, place=place, offsets=offsets, source={"spacing": [0.5, 0.5], "unit": "micrometer"})
    for suffix in (".npz", ".zarr"):
        m.save(tmp_path / f"m{suffix}")
        loaded = ScoreMap.load(tmp_path / f"m{suffix}")
        assert loaded.place == place
        assert loaded.source == m.source
        for one in (loaded.strongest(1), *loaded.boxes(1, 0.0), *loaded.peaks(1, 0.0)):
            assert tuple(zip(one.start, one.stop, strict=True)) == place.box(one.index)
        assert loaded.plot(klass=1).axes[0].get_xlim() == pytest.approx(
            (place.first_edge()[1], place.first_edge()[1] + 6 * place.cell()[1])
        )


def test_a_map_larger_than_memory_is_not_read(
    scores: torch.Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(scores).save(tmp_path / "m.zarr")
    monkeypatch.setattr("everywindow.report.files.free_bytes", lambda device: scores.nbytes - 1)
    with pytest.raises(InputError, match="memory are free"):
        ScoreMap.load(tmp_path / "m.zarr")


@pytest.mark.parametrize("suffix", [".npz", ".zarr", ".png"])
def test_saving_again_replaces_the_old(scores: torch.Tensor, suffix: str, tmp_path: Path) -> None:
    target = tmp_path / f"m{suffix}"
    make(scores).save(target)
    make(2 * scores).save(target)
    if suffix != ".png":
        assert torch.equal(ScoreMap.load(target).scores, 2 * scores)
    assert [p.name for p in tmp_path.iterdir()] == [target.name]


def test_a_failed_save_leaves_the_old_file_and_nothing_else(
    scores: torch.Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "m.npz"
    make(scores).save(target)
    before = target.read_bytes()

    def full_disk(file: object, **arrays: object) -> None:
        file.write(b"half")  # type: ignore[attr-defined]
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full_disk)
    with pytest.raises(InputError, match="No space left"):
        make(2 * scores).save(target)
    assert target.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["m.npz"]


def test_places_that_cannot_be_written(scores: torch.Tensor, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "mine.zarr").mkdir()
    (tmp_path / "mine.zarr/keep.txt").write_text("x")
    with pytest.raises(InputError, match="cannot be written"):
        make(scores).save(tmp_path / "file/m.npz")
    with pytest.raises(InputError, match="in the way"):
        make(scores).save(tmp_path / "mine.zarr")
    with pytest.raises(InputError, match=r"\.npz, \.zarr, \.png"):
        make(scores).save(tmp_path / "m.tif")
    assert (tmp_path / "mine.zarr/keep.txt").exists()


def damaged(tmp_path: Path, kind: str, good: ScoreMap) -> Path:
    target = tmp_path / "bad.npz"
    good.save(target)
    if kind == "cut short":
        target.write_bytes(target.read_bytes()[:200])
    elif kind == "noise":
        target.write_bytes(b"\x93NUMPY not really")
    elif kind == "pickle":
        np.savez(target, scores=np.array([{}], dtype=object), metadata=np.array("{}"))
    elif kind == "other archive":
        np.savez(target, weights=np.zeros(3))
    elif kind == "wrong shape":
        with np.load(target) as archive:
            np.savez(target, scores=archive["scores"][:, :2], metadata=archive["metadata"])
    else:
        with np.load(target) as archive:
            meta = json.loads(str(archive["metadata"]))
            del meta["verdict"]
            np.savez(target, scores=archive["scores"], metadata=np.array(json.dumps(meta)))
    return target


@pytest.mark.parametrize("kind", ["cut short", "noise", "pickle", "other archive", "wrong shape", "no verdict"])
def test_damaged_npz_is_one_line(scores: torch.Tensor, kind: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a readable score map") as caught:
        ScoreMap.load(damaged(tmp_path, kind, make(scores)))
    assert "\n" not in str(caught.value)
    assert "bad.npz" in str(caught.value)


def test_damaged_zarr_is_one_line(scores: torch.Tensor, tmp_path: Path) -> None:
    make(scores).save(tmp_path / "m.zarr")
    (tmp_path / "m.zarr/zarr.json").write_text("{")
    (tmp_path / "empty.zarr").mkdir()
    for name in ("m.zarr", "empty.zarr"):
        with pytest.raises(InputError, match="not a readable score map") as caught:
            ScoreMap.load(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_loading_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        ScoreMap.load(tmp_path / "m.npz")
    with pytest.raises(InputError, match="not a saved score map"):
        ScoreMap.load(tmp_path / "m.jpeg")


def test_a_map_introduces_itself_in_a_line(scores: torch.Tensor) -> None:
    assert (
        repr(make(scores))
        == str(make(scores))
        == (
            "ScoreMap(mode='fcn', scores=[3, 4, 6], window=[5, 5], stride=[2, 2], image_size=[11, 15], "
            "verdict='differs from the crops: features.0 (zero padding (1, 1))')"
        )
    )


def test_the_scanned_image_is_not_saved_over(scores: torch.Tensor, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    photo.write_bytes(b"pixels")
    with pytest.raises(InputError, match="is the image that was scanned; choose another name"):
        make(scores, path=str(photo)).save(photo)
    assert photo.read_bytes() == b"pixels"
