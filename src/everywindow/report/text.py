"""Numbers and tables in words."""

from __future__ import annotations


def table(rows: list[tuple[str, ...]], left: int = 1) -> str:
    """Rows of text as columns: the first ``left`` ones to the left, the others to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = (
        [cell.ljust(w) if at < left else cell.rjust(w) for at, (cell, w) in enumerate(zip(row, widths, strict=True))]
        for row in rows
    )
    return "\n".join("  ".join(cells).rstrip() for cells in lines)


def quantity(count: int) -> str:
    """A count with a decimal prefix.

    >>> quantity(15_470_264_320)
    '15.5 G'
    """
    for power, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= power:
            return f"{count / power:.1f} {prefix}"
    return str(count)


def amount(count: int) -> str:
    """Bytes for people.

    >>> amount(3_500_000)
    '3.5 MB'
    """
    return f"{quantity(count)}B" if count >= 1000 else f"{count} B"


def seconds_text(seconds: float) -> str:
    """Seconds for people: two digits of small ones.

    >>> seconds_text(12.345), seconds_text(0.00731)
    ('12.35', '0.0073')
    """
    return f"{seconds:,.2f}" if seconds >= 0.1 or not seconds else f"{seconds:.2g}"


def counted(count: int, noun: str) -> str:
    """A number of things.

    >>> counted(1, "window"), counted(2_000, "window"), counted(2, "box")
    ('1 window', '2,000 windows', '2 boxes')
    """
    ending = "" if count == 1 else "es" if noun.endswith("x") else "s"
    return f"{count:,} {noun}{ending}"


ROUGH = "predictions for recordings and volumes are rough: off by up to 4 times"


def rough(axes: int) -> list[str]:
    """What is to be said of predicted seconds, by the number of spatial axes: rates were tried on pictures."""
    return [] if axes == 2 else [ROUGH]
