"""Comparing the modes on images: against a plain sliding window, sums and ranks written out."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import everywindow as ew
from everywindow.comparing.differences import differences, rank_correlation, ranks, spread_of
from everywindow.engines import Run, run
from everywindow.errors import ConversionError, InputError
from oracle import crops, spread, window_offsets

WINDOW, STRIDE = (10, 8), (3, 2)


@pytest.fixture(scope="module")
def net() -> nn.Module:
    """Pads, so one pass is near and not equal."""
    torch.manual_seed(3)
    built = nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(6 * 5 * 4, 4)
    ).double()
    with torch.no_grad():  # no class wins everywhere
        built[4].bias -= built(torch.randn(64, 1, *WINDOW, dtype=torch.float64)).mean(0)
    return built


@pytest.fixture(scope="module")
def image() -> Tensor:
    return torch.randn(1, 25, 30, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def one_pass(net: Any, image: Tensor) -> Tensor:
    """The windows' scores from maps of the whole image, padded at its border alone."""
    whole = torch.relu(nn.functional.conv2d(image[None], net[0].weight, net[0].bias, padding=1))
    rows, cols = window_offsets(image.shape[1:], WINDOW, STRIDE)
    scores = [
        net[4](nn.functional.max_pool2d(whole[:, :, y : y + WINDOW[0], x : x + WINDOW[1]], 2).flatten(1))[0]
        for y in rows
        for x in cols
    ]
    return torch.stack(scores, 1).reshape(-1, len(rows), len(cols)).detach()


def spearman(a: list[float], b: list[float]) -> float:
    """By counting, for each number, how many are less and how many are equal."""

    def places(row: list[float]) -> list[float]:
        return [sum(x < y for x in row) + (sum(x == y for x in row) + 1) / 2 for y in row]

    return float(np.corrcoef(places(a), places(b))[0, 1])


def test_the_numbers_are_those_of_a_plain_sliding_window(net: nn.Module, image: Tensor) -> None:
    reference, near = crops(net, image, WINDOW, STRIDE), one_pass(net, image)
    found = ew.compare(net, image, window=WINDOW, stride=STRIDE, progress=False)
    fcn = found.run("fcn")
    assert fcn is not None
    apart = (near - reference).abs()
    assert fcn.max_difference == pytest.approx(float(apart.max()), rel=1e-9)
    assert fcn.mean_difference == pytest.approx(float(apart.mean()), rel=1e-9)
    assert fcn.relative_difference == pytest.approx(float(apart.max()) / spread(reference), rel=1e-9)
    assert fcn.relative_mean_difference == pytest.approx(float(apart.mean()) / spread(reference), rel=1e-9)
    assert found.spread == pytest.approx(spread(reference))
    same = [int(a.argmax()) == int(b.argmax()) for a, b in zip(near.flatten(1).T, reference.flatten(1).T, strict=True)]
    assert fcn.agreement == pytest.approx(sum(same) / len(same))
    assert 0 < fcn.agreement < 1
    expected = [spearman(a.flatten().tolist(), b.flatten().tolist()) for a, b in zip(near, reference, strict=True)]
    assert fcn.rank_correlations == pytest.approx(expected, abs=1e-9)
    klass, row, col = np.unravel_index(int(apart.argmax()), apart.shape)
    assert fcn.farthest is not None
    assert (fcn.farthest.klass, fcn.farthest.index) == (klass, (row, col))
    assert fcn.farthest.start == (row * STRIDE[0], col * STRIDE[1])
    assert fcn.farthest.score == pytest.approx(float(near[klass, row, col]))
    assert fcn.farthest.reference == pytest.approx(float(reference[klass, row, col]))
    exact = found.run("exact")
    assert exact is not None
    assert exact.relative_difference < 1e-10
    assert exact.rank_correlations == pytest.approx([1.0] * 4)
    torch.testing.assert_close(found.maps["fcn"].scores, near)
    torch.testing.assert_close(found.maps["crops"].scores, reference)


