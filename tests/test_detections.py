"""Peaks and boxes of score maps, at one scale and at several."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import everywindow as ew
from everywindow.errors import InputError
from everywindow.geometry import Verdict
from everywindow.report import Detection, Pyramid, ScoreMap


def map_of(probabilities: torch.Tensor, window: int = 8, stride: int = 2, scale: float = 1.0) -> ScoreMap:
    counts = probabilities.shape[1:]
    return ScoreMap(
        scores=probabilities,
        offsets=tuple(tuple(stride * at for at in range(count)) for count in counts),
        window=(window,) * len(counts),
        stride=(stride,) * len(counts),
        mode="crops",
        verdict=Verdict(exact=True),
        activation="none",
        image_size=tuple(stride * (count - 1) + window for count in counts),
        scale=scale,
    )


def hill(size: int, *centres: tuple[int, int]) -> torch.Tensor:
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    hills = [torch.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 8.0) for y, x in centres]
    return torch.stack(hills).amax(0)[None]


def test_each_hill_is_one_peak_and_its_slopes_are_none() -> None:
    m = map_of(hill(30, (5, 6), (20, 22)) * torch.tensor([0.9]).reshape(1, 1, 1))
    found = m.peaks(0, threshold=0.1)
    assert {peak.centre for peak in found} == {(14.0, 16.0), (44.0, 48.0)}  # 2 pixels a window, 4 to its middle
    assert m.peaks(0, threshold=0.95) == []


def test_of_two_near_peaks_the_stronger_stays() -> None:
    values = torch.zeros(1, 20)
    values[0, 4], values[0, 8] = 0.8, 0.9
    assert [peak.centre for peak in map_of(values).peaks(0, min_distance=9)] == [(20.0,)]
    assert [peak.centre for peak in map_of(values).peaks(0, min_distance=7)] == [(20.0,), (12.0,)]


def test_a_plateau_is_one_peak() -> None:
    assert len(map_of(torch.full((1, 3, 3), 0.7)).peaks(0, min_distance=5)) == 1


def test_pixels_are_those_of_the_given_image() -> None:
    m = map_of(hill(12, (5, 5)), scale=0.5)
    (peak,) = m.peaks(0, threshold=0.9)
    assert peak.start == (20.0, 20.0)
    assert peak.stop == (36.0, 36.0)
    assert replace(m, scale=1.0).peaks(0, threshold=0.9)[0].start == (10.0, 10.0)


def plain_suppression(m: ScoreMap, threshold: float, overlap: float) -> list[tuple[float, ...]]:
    """Windows by falling probability, without those that overlap one that was kept."""
    windows = []
    for index in np.ndindex(*m.counts):
        if float(m.scores[(0, *index)]) >= threshold:
            first = tuple(axis[at] for axis, at in zip(m.offsets, index, strict=True))
            windows.append((float(m.scores[(0, *index)]), first))
    windows.sort(key=lambda pair: -pair[0])
    kept: list[tuple[int, ...]] = []
    for _, first in windows:
        shares = []
        for other in kept:
            common = np.prod([max(0, m.window[0] - abs(a - b)) for a, b in zip(first, other, strict=True)])
            shares.append(common / (2 * np.prod(m.window) - common))
        if all(share <= overlap for share in shares):
            kept.append(first)
    return [tuple(map(float, first)) for first in kept]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from([(9,), (6, 7), (4, 3, 5)]),
    st.floats(0, 0.9),
    st.floats(0, 0.8),
)
def test_boxes_are_those_of_plain_suppression(
    seed: int, counts: tuple[int, ...], overlap: float, threshold: float
) -> None:
    m = map_of(torch.rand(1, *counts, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))
    found = m.boxes(0, threshold, overlap)
    assert [box.start for box in found] == plain_suppression(m, threshold, overlap)
    assert sum(box.windows for box in found) == int((m.scores[0] >= threshold).sum())


def test_averaged_boxes_lie_between_their_windows() -> None:
    values = torch.zeros(1, 10)
    values[0, 3:6] = torch.tensor([0.6, 0.9, 0.6])
    (box,) = map_of(values).boxes(0, average=True)
    assert box.start == pytest.approx((8.0,))
    assert (box.probability, box.windows) == (pytest.approx(0.9), 3)


def test_the_evidence_decides_where_probabilities_round_to_one() -> None:
    scores = torch.tensor([[0.0, 0.0, 0.0, 0.0], [60.0, 80.0, 70.0, 90.0]])
    m = replace(map_of(scores), activation="softmax")
    assert [peak.score for peak in m.peaks(1, min_distance=2)] == [90.0, 80.0]


class Blob(nn.Module):
    """Answers to a bright square of a quarter of the window."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inside, whole = x[:, :, 4:12, 4:12].mean((1, 2, 3)), x.mean((1, 2, 3))
        return torch.stack([0.3 + 0 * whole, inside - 2 * (whole - inside / 4)], 1) * 20


