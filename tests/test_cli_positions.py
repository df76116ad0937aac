"""Positions in summaries keep the digits that tell where something is."""

from pathlib import Path

import click
import numpy as np
import pytest
from torch import nn

import everywindow as ew
from everywindow.cli.exporting import export
from everywindow.cli.texts import _position


@pytest.mark.parametrize(
    ("pixels", "text"),
    [(20_046_376.0, "20046376"), (1_234_567.25, "1234567.2"), (931.679, "931.7"), (0.0, "0"), (30.0, "30")],
)
def test_a_position_has_all_digits_before_the_point(pixels: float, text: str) -> None:
    assert _position(pixels) == text


def test_export_calls_its_threshold_by_its_name(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    ew.scan(ew.Classifier(net, 4, channels=1, mean=0, std=1, activation="softmax"), np.zeros((8, 8), np.uint8)).save(
        tmp_path / "m.npz"
    )
    args = ["export", str(tmp_path / "m.npz"), "--to", str(tmp_path / "m.csv"), "--threshold", "50"]
    with pytest.raises(click.UsageError, match=r"^--threshold: 50.0 is no probability"):
        export.main(args[1:], standalone_mode=False)
