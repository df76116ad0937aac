"""Positions in summaries keep the digits that tell where something is."""

import pytest

from everywindow.cli.texts import _position


@pytest.mark.parametrize(
    ("pixels", "text"),
    [(20_046_376.0, "20046376"), (1_234_567.25, "1234567.2"), (931.679, "931.7"), (0.0, "0"), (30.0, "30")],
)
def test_a_position_has_all_digits_before_the_point(pixels: float, text: str) -> None:
    assert _position(pixels) == text
