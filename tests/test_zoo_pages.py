"""What the zoo's pages say follows from its rows alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torchvision")
pytest.importorskip("timm")

from benchmarks.section import section_of, with_section
from benchmarks.zoo.families import family_of, is_toy, leading_word, smallest_of_each
from benchmarks.zoo.kept import Limits, rows_for
from benchmarks.zoo.networks import names
from benchmarks.zoo.page import page
from benchmarks.zoo.readme import SECTION, readme_section
from benchmarks.zoo.results import Results
from benchmarks.zoo.row import CONTEXT, KINDS, PLAIN, TAKEN, Row, may_be_refused

ROOT = Path(__file__).resolve().parents[1]
ROWS = ROOT / "docs" / "zoo.json"

GOOD = Row("torchvision", "good", "good", 64, converts=PLAIN, native=1e-15, at_stride=1e-15, at_coprime=1e-14, gain=2.0)
BAD = replace(GOOD, name="bad", native=0.1, at_stride=0.1, wrong="differs")
NONE = Row("timm", "vit_x", "file/vit", 224, at_stride=1e-15, gain=1.3, reason="cat: over the positions")
LATE = Row("timm", "late", "file/late", untried="takes longer than 9 s")


def _results(*rows: Row) -> Results:
    return Results(rows, {"torchvision": "1", "timm": "2"}, {"torchvision": 80, "timm": 1371}, threads=1)


def test_a_wrong_row_is_marked() -> None:
    text = page(_results(GOOD, BAD))
    good, bad = (next(row for row in text.splitlines() if row.startswith(f"| {name} |")) for name in ("good", "bad"))
    assert "WRONG: differs" in bad
    assert "WRONG" not in good
    assert "Rows that are wrong: 1." in text
    assert "for 1 of 2 networks" in text


def test_what_was_not_tried_is_counted_and_shown() -> None:
    text = page(_results(GOOD, NONE, LATE))
    assert "2 of the 1,371 classifiers of timm 2, from 2 families" in text
    assert any(row.startswith("| not tried |") and row.endswith("| 0 | 1 |") for row in text.splitlines())
    assert "not tried: takes longer than 9 s" in text
    assert all(row.count("|") == 19 for row in text.splitlines() if row.startswith(("| good", "| vit_x", "| late")))


def test_the_kind_follows_from_what_was_found() -> None:
    rows = [*(replace(GOOD, converts=how) for how in (PLAIN, CONTEXT, TAKEN)), NONE, replace(NONE, gain=1.0)]
    rows += [replace(NONE, refused=True), LATE]
    assert [row.kind for row in rows] == list(KINDS)


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    written = _results(GOOD, BAD, NONE, LATE)
    written.write(tmp_path / "rows.json")
    assert Results.read(tmp_path / "rows.json") == written


def test_readme_lists_families_by_kind() -> None:
    text = readme_section(_results(GOOD, replace(GOOD, family="plain", exact=True), NONE, LATE))
    assert "| convolutional: 2 | 1 equal, the others near | 2.00 times fewer mult-adds" in text
    assert text.count("| good, plain |") == 1
    assert "| hybrid: 1 | none |" in text


def test_readme_and_page_are_those_of_the_rows() -> None:
    if not ROWS.exists():
        pytest.skip("no docs/zoo.json: make zoo writes it")
    results = Results.read(ROWS)
    readme, kept = (ROOT / "README.md").read_text(), (ROOT / "docs" / "zoo.md").read_text()
    assert with_section(readme, readme_section(results), SECTION) == readme
    assert kept.removesuffix(section_of(kept)).rstrip() == page(results).rstrip()


def test_the_readme_has_a_place_for_the_list() -> None:
    assert section_of((ROOT / "README.md").read_text(), SECTION)


def test_each_family_has_a_network_and_each_network_a_family() -> None:
    chosen = smallest_of_each()
    assert {family_of("timm", name) for name in names("timm")} == set(chosen)
    assert all(family_of("timm", name) == family for family, name in chosen.items())
    toys = {name for name in chosen.values() if is_toy(name)}
    assert toys == {"test_byobnet"}, "a test network stands for a family that has another"


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("resnet50d", "resnet"),
        ("res2net50_26w_4s", "res2net"),
        ("convnextv2_atto", "convnextv2"),
        ("tf_efficientnet_b0", "tf_efficientnet"),
        ("dla102x2", "dla"),
        ("test_vit2", "vit"),
    ],
)
def test_the_leading_word_leaves_sizes_out(name: str, word: str) -> None:
    assert leading_word(name) == word


def test_families_that_may_be_refused_are_named() -> None:
    assert may_be_refused("timm", "vision_transformer/vit")
    assert may_be_refused("timm", "metaformer/caformer")
    assert not may_be_refused("timm", "metaformer/poolformer")
    assert not may_be_refused("torchvision", "resnet")


def test_a_network_that_takes_too_long_is_not_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.zoo.kept.CACHE", tmp_path)
    rows = list(rows_for([("timm", "vgg11")], Limits(seconds=1, threads=1, workers=1)))
    assert [row.untried for row in rows] == ["takes longer than 1 s"]
    assert (tmp_path / "timm" / "vgg11.json").exists()
