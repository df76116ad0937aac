"""``ew.evaluate`` against plain loops over crops and windows, and what it does about interruptions and changes."""

from __future__ import annotations

import csv
import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms import functional as tv

import everywindow as ew
from everywindow.evaluation.protocols import PROTOCOLS, corners_and_centre
from everywindow.evaluation.summary import share
from labelled import CLASSES, MEAN, STD, WINDOW, classifier, folder

STRIDE = 3
EVERY = ("mirrored", "five", "ten", "exact", "fcn", "crops")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return folder(tmp_path / "images")


def normalised(path: Path, scale: float = 1.0) -> Tensor:
    unit = torch.from_numpy(np.array(Image.open(path))).movedim(-1, 0).float() / 255
    if scale != 1:
        sizes = [round(extent * scale) for extent in unit.shape[1:]]
        unit = F.interpolate(unit[None], size=sizes, mode="bilinear", antialias=True)[0]
    return (unit - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


def scores_of(clf: ew.Classifier, crops: list[Tensor]) -> Tensor:
    with torch.no_grad():
        return torch.stack([clf.module(crop[None])[0] for crop in crops]).double()


def windows(pixels: Tensor, stride: int) -> list[Tensor]:
    height, width = pixels.shape[1:]
    return [
        pixels[:, top : top + WINDOW, left : left + WINDOW]
        for top in range(0, height - WINDOW + 1, stride)
        for left in range(0, width - WINDOW + 1, stride)
    ]


def expected(clf: ew.Classifier, name: str, pixels: Tensor) -> Tensor:
    """A method's probabilities, by loops and torchvision's crops."""
    size = [WINDOW, WINDOW]
    crops = {
        "centre": lambda: [tv.center_crop(pixels, size)],
        "mirrored": lambda: [tv.center_crop(pixels, size), tv.hflip(tv.center_crop(pixels, size))],
        "five": lambda: list(tv.five_crop(pixels, size)),
        "ten": lambda: [view for crop in tv.five_crop(pixels, size) for view in (crop, tv.hflip(crop))],
    }
    if name in crops:
        return scores_of(clf, crops[name]()).softmax(1).mean(0)
    scores = scores_of(clf, windows(pixels, STRIDE))
    kind = name.partition(", ")[2]
    reduced = {
        "mean_probability": lambda: scores.softmax(1).mean(0),
        "mean_score": lambda: scores.mean(0).softmax(0),
        "max": lambda: scores.amax(0).softmax(0),
    }
    return reduced[kind]()


def agree(answer: Any, wanted: Tensor, label: int) -> None:
    assert answer.top == tuple(wanted.argsort(descending=True).tolist())
    assert answer.probability == pytest.approx(float(wanted.max()), abs=1e-5)
    assert answer.label_probability == pytest.approx(float(wanted[label]), abs=1e-5)
    assert answer.rank == int((wanted > wanted[label]).sum())


def test_every_method_is_that_of_plain_loops(images: Path) -> None:
    clf = classifier(padding=0)  # so that one pass is exact too
    result = ew.evaluate(clf, images, EVERY, stride=STRIDE)
    assert [row.name for row in result.rows][:4] == ["centre", "mirrored", "five", "ten"]
    assert len(result.rows) == 4 + 3 * 3
    assert len(result.images) == 18
    for image in result.images:
        pixels, label = normalised(image.path), CLASSES.index(image.path.parent.name)
        for row in result.rows:
            agree(image.answers[row.name], expected(clf, row.name, pixels), label)


def test_a_padded_network_differs_in_one_pass_alone(images: Path) -> None:
    clf = classifier(padding=1)
    result = ew.evaluate(clf, images, ("exact", "fcn"), stride=STRIDE, reductions=["max"])
    apart = 0.0
    for image in result.images:
        wanted = expected(clf, "exact, max", normalised(image.path))
        agree(image.answers["exact, max"], wanted, CLASSES.index(image.path.parent.name))
        apart = max(apart, abs(image.answers["fcn, max"].probability - float(wanted.max())))
    assert apart > 1e-3


def test_shares_are_counted_and_changes_named(images: Path) -> None:
    clf = classifier()
    result = ew.evaluate(clf, images, ("ten", "exact"), stride=STRIDE, reductions=["max"])
    centre, ten = ({image.name: image.answers[name] for image in result.images} for name in ("centre", "ten"))
    right = {name: centre[name].rank == 0 for name in centre}
    row = result.row("ten")
    assert row is not None
    assert row.top1 is not None
    assert row.gain is not None
    assert 0 < result.rows[0].top1.value == sum(right.values()) / 18 < 1
    assert row.top1.value == sum(answer.rank == 0 for answer in ten.values()) / 18
    assert row.corrected == sum(ten[name].rank == 0 and not right[name] for name in right)
    assert row.spoilt == sum(ten[name].rank != 0 and right[name] for name in right)
    assert row.gain.value == pytest.approx((row.corrected - row.spoilt) / 18)
    assert row.top5 is None  # there are three classes
    changed = {change.image for change in result.changed("exact, max")}
    assert changed == {i.name for i in result.images if i.answers["exact, max"].top[0] != i.answers["centre"].top[0]}
    assert 0 < len(changed) == result.row("exact, max").changed < 18
    assert result.changed("centre") == ()


def test_several_scales_are_averaged(images: Path) -> None:
    clf = classifier()
    result = ew.evaluate(clf, images, ["exact"], stride=STRIDE, reductions=["mean_score"], scales=(1.5, 2))
    assert [row.name for row in result.rows] == ["centre", "exact, mean_score", "exact, mean_score, 2 scales"]
    for image in result.images:
        both = [expected(clf, "exact, mean_score", normalised(image.path, scale)) for scale in (1.5, 2)]
        label = CLASSES.index(image.path.parent.name)
        agree(image.answers["exact, mean_score"], both[0], label)
        agree(image.answers["exact, mean_score, 2 scales"], (both[0] + both[1]) / 2, label)
        several, one = (image.answers[row.name].seconds for row in result.rows[:0:-1])
        assert several > one > 0


def test_resize_is_of_the_shorter_side(images: Path) -> None:
    clf = classifier()
    result = ew.evaluate(clf, images, ["centre"], resize=16)
    for image in result.images:
        pixels = normalised(image.path, 16 / min(np.asarray(Image.open(image.path)).shape[:2]))
        agree(image.answers["centre"], expected(clf, "centre", pixels), CLASSES.index(image.path.parent.name))


def test_top_five_of_many_classes(tmp_path: Path) -> None:
    images, clf = folder(tmp_path / "images"), classifier(classes=None, outputs=9)
    for number, name in enumerate(CLASSES):
        (images / name).rename(images / str(number))
    result = ew.evaluate(clf, images, ["centre"])
    ranks = [image.answers["centre"].rank for image in result.images]
    assert result.classes[:4] == ("0", "1", "2", "class 3")
    assert result.rows[0].top5.value == sum(rank < 5 for rank in ranks) / 18
    assert result.rows[0].top1.value < result.rows[0].top5.value < 1


def test_a_single_score_is_two_classes(tmp_path: Path) -> None:
    images, clf = folder(tmp_path / "images"), classifier(classes=("blue",), outputs=1)
    for image in (images / "green").iterdir():
        image.rename(images / "red" / image.name)
    (images / "green").rmdir()
    (images / "red").rename(images / "other")
    result = ew.evaluate(clf, images, ["centre"])
    assert result.classes == ("other", "blue")
    for image in result.images:
        probability = float(scores_of(clf, [tv.center_crop(normalised(image.path), [WINDOW, WINDOW])]).sigmoid())
        wanted, label = torch.tensor([1 - probability, probability]), int(image.label == "blue")
        agree(image.answers["centre"], wanted, label)


def test_a_csv_says_the_same_as_the_folder(images: Path, tmp_path: Path) -> None:
    rows = [(f"images/{file.parent.name}/{file.name}", file.parent.name) for file in sorted(images.rglob("*.png"))]
    named, plain = tmp_path / "named.csv", tmp_path / "plain.csv"
    named.write_text("note,label,path\n" + "".join(f"x,{label},{path}\n" for path, label in rows), "utf-8")
    plain.write_text("".join(f"{path},{label}\n" for path, label in rows), "utf-8")
    of_folder = ew.evaluate(classifier(), images, ["ten"])
    for file in (named, plain):
        result = ew.evaluate(classifier(), file, ["ten"])
        assert [row.top1 for row in result.rows] == [row.top1 for row in of_folder.rows]
        assert [image.name for image in result.images] == [path for path, _ in rows]
        assert result.problems == ()


def test_crops_of_other_numbers_of_axes() -> None:
    assert len(corners_and_centre((9,), (4,))) == 3
    assert len(corners_and_centre((9, 9, 9), (4, 4, 4))) == 9
    assert {protocol.name for protocol in PROTOCOLS.values() if protocol.mode} == {"exact", "fcn", "crops"}


def test_the_interval_is_that_of_a_plain_bootstrap() -> None:
    values = [1] * 30 + [0] * 9 + [-1] * 4
    rng = np.random.default_rng(5)
    means = [rng.choice(values, len(values)).mean() for _ in range(10_000)]
    found = share(values, seed=1)
    assert found.value == pytest.approx(np.mean(values))
    assert found.low == pytest.approx(np.quantile(means, 0.025), abs=0.015)
    assert found.high == pytest.approx(np.quantile(means, 0.975), abs=0.015)
    assert share(values, seed=1) == found


def test_the_interval_of_equal_values_is_the_binomial_one() -> None:
    found = share([1] * 68)
    assert found.high == 1
    assert found.low**68 == pytest.approx(0.025)  # so seldom would all be right, were the share as low
    assert (share([0] * 68).low, share([0] * 68).high) == (0, pytest.approx(1 - found.low))
    assert share([0] * 68, least=-1).low == pytest.approx(found.low - 1)


def run_counted(monkeypatch: pytest.MonkeyPatch, clf: ew.Classifier, *args: Any, **options: Any) -> tuple[Any, int]:
    """The result, and how many images were measured for it."""
    from everywindow.evaluation import run

    count, measured = 0, run.measured

    def counted(*given: Any) -> Any:
        nonlocal count
        count += 1
        return measured(*given)

    monkeypatch.setattr(run, "measured", counted)
    result = ew.evaluate(clf, *args, **options)
    monkeypatch.setattr(run, "measured", measured)
    return result, count


def test_a_run_goes_on_where_it_was(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, clf, options = tmp_path / "out", classifier(), {"stride": STRIDE}
    first, count = run_counted(monkeypatch, clf, images, ["ten"], out=out, **options)
    assert count == 18
    again, count = run_counted(monkeypatch, classifier(), images, ["ten"], out=out, **options)
    assert count == 0
    assert again.images == first.images
    assert again.rows == first.rows

    state = out / "images.jsonl"
    lines = state.read_text().splitlines(keepends=True)
    state.write_text("".join(lines[:8]) + lines[8][:20])  # stopped in the middle of the eighth image
    again, count = run_counted(monkeypatch, clf, images, ["ten"], out=out, **options)
    assert count == 18 - 7
    assert [row.top1 for row in again.rows] == [row.top1 for row in first.rows]
    assert len(state.read_text().splitlines()) == 19

    changed = images / "red" / "red0.png"
    Image.open(changed).rotate(90, expand=True).save(changed)
    _, count = run_counted(monkeypatch, clf, images, ["ten"], out=out, **options)
    assert count == 1
    (images / "green" / "green1.png").rename(images / "blue" / "green1.png")
    _, count = run_counted(monkeypatch, clf, images, ["ten"], out=out, **options)
    assert count == 1


@pytest.mark.parametrize(
    "change",
    [{"stride": 5}, {"protocols": ["five"]}, {"small": "pad"}, {"scales": [1.2]}, {"resize": 14}, {"dtype": "float64"}],
)
def test_other_settings_are_refused_or_begin_anew(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    out = tmp_path / "out"
    usual: dict[str, Any] = {"protocols": ["ten"], "stride": STRIDE, "out": out}
    ew.evaluate(classifier(), images, **usual)
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    with pytest.raises(ew.InputError, match=r"holds an evaluation of 18 images with (an)?other .*overwrite=True"):
        ew.evaluate(classifier(), images, **{**usual, **change})
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before
    result, count = run_counted(monkeypatch, classifier(), images, **{**usual, **change}, overwrite=True)
    assert count == 18
    assert any("measured anew" in note for note in result.notes)


def test_another_classifier_is_refused_or_begins_anew(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual: dict[str, Any] = {"protocols": ["ten"], "out": tmp_path / "out"}
    ew.evaluate(classifier(), images, **usual)
    other = classifier()
    for change in ("weights", "code"):
        if change == "weights":
            with torch.no_grad():
                other.module[0].weight[0, 0, 0, 0] += 1e-6
        else:
            other.module[1] = torch.nn.Sigmoid()  # the same weights
        with pytest.raises(ew.InputError, match="another classifier; give out= another folder"):
            ew.evaluate(other, images, **usual)
        assert run_counted(monkeypatch, other, images, **usual, overwrite=True)[1] == 18


def test_code_that_gives_nearly_the_same_scores_is_another_classifier(images: Path, tmp_path: Path) -> None:
    """Slopes of 0.1 and of 0.1001 have the same weights, and scores a thousandth apart."""
    usual: dict[str, Any] = {"protocols": ["ten"], "out": tmp_path / "out"}
    one, other = classifier(), classifier()
    one.module[1], other.module[1] = torch.nn.LeakyReLU(0.1), torch.nn.LeakyReLU(0.1001)
    ew.evaluate(one, images, **usual)
    with pytest.raises(ew.InputError, match="another classifier"):
        ew.evaluate(other, images, **usual)


def test_other_images_do_not_go_into_the_same_folder(images: Path, tmp_path: Path) -> None:
    ew.evaluate(classifier(), images, ["ten"], out=tmp_path / "out")
    for file in list(images.rglob("*.png")):
        file.rename(file.with_name(f"new-{file.name}"))
    with pytest.raises(ew.InputError, match="18 images with another set of images"):
        ew.evaluate(classifier(), images, ["ten"], out=tmp_path / "out")


def test_a_run_that_goes_on_says_so(images: Path, tmp_path: Path) -> None:
    first, again = (ew.evaluate(classifier(), images, ["ten"], out=tmp_path / "out") for _ in range(2))
    assert not any("earlier run" in note for note in first.notes)
    assert "18 of 18 images are as an earlier run measured them" in str(again)


def test_the_page_says_what_was_evaluated(images: Path, tmp_path: Path) -> None:
    """Model, images, device and settings that were not given; no column without anything in it."""
    classifier().save(tmp_path / "wonder")
    ew.evaluate(ew.load(tmp_path / "wonder"), images, ["ten"], out=tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    for told in ("wonder", str(images), "cpu", "as they are", "the network&#x27;s", f"{date.today():%Y-%m-}"):
        assert told in page
    assert ">top-1<" in page
    assert ">top-5<" not in page


def test_values_as_they_are(tmp_path: Path) -> None:
    """A recording in units of its own, channels last, as a file and from a shell."""
    net = torch.nn.Sequential(torch.nn.Conv1d(2, 2, 8), torch.nn.Flatten())
    clf = ew.Classifier(net, window=8, classes=["rest", "work"])
    for name in clf.classes or ():
        (tmp_path / "images" / name).mkdir(parents=True)
        np.save(tmp_path / "images" / name / "1.npy", 1000 * np.random.default_rng(0).random((30, 2), np.float32))
    with pytest.raises(ew.InputError, match=r"raw=True"):
        ew.evaluate(clf, tmp_path / "images", ["exact"])
    result = ew.evaluate(clf, tmp_path / "images", ["exact"], raw=True, reductions=["mean_score"])
    values = torch.from_numpy(np.load(tmp_path / "images" / "rest" / "1.npy")).T
    expected = ew.scan(clf, values, progress=False).image_scores("mean_score")
    assert result.images[0].answers["exact, mean_score"].probability == pytest.approx(float(expected.max()), abs=1e-6)
    compared = ew.compare(clf, tmp_path / "images" / "rest" / "1.npy", raw=True, progress=False)
    assert compared.windows == 23
    with pytest.raises(ew.InputError, match=r"has 30 channels .*channels last"):
        ew.compare(clf, np.zeros((2, 30), np.float32), raw=True)


def test_files_say_what_was_found(images: Path, tmp_path: Path) -> None:
    (images / "red" / "<b>odd & \"name'.png").write_bytes((images / "red" / "red0.png").read_bytes())
    out = tmp_path / "out"
    result = ew.evaluate(classifier(), images, ("ten", "exact"), stride=STRIDE, out=out)
    with (out / "results.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 19 * len(result.rows)
    for row in result.rows:
        mine = [line for line in rows if line["method"] == row.name]
        assert np.mean([int(line["right"]) for line in mine]) == pytest.approx(row.top1.value)
        assert sum(int(line["changed"]) for line in mine) == row.changed
    page = (out / "report.html").read_text("utf-8")
    assert "<b>odd" not in page
    assert "http" not in page  # nothing is fetched
    assert f"{100 * result.rows[1].top1.value:.1f}\u00a0%" in page
    assert page.count("<img") == min(60, sum(len({a.top[0] for a in i.answers.values()}) > 1 for i in result.images))
    json.dumps(result.as_dict())
