"""A marked part of a page, which one command writes and another leaves alone."""

from __future__ import annotations

from pathlib import Path

BEGIN, END = "<!-- make laws -->\n", "<!-- end of make laws -->\n"


def section_of(page: str) -> str:
    """The marked part, marks included; empty where there is none.

    >>> section_of("a\\n" + BEGIN + "b\\n" + END)
    '<!-- make laws -->\\nb\\n<!-- end of make laws -->\\n'
    """
    start, stop = page.find(BEGIN), page.find(END)
    return page[start : stop + len(END)] if 0 <= start < stop else ""


def with_section(page: str, text: str) -> str:
    """The page with another marked part, at its end where it had none.

    >>> with_section("a\\n", "b\\n") == with_section(with_section("a\\n", "c\\n"), "b\\n")
    True
    """
    section, old = f"{BEGIN}{text}{END}", section_of(page)
    return page.replace(old, section) if old else f"{page.rstrip()}\n\n{section}"


def write_keeping_section(path: Path, page: str) -> None:
    """Write a page, with the marked part of the one that it replaces."""
    old = section_of(path.read_text()) if path.exists() else ""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{page.rstrip()}\n\n{old}" if old else page)
