"""The comparison's numbers, tables and figure, from records alone."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from everywindow.errors import InputError
from everywindow.geometry.verdict import Reason, Verdict
from everywindow.report import Comparison, Farthest, LeftOut, ModeRun, Sample, ScoreMap, Skipped, in_all

EXACT = Verdict(exact=True)
PADDED = Verdict(False, (Reason("features.0", "zero padding (1, 1)"),))
CROPS = ModeRun("crops", 3.0, 15_000_000_000, EXACT, predicted_seconds=4.0)
FCN = ModeRun(
    "fcn",
    0.25,
    1_000_000_000,
    PADDED,
    max_difference=0.5,
    relative_difference=0.31,
    agreement=0.875,
    mean_difference=0.1,
    relative_mean_difference=0.062,
    rank_correlations=(0.5, None, 0.9),
    farthest=Farthest(2, "face", (0, 3), (10, 20), 0.75, 0.25, (20.0, 40.0), scale=0.5),
    predicted_seconds=0.5,
)
BOTH = Comparison((CROPS, FCN), windows=36)


def test_tables_have_a_row_per_mode_and_the_verdict() -> None:
    head, crops, fcn, _, other, differences, _, windows, verdict, farthest = str(BOTH).splitlines()
    assert head.split()[-4:] == ["mult-adds", "crops/mode", "per", "second"]
    assert crops.split() == ["crops", "3.00", "1.0", "1.0", "15.0", "G", "1.0", "5.0", "G"]
    assert fcn.split() == ["fcn", "0.25", "12.0", "8.0", "1.0", "G", "15.0", "4.0", "G"]
    assert differences.split() == ["fcn", "5.0e-01", "1.0e-01", "3.1e-01", "6.2e-02", "0.7000", "0.5000", "87.5", "%"]
    assert len(fcn) == len(head)
    assert len(differences) == len(other)
    assert windows == "36 windows"
    assert "features.0 (zero padding (1, 1))" in verdict
    assert farthest == "fcn: farthest off in the window that starts at y 20, x 40: face has 0.75, by the crops 0.25"


def test_plain_data_for_json() -> None:
    record = json.loads(BOTH.to_json())
    assert record == json.loads(json.dumps(BOTH.as_dict()))
    assert (record["windows"], record["compared"], record["sample"]) == (36, 36, None)
    assert record["runs"][1] == {
        "mode": "fcn",
        "seconds": 0.25,
        "extrapolated": False,
        "speed_up": 12.0,
        "predicted_seconds": 0.5,
        "predicted_speed_up": 8.0,
        "macs": 1_000_000_000,
        "macs_per_second": 4e9,
        "max_difference": 0.5,
        "relative_difference": 0.31,
        "mean_difference": 0.1,
        "relative_mean_difference": 0.062,
        "rank_correlations": [0.5, None, 0.9],
        "rank_correlation": 0.7,
        "agreement": 0.875,
        "farthest": {
            "klass": 2,
            "name": "face",
            "index": [0, 3],
            "start": [10, 20],
            "score": 0.75,
            "reference": 0.25,
            "scale": 0.5,
            "image": None,
            "place": [20.0, 40.0],
        },
        "exact": False,
        "reasons": [["features.0", "zero padding (1, 1)"]],
        "plan": None,
    }


def test_json_holds_no_infinity() -> None:
    endless = replace(FCN, max_difference=float("inf"), relative_difference=float("inf"))
    record = json.loads(Comparison((CROPS, endless), windows=36).to_json())
    assert record["runs"][1]["max_difference"] is None
    assert "inf" in str(Comparison((CROPS, endless), windows=36))


def test_without_crops_there_is_no_speed_up() -> None:
    alone = Comparison(BOTH.runs[1:], windows=36)
    assert alone.speed_up("fcn") is None
    assert alone.predicted_speed_up("fcn") is None
    assert alone.run("crops") is None
    assert "fcn" in str(alone)
    assert BOTH.speed_up("fcn") == pytest.approx(12)


def test_what_cannot_be_counted_or_predicted_is_left_open() -> None:
    unknown = Comparison((replace(CROPS, macs=0, predicted_seconds=None), replace(FCN, macs=0)), windows=36)
    assert unknown.predicted_speed_up("fcn") is None
    assert unknown.runs[0].macs_per_second is None
    assert str(unknown).splitlines()[1].split() == ["crops", "3.00", "1.0", "unknown"]


def test_several_images_in_all() -> None:
    one = replace(BOTH, name="a.png", left_out=(LeftOut("exact", "net", "no"),))
    small = replace(FCN, seconds=0.75, max_difference=0.2, relative_difference=0.9, agreement=0.5, mean_difference=0.4)
    small = replace(small, rank_correlations=(0.7, None, None), farthest=replace(FCN.farthest, name="cat"))  # type: ignore[type-var]
    other = Comparison((replace(CROPS, seconds=1.0, predicted_seconds=None), small), windows=4, name="b.png")
    total = in_all([one, other], [Skipped("c.png", "cut short")])
    crops, fcn = total.runs
    assert (total.windows, total.compared) == (40, 40)
    assert (crops.seconds, crops.macs, crops.predicted_seconds) == (4.0, 30_000_000_000, None)
    assert (fcn.seconds, fcn.predicted_seconds) == (1.0, 1.0)
    assert (fcn.max_difference, fcn.relative_difference) == (0.5, 0.9)
    assert fcn.agreement == pytest.approx((36 * 0.875 + 4 * 0.5) / 40)
    assert fcn.mean_difference == pytest.approx((36 * 0.1 + 4 * 0.4) / 40)
    assert fcn.rank_correlations == (pytest.approx(0.6), None, 0.9)
    assert fcn.farthest is not None
    assert (fcn.farthest.name, fcn.farthest.image) == ("cat", "b.png")
    text = str(total)
    assert "40 windows of 2 images" in text
    assert "of b.png: cat" in text
    assert text.endswith("1 of 3 images left out:\n  c.png: cut short")
    record = json.loads(total.to_json())
    assert [image["image"] for image in record["images"]] == ["a.png", "b.png"]
    assert record["skipped"] == [{"image": "c.png", "why": "cut short"}]
    assert record["left_out"] == [{"mode": "exact", "layer": "net", "why": "no"}]


def test_a_sample_is_said_to_be_one() -> None:
    sample = Sample(7, (0, 5), ((0, 0), (0, 20)), torch.zeros(2, 2))
    part = Comparison((replace(CROPS, extrapolated=True), FCN), windows=36, sample=sample)
    assert part.compared == 2
    text = str(part)
    assert "~3.00" in text
    assert "compared at 2 random windows of 36" in text
    record = json.loads(part.to_json())
    assert record["sample"] == {"seed": 7, "windows": 2, "starts": [[0, 0], [0, 20]]}
    assert record["runs"][0]["extrapolated"] is True


def a_map(mode: str, scores: torch.Tensor, scale: float = 1.0) -> ScoreMap:
    counts = scores.shape[1:]
    return ScoreMap(
        scores=scores,
        offsets=tuple(tuple(4 * i for i in range(n)) for n in counts),
        window=(6,) * len(counts),
        stride=(4,) * len(counts),
        mode=mode,
        verdict=EXACT,
        classes=("ground", "cell"),
        scale=scale,
        image_size=tuple(4 * n + 2 for n in counts),
    )


@pytest.mark.parametrize("counts", [(9,), (5, 7), (3, 4, 5)])
@pytest.mark.parametrize("sampled", [False, True])
def test_the_figure_marks_the_window_with_the_largest_difference(counts: tuple[int, ...], sampled: bool) -> None:
    crops = torch.randn(2, *counts)
    fcn = crops.clone()
    at = tuple(n - 2 for n in counts)
    fcn[(1, *at)] -= 3.0
    fcn[(0, *(0 for _ in counts))] += 9.0
    maps = {"crops": a_map("crops", crops, 0.5), "fcn": a_map("fcn", fcn, 0.5), "exact": a_map("exact", crops, 0.5)}
    sample = None
    if sampled:
        del maps["crops"]
        flat = (0, int(np.ravel_multi_index(at, counts)))
        sample = Sample(0, flat, tuple((0,) * len(counts) for _ in flat), crops.flatten(1)[:, list(flat)])
    drawn = Comparison(BOTH.runs, windows=crops[0].numel(), maps=maps, sample=sample).plot("cell")
    titles = {axes.get_title(): axes for axes in drawn.axes}
    (different,) = [title for title in titles if title.startswith("fcn less crops")]
    assert different.startswith("fcn less crops: up to 3\n")
    assert "exact less crops: 0 in every window" in titles
    ring = [line for line in titles[different].lines if line.get_marker() == "o"][-1]
    assert ring.get_xdata()[-1] == pytest.approx((4 * at[-1] + 3) / 0.5)
    if len(counts) > 1:
        assert ring.get_ydata()[-1] == pytest.approx((4 * at[-2] + 3) / 0.5)
    drawn.draw_without_rendering()


def test_both_maps_are_on_one_scale_and_differences_around_zero() -> None:
    crops = torch.arange(12.0).reshape(1, 3, 4).repeat(2, 1, 1)
    fcn = crops + torch.tensor([0.0, 1.0])[:, None, None]
    drawn = Comparison(BOTH.runs, 12, maps={"crops": a_map("crops", crops), "fcn": a_map("fcn", fcn)}).plot()
    one, two, _, apart = [axes for axes in drawn.axes if axes.get_label() != "<colorbar>"]
    assert one.images[0].get_clim() == two.images[0].get_clim() == (0.0, 12.0)
    assert apart.images[0].get_clim() == (-1.0, 1.0)
    np.testing.assert_array_equal(apart.images[0].get_array(), np.ones((3, 4)))


def test_columns_are_as_wide_and_as_far_apart_and_nothing_is_in_colours_where_nothing_differs() -> None:
    crops = torch.randn(2, 4, 5, 6)
    maps = {"crops": a_map("crops", crops, 0.3), "fcn": a_map("fcn", crops + 1, 0.3), "exact": a_map("exact", crops)}
    drawn = Comparison(BOTH.runs, 120, maps=maps).plot(1)
    drawn.draw_without_rendering()
    bars = [axes for axes in drawn.axes if axes.get_label() == "<colorbar>"]
    upper = [axes for axes in drawn.axes if axes not in bars][:3]
    first, second, third = (axes.get_position() for axes in upper)
    assert second.x0 - first.x0 == pytest.approx(third.x0 - second.x0, abs=0.02)
    assert first.width == pytest.approx(third.width, abs=0.01)
    assert bars[-1].get_yticks().tolist() == [0.0]
    assert all(re.fullmatch(r"\w+: scores at z [0-9.]+", axes.get_title()) for axes in upper)
    assert max(len(axes.get_title().partition(" at z ")[2]) for axes in upper) <= 4


def test_scores_that_are_not_finite_can_be_drawn() -> None:
    crops = torch.randn(2, 3, 4)
    fcn = crops.clone()
    fcn[1, 2, 1], fcn[1, 0, 0] = float("nan"), 50.0
    drawn = Comparison(BOTH.runs, 12, maps={"crops": a_map("crops", crops), "fcn": a_map("fcn", fcn)}).plot(1)
    assert any("up to inf\nat y 8, x 4" in axes.get_title() for axes in drawn.axes)
    drawn.draw_without_rendering()


def test_what_cannot_be_drawn_says_why() -> None:
    with pytest.raises(InputError, match="no two maps"):
        BOTH.plot()
    maps = {mode: a_map(mode, torch.randn(2, 3, 4)) for mode in ("crops", "exact")}
    with pytest.raises(InputError, match="it is none of ground, cell"):
        Comparison(BOTH.runs, 12, maps=maps).plot("zebra")
