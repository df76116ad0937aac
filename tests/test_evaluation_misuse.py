"""What cannot be evaluated: named, counted and left out, or refused in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import everywindow as ew
from everywindow.cli import main
from labelled import CLASSES, classifier, folder


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return folder(tmp_path / "images", each=1)


def centre(images: Path, **options: Any) -> ew.Evaluation:
    return ew.evaluate(classifier(), images, options.pop("protocols", ["centre"]), **options)


def refused(*args: Any, **options: Any) -> str:
    with pytest.raises(ew.InputError) as caught:
        ew.evaluate(*args, **options)
    return str(caught.value)


def test_unreadable_images_are_listed(images: Path, tmp_path: Path) -> None:
    (images / "red" / "broken.png").write_bytes((images / "red" / "red0.png").read_bytes()[:200])
    (images / "red" / "text.jpg").write_text("no image")
    (images / "red" / "notes.txt").write_text("none, and nobody took it for one")
    for _ in range(2):  # also where they are known from the run before
        result = centre(images, out=tmp_path / "out")
        assert len(result.images) == 9
        assert [problem.what for problem in result.problems] == ["red/broken.png", "red/text.jpg"]
        assert "damaged or cut short" in result.problems[0].why
        assert "not an image" in result.problems[1].why
        assert "1 image left out: " in str(result)
        assert "\n  red/broken.png: damaged" in str(result)
    assert "red/broken.png: damaged" in refused(classifier(), images, ["centre"], strict=True)


def test_labels_without_images_and_the_reverse(images: Path, tmp_path: Path) -> None:
    (images / "blue" / "blue0.png").rename(images / "alone.png")
    (images / "empty").mkdir()
    result = centre(images)
    assert sorted(map(str, result.problems)) == [
        "alone.png: an image without a label: it lies in no class' folder",
        "empty/: a label without images: there is none in the folder",
    ]
    assert "in no class' folder" in refused(classifier(), images, strict=True)

    file = tmp_path / "list.csv"
    file.write_text("path,label\nimages/red/red0.png,red\nimages/red/gone.png,red\nimages/red/red1.png,\n,red\n")
    result = centre(file)
    assert [str(problem) for problem in result.problems] == [
        "images/red/gone.png: a label without an image: there is no such file",
        "list.csv, line 4: images/red/red1.png has no label",
        "list.csv, line 5: there is no path in it",
    ]
    assert len(result.images) == 1
    assert any("2 images beside those of the CSV have no label" in note for note in result.notes)


def test_an_image_with_two_labels_counts_once(images: Path, tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    file.write_text("images/red/red0.png,red\nimages/red/red0.png,blue\n")
    result = centre(file)
    assert [image.label for image in result.images] == ["red"]
    assert "the first label counts" in result.problems[0].why


def test_labels_that_are_no_classes(images: Path) -> None:
    (images / "red").rename(images / "rouge")
    told = refused(classifier(), images)
    assert "1 of 3 are none of the classifier's: rouge (its classes are red, green, blue)" in told
    assert "classes=" in told
    result = ew.evaluate(classifier(), images, ["centre"], classes=["rouge", "green", "blue"])
    assert result.classes == ("rouge", "green", "blue")


def test_a_classifier_without_names(images: Path) -> None:
    result = ew.evaluate(classifier(classes=None), images, ["centre"])
    assert result.classes == ("blue", "green", "red")  # in alphabetical order, as folders are read elsewhere
    assert "its outputs are taken to be, in this order, blue, green, red" in result.notes[0]
    told = refused(classifier(classes=None, outputs=7), images)
    assert "it has 7 classes without names" in told
    assert "2 names for 3 scores" in refused(classifier(), images, classes=["a", "b"])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"protocols": ["centre", "nine"]}, "protocols: 'nine' is none of centre, mirrored, five"),
        ({"protocols": []}, "protocols: there are none"),
        ({"reductions": ["median"]}, "reductions: 'median' is none of mean_probability"),
        ({"scales": [1, -1]}, "scales: 1, -1 cannot be used; give factors above 0, such as 1 and 0.5"),
        ({"scales": []}, "scales: [] cannot be used"),
        ({"overlaps": [1.5]}, "overlaps: 1.5 cannot be used"),
        ({"resize": 0}, "resize: 0 is no whole number of 1 or more; give one"),
        ({"small": "crop"}, "small: 'crop' is none of resize, pad, skip"),
        ({"seed": -1}, "seed: -1 is no whole number of 0 or more"),
        ({"stride": 0}, "stride"),
        ({"boxes": "nowhere"}, "nowhere: no such file"),
    ],
)
def test_arguments_are_checked_before_anything_runs(images: Path, options: dict[str, Any], told: str) -> None:
    assert told in refused(classifier(), images, **options)


def test_a_stride_larger_than_the_image(images: Path) -> None:
    result = centre(images, protocols=["exact"], stride=19)
    assert len(result.images) == 3  # those of 20×26
    assert "stride" in result.problems[0].why
    assert "19×19 pixels are more than the image of 17×15 has" in result.problems[0].why
    told = refused(classifier(), images, ["exact"], stride=99)
    assert told.startswith("stride: no image is as large, the first: blue/blue0.png: 99×99 pixels are more than")
    Image.open(images / "red" / "red0.png").save(images / "loose.png")  # what is left out already is not the reason
    assert refused(classifier(), images, ["exact"], stride=99) == told


def test_images_smaller_than_the_window(images: Path) -> None:
    Image.fromarray(np.full((8, 40, 3), 200, np.uint8)).save(images / "red" / "flat.png")
    resized, padded, skipped = (centre(images, small=small) for small in ("resize", "pad", "skip"))
    assert any("1 of 10 images are smaller than the window, and were resized" in note for note in resized.notes)
    assert any("padded with the mean" in note for note in padded.notes)
    assert [problem.what for problem in skipped.problems] == ["red/flat.png"]
    assert "8×40 pixels are smaller than the window of 12×12" in skipped.problems[0].why
    one, other = (next(i for i in r.images if "flat" in i.name).answers["centre"] for r in (resized, padded))
    assert one.probability != other.probability


@pytest.mark.parametrize("what", ["nowhere", "file.txt", "empty", "flat"])
def test_what_is_no_labelled_folder(tmp_path: Path, what: str) -> None:
    (tmp_path / "file.txt").write_text("x")
    (tmp_path / "empty").mkdir()
    folder(tmp_path / "more", each=1)
    (tmp_path / "more" / "red").rename(tmp_path / "flat")
    told = refused(classifier(), tmp_path / what)
    wanted = {"nowhere": "no such folder", "file.txt": "neither a folder nor a CSV"}
    assert wanted.get(what, "no folder per class") in told


def test_what_is_no_csv(tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    file.write_bytes(b"\xff\xfe\x00red")
    assert "cannot be read as a CSV" in refused(classifier(), file)
    file.write_text("")
    assert "no image in it" in refused(classifier(), file)


def test_scores_that_are_not_finite(images: Path) -> None:
    clf = classifier()
    nn.init.constant_(clf.module[5].bias, float("nan"))
    assert "not finite" in refused(clf, images, ["centre"])


def test_out_among_the_images_or_in_the_way(images: Path, tmp_path: Path) -> None:
    for out in (images, images / "out"):
        assert "lies in the folder of the images" in refused(classifier(), images, out=out)
    (tmp_path / "taken").write_text("x")
    assert "is no folder to write to" in refused(classifier(), images, out=tmp_path / "taken")


def test_a_network_without_a_conversion(images: Path) -> None:
    """By default ``fcn`` is left out with the reason; asked for, it is an error."""

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(3, 8, 4, stride=4)
            self.mix = nn.MultiheadAttention(8, 2, batch_first=True)
            self.last = nn.Linear(8 * 9, 3)

        def forward(self, x: Any) -> Any:
            tokens = self.first(x).flatten(2).transpose(1, 2)
            tokens = tokens + self.mix(tokens, tokens, tokens, need_weights=False)[0]
            tokens = tokens + self.mix(tokens, tokens, tokens, need_weights=False)[0]
            return self.last(tokens.flatten(1))

    clf = ew.Classifier(Attention().eval(), 12, mean=[0.5] * 3, std=[0.5] * 3, classes=CLASSES)
    result = ew.evaluate(clf, images)
    assert [each.mode for each in result.left_out] == ["fcn"]
    assert "exact, max" in {row.name for row in result.rows}
    assert "fcn: no conversion" in str(result)
    with pytest.raises(ew.ConversionError, match=r": no fcn; leave fcn out of protocols=$"):
        ew.evaluate(clf, images, ["fcn"])
    with pytest.raises(ew.ConversionError, match=r": no fcn; leave fcn out of modes=$"):
        ew.compare(clf, torch.rand(3, 20, 20), modes=["crops", "fcn"], progress=False)


def test_what_is_said_of_many_images_is_said_once(images: Path) -> None:
    for file in images.rglob("*.png"):
        Image.open(file).convert("RGBA").save(file)
    assert "9 images: transparency is dropped" in centre(images).notes


def test_the_command(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle, out = str(tmp_path / "bundle"), tmp_path / "out"
    classifier().save(bundle)
    (images / "red" / "text.jpg").write_text("no image")
    line = ["evaluate", str(images), "--model", bundle, "--protocols", "ten,exact", "--stride", "3", "--out", str(out)]
    assert main([*line, "--json", "--scales", "1,1.5", "--reductions", "max"]) == 0
    ran = capsys.readouterr()
    record = json.loads(ran.out)
    assert [method["name"] for method in record["methods"]] == ["centre", "ten", "exact, max", "exact, max, 2 scales"]
    assert record["problems"] == [{"what": "red/text.jpg", "why": "not an image that can be read", "kind": "image"}]
    assert record["files"] == [str(out / "results.csv"), str(out / "report.html")]
    assert all(Path(file).exists() for file in record["files"])
    assert "exact, max, 2 scales" in ran.err

    assert main([*line, "--seed", "1"]) == 1
    told = capsys.readouterr().err
    assert "holds an evaluation of 10 images with other reductions (max, and now mean_probability,mean_score," in told
    assert "give --out another folder, or --overwrite to lose that one" in told
    line.append("--overwrite")
    assert main([*line, "--strict"]) == 1
    assert capsys.readouterr().err.startswith("everywindow: red/text.jpg: not an image that can be read; ")
    (tmp_path / "names.txt").write_text("red\ngreen\nazure\n")
    assert main([*line, "--classes", str(tmp_path / "names.txt")]) == 1
    told = capsys.readouterr().err
    assert "1 of 3 are none of the classifier's: blue" in told
    assert "--classes" in told
    assert main([*line, "--classes", "red,green,blue"]) == 0
    assert main(["evaluate", str(images), "--model", bundle, "--protocols", "nine"]) == 2
    assert "everywindow: --protocols: 'nine' is none of" in capsys.readouterr().err
    assert main(["evaluate", str(images), "--model", bundle, "--out", f"{bundle}/out"]) == 1
    assert main(["evaluate", str(images), "--model", bundle, "--scales", "one"]) == 2


@pytest.mark.parametrize("given", [[1, 2], 3, None])
def test_what_is_no_path(given: Any) -> None:
    with pytest.raises(ew.InputError, match=r"images: a (list|int|NoneType) is no path; give a folder"):
        ew.evaluate(classifier(), given)


def test_a_csv_of_other_columns_is_named_once(images: Path, tmp_path: Path) -> None:
    file = tmp_path / "l3.csv"
    file.write_text("file;klass\nimages/red/red0.png;red\n")
    told = refused(classifier(), file)
    assert told.endswith(
        "l3.csv: its first line, 'file;klass', has no comma but semicolons; separate the columns path,label by commas"
    )
    file.write_text("file,klass\nimages/red/red9.png,red\n")
    told = refused(classifier(), file)
    assert told.count("l3.csv") == 1
    assert "no image in it can be used, the first because: file: a label without an image" in told
