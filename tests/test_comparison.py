"""The comparison's numbers and table."""

from __future__ import annotations

import json

import pytest

from everywindow.geometry.verdict import Reason, Verdict
from everywindow.report import Comparison, ModeRun

EXACT = Verdict(exact=True)
PADDED = Verdict(False, (Reason("features.0", "zero padding (1, 1)"),))
BOTH = Comparison(
    (
        ModeRun("crops", 3.0, 15_000_000_000, EXACT),
        ModeRun("fcn", 0.25, 1_000_000_000, PADDED, 0.5, 0.31, 0.875),
    ),
    windows=36,
)


def test_table_has_a_row_per_mode_and_the_verdict() -> None:
    head, crops, fcn, windows, verdict = str(BOTH).splitlines()
    assert crops.split() == ["crops", "3.00", "1.0", "15.0", "G", "1.0", "reference"]
    assert fcn.split() == ["fcn", "0.25", "12.0", "1.0", "G", "15.0", "5.0e-01", "3.1e-01", "87.5", "%"]
    assert head.endswith("same top class")
    assert len(fcn) == len(head)
    assert windows == "36 windows"
    assert "features.0 (zero padding (1, 1))" in verdict


def test_plain_data_for_json() -> None:
    record = json.loads(json.dumps(BOTH.as_dict()))
    assert record["windows"] == 36
    assert record["runs"][1] == {
        "mode": "fcn",
        "seconds": 0.25,
        "speed_up": 12.0,
        "macs": 1_000_000_000,
        "max_difference": 0.5,
        "relative_difference": 0.31,
        "agreement": 0.875,
        "exact": False,
        "reasons": [["features.0", "zero padding (1, 1)"]],
    }


def test_without_crops_there_is_no_speed_up() -> None:
    alone = Comparison(BOTH.runs[1:], windows=36)
    assert alone.speed_up("fcn") is None
    assert alone.run("crops") is None
    assert "fcn" in str(alone)
    assert BOTH.speed_up("fcn") == pytest.approx(12)
