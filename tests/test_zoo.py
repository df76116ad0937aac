"""A dozen of torchvision's classifiers against their crops; ``make zoo`` does all 80."""

from __future__ import annotations

import pytest

pytest.importorskip("torchvision")

from benchmarks.zoo import EQUAL, UNMOVED, Row, examine, line, table

CONVERT = [
    "alexnet",
    "convnext_tiny",
    "googlenet",
    "inception_v3",
    "mnasnet0_5",
    "mobilenet_v2",
    "regnet_x_400mf",
    "resnet18",
    "shufflenet_v2_x0_5",
    "squeezenet1_1",
]


@pytest.mark.slow
@pytest.mark.parametrize("name", CONVERT)
def test_one_pass_is_right_at_the_windows_size_and_honest_beyond(name: str) -> None:
    row = examine(name, exact=False)
    assert not row.wrong, line(row)
    assert row.converts
    assert row.native is not None
    assert row.native <= EQUAL
    assert not row.exact
    assert row.reason
    assert row.larger is not None
    assert row.larger > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vit_b_32", "mobilenet_v3_small"])
def test_what_looks_at_the_whole_window_converts_rightly_or_is_refused_with_the_reason(name: str) -> None:
    row = examine(name, exact=False)
    assert not row.wrong, line(row)
    assert not row.exact
    assert "crops" in row.reason or row.converts
    assert "position" in row.reason or "whole window" in row.reason or row.converts


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mnasnet0_5", "mobilenet_v3_small", "squeezenet1_1"])
def test_the_exact_engine_is_right_at_three_strides(name: str) -> None:
    row = examine(name)
    assert not row.wrong, line(row)
    assert all(0 < found <= EQUAL for found in (row.at_stride, row.at_half, row.at_coprime) if found is not None)
    assert None not in (row.at_stride, row.at_half, row.at_coprime)
    assert row.outside is not None
    assert row.outside <= UNMOVED
    assert row.gain > 1
    assert row.ends


def test_a_wrong_row_is_marked() -> None:
    rows = [
        Row("good", 64, converts=True, native=1e-15),
        Row("bad", 64, converts=True, native=0.1, wrong="differs"),
    ]
    page = table(rows)
    assert "1 rows are wrong" in page
    good, bad = (next(row for row in page.splitlines() if row.startswith(f"| {name} |")) for name in ("good", "bad"))
    assert "WRONG: differs" in bad
    assert "WRONG" not in good
    assert "0 of 2 networks equal their crops at all three strides" in page