def test_a_wrong_mode_would_be_seen(net: nn.Module, image: Tensor) -> None:
    """The checker is checked: one score of one window is changed."""
    reference = crops(net, image, WINDOW, STRIDE).flatten(1)
    wrong = reference.clone()
    wrong[2, 31] += 1e-3
    found = differences(wrong, reference, "softmax")
    assert (found.klass, found.window) == (2, 31)
    assert found.largest == pytest.approx(1e-3)
    assert found.mean == pytest.approx(1e-3 / reference.numel())


def test_costs_and_predictions(net: nn.Module, image: Tensor) -> None:
    found = ew.compare(net, image, window=WINDOW, stride=STRIDE, progress=False)
    macs = ew.cost(net, (25, 30), window=WINDOW, stride=STRIDE).macs
    assert found.windows == 6 * 12
    for each in found.runs:
        assert each.plan.mode == each.mode
        if each.plan.engine == each.mode:
            assert each.macs == macs[each.mode]
        assert each.predicted_seconds is not None
        assert each.predicted_seconds > 0
        assert each.macs_per_second == each.macs / each.seconds
        assert found.predicted_speed_up(each.mode) == found.runs[0].predicted_seconds / each.predicted_seconds  # type: ignore[operator]
    record = json.loads(found.to_json())
    assert [each["plan"]["mode"] for each in record["runs"]] == ["crops", "fcn", "exact"]


