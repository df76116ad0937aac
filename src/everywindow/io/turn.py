"""How a photograph is stored and how it is shown: its EXIF orientation."""

from __future__ import annotations

from dataclasses import dataclass

ORIENTATION = 0x0112
"""The tag, in EXIF and in TIFF."""

UPRIGHT = 1
QUARTERS = (5, 6, 7, 8)
"""Orientations that exchange rows and columns."""

FROM_BELOW = (3, 4, 7, 8)
"""Those that count the rows shown from the stored end of their axis."""

FROM_RIGHT = (2, 3, 6, 7)
"""Those that count the columns shown from the stored end of their axis."""


@dataclass(frozen=True)
class Turn:
    """An orientation other than the upright one.

    Attributes:
        orientation: as EXIF has it, 2 to 8.
        stored: rows and columns as they are stored.

    >>> turn = Turn(6, (30, 40))  # a quarter, clockwise: what is stored at the lower left is shown at the upper left
    >>> turn.shown, turn.point((30, 0))
    ((40, 30), (0, 0))
    """

    orientation: int
    stored: tuple[int, int]

    @property
    def shown(self) -> tuple[int, int]:
        """Rows and columns as they are shown."""
        height, width = self.stored
        return (width, height) if self.orientation in QUARTERS else self.stored

    def point(self, stored: tuple[float, ...]) -> tuple[float, float]:
        """Where a point ``(row, column)`` of the stored pixels, counted from their first edges, is shown."""
        row, column = reversed(stored) if self.orientation in QUARTERS else stored
        height, width = self.shown
        return (
            height - row if self.orientation in FROM_BELOW else row,
            width - column if self.orientation in FROM_RIGHT else column,
        )