def test_a_pyramid_finds_small_and_large_things() -> None:
    image = np.zeros((96, 96), np.float32)
    image[8:16, 8:16] = 1
    image[40:72, 40:72] = 1
    net = ew.Classifier(Blob(), window=(16, 16), channels=1)
    found = ew.pyramid(net, image, scales=(1, 0.5, 0.25), stride=1, progress=False)
    assert found.scales == (1, 0.5, 0.25)
    boxes = found.boxes(1, threshold=0.5)
    sizes = {round(box.stop[0] - box.start[0]): box.centre for box in boxes[:2]}
    assert sizes[16] == pytest.approx((12, 12), abs=2)
    assert sizes[64] == pytest.approx((56, 56), abs=4)
    centres = [peak.centre for peak in found.peaks(1)]
    assert any(np.allclose(centre, (12, 12), atol=2) for centre in centres)
    assert any(np.allclose(centre, (56, 56), atol=4) for centre in centres)


def test_bad_arguments_are_refused() -> None:
    m = map_of(torch.zeros(1, 4))
    with pytest.raises(InputError, match="min_distance"):
        m.peaks(0, min_distance=-1)
    with pytest.raises(InputError, match="overlap"):
        m.boxes(0, overlap=2)
    with pytest.raises(InputError, match="scales"):
        ew.pyramid(nn.Conv2d(1, 2, 4), np.zeros((8, 8), np.float32), scales=(), window=4)
    assert isinstance(m.boxes(0, threshold=0)[0], Detection)


@pytest.mark.parametrize("threshold", [-0.1, 1.1, 50, float("nan")])
def test_a_threshold_that_is_no_probability_is_refused(threshold: float) -> None:
    m = replace(map_of(torch.rand(2, 3, 3)), activation="softmax")
    for found in (m, ew.Pyramid((m,))):
        for ask in (found.peaks, found.boxes):
            with pytest.raises(InputError, match=r"threshold: .* is no probability"):
                ask(0, threshold)
    assert map_of(torch.full((1, 2, 2), 60.0)).boxes(0, threshold=50.0)


def test_the_strongest_is_the_first_peak_in_pixels_of_the_given_image() -> None:
    m = map_of(hill(20, (12, 5)), scale=0.5)
    strongest, (peak, *_), (box, *_) = m.strongest(0), m.peaks(0), m.boxes(0)
    assert strongest == peak
    assert (box.start, box.stop, box.index) == (peak.start, peak.stop, peak.index)
    assert (peak.index, peak.start, peak.stop) == ((12, 5), (48.0, 20.0), (64.0, 36.0))