def test_a_sample_of_windows_is_compared_as_they_are(net: nn.Module, image: Tensor) -> None:
    reference, near = crops(net, image, WINDOW, STRIDE), one_pass(net, image)
    found = ew.compare(net, image, window=WINDOW, stride=STRIDE, samples=9, seed=5, pad=0, progress=False)
    assert found.sample is not None
    chosen = list(found.sample.indices)
    assert len(set(chosen)) == found.compared == 9
    assert found.windows == 72
    cols = reference.shape[2]
    assert found.sample.starts == tuple((i // cols * STRIDE[0], i % cols * STRIDE[1]) for i in chosen)
    torch.testing.assert_close(found.sample.scores, reference.flatten(1)[:, chosen])
    apart = (near - reference).abs().flatten(1)[:, chosen]
    crop, fcn, exact = found.runs
    assert fcn.max_difference == pytest.approx(float(apart.max()), rel=1e-9)
    assert exact.relative_difference < 1e-10
    assert fcn.farthest is not None
    where = chosen[int(apart.argmax()) % 9]
    assert fcn.farthest.index == (where // cols, where % cols)
    assert (crop.extrapolated, fcn.extrapolated) == (True, False)
    assert crop.macs == ew.cost(net, (25, 30), window=WINDOW, stride=STRIDE).macs["crops"]
    assert set(found.maps) == {"fcn", "exact"}
    again = ew.compare(net, image, window=WINDOW, stride=STRIDE, samples=9, seed=5, modes=["exact"], progress=False)
    assert again.sample == found.sample
    other = ew.compare(net, image, window=WINDOW, stride=STRIDE, samples=9, seed=6, modes=["exact"], progress=False)
    assert other.sample != found.sample


def test_the_crops_run_on_the_sample_alone(net: nn.Module, image: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[tuple[str, int]] = []

    def spy(*args: Any, **options: Any) -> Run:
        finished = run(*args, **options)
        ran.append((options["mode"], finished.grid.total))
        return finished

    monkeypatch.setattr("everywindow.comparing.sampling.run", spy)
    monkeypatch.setattr("everywindow.comparing.one.run", spy)
    ew.compare(net, image, window=WINDOW, stride=STRIDE, samples=4, modes=["fcn"], progress=False)
    # The sample, and its windows again until they fill whole batches: never more than there are.
    assert ran[:3] == [("crops", 4), ("crops", 72), ("crops", 72)]
    assert set(ran[3:]) == {("fcn", 72)}


class _Slow(nn.Module):
    """A call takes as long for a window as for several."""

    def __init__(self, inside: nn.Module) -> None:
        super().__init__()
        self.inside = inside

    def forward(self, x: Tensor) -> Tensor:
        time.sleep(0.002)
        scores: Tensor = self.inside(x)
        return scores


def test_seconds_of_a_sample_are_those_of_whole_batches() -> None:
    """What a call takes by itself is not multiplied by how many more windows there are."""
    net = _Slow(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2 * 36, 2)))
    image = torch.randn(1, 57, 57)
    every = ew.compare(net, image, window=8, stride=1, modes=["crops"], progress=False).runs[0].seconds
    some = ew.compare(net, image, window=8, stride=1, modes=["crops"], samples=5, progress=False).runs[0].seconds
    assert every is not None
    assert some is not None
    assert 0.3 * every < some < 2 * every


def test_too_few_windows_to_tell_seconds_are_no_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows so large that not even two batches of them are timed."""
    monkeypatch.setattr("everywindow.comparing.sampling.TIMED_SECONDS", 0.0)
    net = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Flatten(), nn.Linear(2 * 64, 2))
    found = ew.compare(net, [torch.randn(1, 32, 32)] * 2, window=8, stride=2, samples=3, progress=False)
    for one in (found, *found.images):
        assert one.runs[0].seconds is None
        assert one.speed_up("fcn") is None
        assert one.runs[0].macs_per_second is None
        assert "speed-up: not enough samples to tell" in str(one)
        assert json.loads(one.to_json())["runs"][0]["seconds"] is None


def test_more_samples_than_windows_are_all_of_them(net: nn.Module, image: Tensor) -> None:
    found = ew.compare(net, image, window=WINDOW, stride=STRIDE, samples=72, modes=["exact"], progress=False)
    assert found.sample is None
    assert found.compared == found.windows
    assert not found.runs[0].extrapolated
    assert f"\nexact: {found.runs[1].plan.reason}" in str(found)


@pytest.mark.parametrize("axes", [1, 3])
def test_other_numbers_of_axes(axes: int) -> None:
    kind = {1: nn.Conv1d, 3: nn.Conv3d}[axes]
    net = nn.Sequential(kind(1, 2, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 5**axes, 3)).double()
    image = torch.randn(1, *(13, 8, 11)[:axes], dtype=torch.float64)
    reference = crops(net, image, (5,) * axes, (2,) * axes)
    found = ew.compare(net, image, window=5, stride=2, samples=3, progress=False)
    assert found.sample is not None
    torch.testing.assert_close(found.sample.scores, reference.flatten(1)[:, list(found.sample.indices)])
    exact = found.run("exact")
    assert exact is not None
    assert exact.max_difference < 1e-9


def test_places_are_told_without_the_padding() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Flatten(), nn.Linear(2 * 16, 2))
    found = ew.compare(net, torch.randn(1, 8, 8), window=4, stride=4, pad=2, samples=8, progress=False)
    assert found.sample is not None
    assert set(found.sample.starts) <= {(y, x) for y in (-2, 2, 6) for x in (-2, 2, 6)}
    assert min(min(start) for start in found.sample.starts) == -2
    fcn = found.run("fcn")
    assert fcn is not None
    assert fcn.farthest is not None
    assert fcn.farthest.start in found.sample.starts


@pytest.mark.parametrize("pad", [None, 2])
def test_places_are_in_the_given_image_whatever_the_size_is_rounded_to(pad: int | None) -> None:
    """Of 21×33 pixels a scale of 0.4 makes 8×13: 2.625 and 33/13 pixels each, and not 2.5."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Flatten(), nn.Linear(2 * 16, 2))
    found = ew.compare(net, torch.rand(1, 21, 33), window=4, stride=1, scale=0.4, pad=pad, progress=False)
    fcn = found.run("fcn")
    assert fcn is not None
    assert fcn.farthest is not None
    assert max(fcn.farthest.start) > 0
    y, x = fcn.farthest.start
    assert fcn.farthest.place == pytest.approx((y * 21 / 8, x * 33 / 13))
    record = json.loads(found.to_json())["runs"][1]["farthest"]
    assert (record["place"], record["scale"]) == (list(fcn.farthest.place), 0.4)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images of different sizes, one that is too small, one that is cut short, and what is no image."""
    home = tmp_path / "photos"
    (home / "more").mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 255, (40, 33), np.uint8)
    Image.fromarray(noise).save(home / "b.png")
    Image.fromarray(noise[:20, :18]).save(home / "more" / "a.png")
    Image.fromarray(noise[:6, :6]).save(home / "small.png")
    (home / "cut.png").write_bytes((home / "b.png").read_bytes()[:90])
    (home / "notes.txt").write_text("no image")
    (home / ".hidden.png").write_bytes(b"")
    return home


def test_a_folder_is_compared_image_by_image(net: nn.Module, folder: Path) -> None:
    seen: list[ew.Comparison] = []
    clf = ew.Classifier(net, WINDOW, 1, mean=0, std=1)
    found = ew.compare(clf, folder, stride=STRIDE, progress=False, on_image=seen.append)
    names = [str(folder / name) for name in ("b.png", "more/a.png")]
    assert [one.name for one in found.images] == [one.name for one in seen] == names
    assert [skip.image for skip in found.skipped] == [str(folder / name) for name in ("cut.png", "small.png")]
    assert "damaged or cut short" in found.skipped[0].why
    assert "smaller than the window of 10×8" in found.skipped[1].why
    alone = [ew.compare(clf, name, stride=STRIDE, progress=False) for name in names]
    assert found.windows == sum(one.windows for one in alone)
    for mode in ("fcn", "exact"):
        total, parts = found.run(mode), [one.run(mode) for one in alone]
        assert total is not None
        assert total.max_difference == max(part.max_difference for part in parts if part is not None)
    assert all(set(one.maps) == {"crops", "fcn", "exact"} for one in seen)
    assert not any(one.maps for one in found.images), "maps are large"
    farthest = max(seen, key=lambda one: one.runs[1].relative_difference)
    assert found.farthest is farthest
    assert found.plot().get_suptitle().startswith(Path(str(farthest.name)).name)
    text = str(found)
    assert f"{found.windows:,} windows of 2 images" in text
    assert "2 of 4 images left out:" in text


def test_a_list_may_mix_kinds_of_images_and_folders(net: nn.Module, folder: Path, image: Tensor) -> None:
    several = [image, folder / "more", str(folder / "b.png"), "absent.png", 7]
    clf = ew.Classifier(net, WINDOW, 1, mean=0, std=1)
    found = ew.compare(clf, several, modes=["exact"], progress=False)
    assert [one.name for one in found.images] == ["image 1", str(folder / "more/a.png"), str(folder / "b.png")]
    assert [str(skip) for skip in found.skipped] == ["absent.png: no such file", "image 5: a int is not an image"]


def test_strict_and_hopeless_lists_are_errors(net: nn.Module, folder: Path, image: Tensor, tmp_path: Path) -> None:
    clf = ew.Classifier(net, WINDOW, 1, mean=0, std=1)
    with pytest.raises(InputError, match=r"cut\.png: damaged or cut short"):
        ew.compare(clf, folder, strict=True, progress=False)
    with pytest.raises(InputError, match=r"none of 2 can be used, the first because: absent\.png: no such file"):
        ew.compare(clf, ["absent.png", "gone.png"])
    with pytest.raises(InputError, match="the list is empty"):
        ew.compare(clf, [])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="a folder without images"):
        ew.compare(clf, tmp_path / "empty")
    with pytest.raises(InputError, match=r"^scale: -1 is not a positive number"):
        ew.compare(clf, [image, image], scale=-1)


def test_arguments_that_cannot_be_used(net: nn.Module, image: Tensor) -> None:
    for samples in (0, -3, 2.5, True):
        with pytest.raises(InputError, match=r"^samples: .* is not a number of windows; give 1 or more"):
            ew.compare(net, image, window=WINDOW, samples=samples)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"^seed: 'a' is not a whole number"):
        ew.compare(net, image, window=WINDOW, seed="a")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"^stride: 26×4 pixels are more than the image of 25×30 has; give a smaller"):
        ew.compare(net, image, window=WINDOW, stride=(26, 4))
    assert ew.compare(net, image, window=WINDOW, stride=(25, 30), modes=["exact"], progress=False).windows == 1
    with pytest.raises(InputError, match="mode: 'fast' is none of"):
        ew.compare(net, image, window=WINDOW, modes=["fast"])
    found = ew.compare(net, image, window=WINDOW, modes=["exact"], progress=False)
    with pytest.raises(InputError, match="class 4: there are 4 classes; give an index from 0 to 3"):
        found.plot(4)


def test_a_mode_without_conversion_is_left_out_of_every_image(image: Tensor) -> None:
    class Across(nn.Module):
        """Every position attends to every other."""

        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Conv2d(1, 4, 3), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            rows = self.first(x).flatten(2).transpose(1, 2)
            for _ in range(2):
                rows = torch.softmax(rows @ rows.transpose(1, 2), -1) @ rows
            return self.last(rows.amax(1))

    net = Across().double()
    try:
        ew.convolutionalize(net, window=8, channels=1)
    except ConversionError:
        found = ew.compare(net, [image, image[:, :12, :12]], window=8, stride=4, samples=2, progress=False)
        assert [each.mode for each in found.left_out] == ["fcn"]
        assert all(one.left_out == found.left_out for one in found.images)
        assert [run.mode for run in found.runs] == ["crops", "exact"]
    else:
        pytest.fail("it has a conversion: test another network")


def test_windows_that_are_all_alike_are_said_to_be() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Flatten(), nn.Linear(2 * 16, 2))
    with torch.no_grad():
        net[2].weight.zero_()
    found = ew.compare(net, torch.randn(1, 8, 8), window=4, stride=2, progress=False)
    assert found.spread == 0
    assert found.runs[1].rank_correlations == (None, None)
    assert "the crops give all windows the same scores" in str(found)
    several = ew.compare(net, [torch.randn(1, 8, 8), torch.randn(1, 4, 4)], window=4, stride=2, progress=False)
    assert str(several).count("relative to a spread: image 1\n") == 1, "one window alone has no spread, of course"


def test_rank_correlations_are_scipys() -> None:
    stats = pytest.importorskip("scipy.stats")
    numbers = np.random.default_rng(0)
    for length in (2, 3, 10, 200):
        a, b = numbers.integers(0, 9, length).astype(float), numbers.normal(size=length)
        a[0], a[1] = -1, 20
        assert rank_correlation(a, b) == pytest.approx(float(stats.spearmanr(a, b).statistic))
        np.testing.assert_array_equal(ranks(a), stats.rankdata(a))


def test_rank_correlation_of_one_value_alone_is_open() -> None:
    assert rank_correlation(np.ones(5), np.arange(5.0)) is None
    assert rank_correlation(np.ones(1), np.ones(1)) is None
    assert rank_correlation(np.arange(4.0), -np.arange(4.0)) == -1


def test_scores_that_are_not_finite_are_as_far_as_can_be_unless_alike() -> None:
    nan, inf = float("nan"), float("inf")
    reference = torch.tensor([[0.0, 1.0, -inf, nan]])
    assert differences(reference.clone(), reference, "none").largest == 0
    assert spread_of(reference) == 1
    for wrong in (nan, inf):
        other = reference.clone()
        other[0, 1] = wrong
        found = differences(other, reference, "none")
        assert (found.largest, found.window) == (inf, 1)


def test_a_single_score_decides_at_a_half() -> None:
    reference, other = torch.tensor([[0.2, 0.6, -0.1, 0.9]]), torch.tensor([[0.6, 0.7, -0.2, 0.4]])
    assert differences(other, reference, "none").agreement == 0.5
    assert differences(other, reference, "sigmoid").agreement == 1.0