def test_a_pyramid_answers_as_a_map_does(tmp_path: Path) -> None:
    torch.manual_seed(0)
    maps = tuple(replace(map_of(torch.rand(2, 5, 4), scale=scale), activation="sigmoid") for scale in (1.0, 0.5, 0.25))
    several = ew.Pyramid(maps)
    assert several.strongest(1) == max((m.strongest(1) for m in maps), key=lambda found: found.score)
    torch.testing.assert_close(several.image_scores("max"), sum(m.image_scores("max") for m in maps) / 3)
    several.save(tmp_path / "maps")
    several.save(tmp_path / "maps")
    again = ew.Pyramid.load(tmp_path / "maps")
    assert again.scales == (1.0, 0.5, 0.25)
    assert all(torch.equal(one.scores, other.scores) for one, other in zip(again, several, strict=True))
    (tmp_path / "maps" / "mine.txt").write_text("kept")
    with pytest.raises(InputError, match="something else"):
        several.save(tmp_path / "maps")
    with pytest.raises(InputError, match="not a saved pyramid"):
        ew.Pyramid.load(tmp_path)


def test_the_softmax_over_one_score_is_refused() -> None:
    net = nn.Sequential(nn.Conv2d(1, 1, 8), nn.Flatten())
    with pytest.raises(InputError, match=r"activation: .* always 1; use 'sigmoid'"):
        ew.scan(ew.Classifier(net, 8, activation="softmax"), torch.rand(1, 12, 12))
    ended = nn.Sequential(net, nn.LogSoftmax(1))
    assert ew.scan(ew.Classifier(ended, 8), torch.rand(1, 12, 12)).activation == "none"


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), "far", [2]])
def test_numbers_that_are_none_are_refused(value: Any) -> None:
    m = replace(map_of(torch.zeros(2, 4)), activation="softmax")
    for name, call in (
        ("threshold", lambda: m.peaks(0, threshold=value)),
        ("threshold", lambda: m.boxes(0, threshold=value)),
        ("min_distance", lambda: m.peaks(0, min_distance=value)),
        ("overlap", lambda: m.boxes(0, overlap=value)),
    ):
        with pytest.raises(InputError, match=f"^{name}: "):
            call()


@pytest.mark.parametrize(
    ("klass", "match"),
    [
        ("zebra", "none of crane, dog, crane; give a name"),
        (1.5, "none of"),
        (3, "3 classes; .* 0 to 2"),
        (-1, "0 to 2"),
    ],
)
def test_a_class_that_is_not_there_is_refused(klass: Any, match: str) -> None:
    m = replace(map_of(torch.zeros(3, 4)), classes=("crane", "dog", "crane"))
    for call in (m.peaks, m.boxes, m.strongest):
        with pytest.raises(InputError, match=match):
            call(klass)


def test_a_name_of_two_classes_is_asked_for_by_index() -> None:
    m = replace(map_of(torch.eye(3, 4)), classes=("crane", "dog", "crane"))
    with pytest.raises(InputError, match="class 'crane': it stands for the classes 0, 2; give the index"):
        m.strongest("crane")
    assert m.strongest(2).index == m.strongest("2").index == (2,)


def test_a_pyramid_is_a_sequence_of_maps_that_are_drawn_side_by_side() -> None:
    small, large = map_of(torch.rand(1, 5, 5), scale=0.5), map_of(torch.rand(1, 12, 12))
    found = Pyramid((small, large))
    assert (len(found), found[0], found[-1], list(found)) == (2, small, large, [small, large])
    left, right, _ = found.plot(np.zeros((30, 30, 3), np.uint8)).axes
    assert (left.get_title(), right.get_title()) == ("class 0, scale 0.5", "class 0, scale 1")
    assert left.get_xlim() == pytest.approx((0, 32))  # 16 scanned pixels at scale 0.5
    assert right.get_xlim() == pytest.approx((0, 30))


@pytest.mark.parametrize("scales", [0.5, "0.5,1", None, ()])
def test_scales_that_are_no_list_are_refused(scales: Any) -> None:
    with pytest.raises(InputError, match=r"^scales: "):
        ew.pyramid(Blob(), np.zeros((40, 40), np.float32), scales, window=16)


def test_a_pyramid_that_cannot_be_written_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        Pyramid((map_of(torch.rand(1, 5)),)).save(tmp_path / "file" / "maps")
