"""A marked part of a page, which one command writes and others leave alone."""

from __future__ import annotations

from pathlib import Path

LAWS, PREDICTIONS = "make laws", "make predictions"
"""The parts that are written by these commands."""


def _marks(name: str) -> tuple[str, str]:
    return f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"


def section_of(page: str, name: str = LAWS) -> str:
    """The marked part, marks included; empty where there is none.

    >>> section_of("a\\n<!-- x -->\\nb\\n<!-- end of x -->\\n", "x")
    '<!-- x -->\\nb\\n<!-- end of x -->\\n'
    """
    begin, end = _marks(name)
    start, stop = page.find(begin), page.find(end)
    return page[start : stop + len(end)] if 0 <= start < stop else ""


def with_section(page: str, text: str, name: str = LAWS) -> str:
    """The page with another marked part, at its end where it had none.

    >>> with_section("a\\n", "b\\n") == with_section(with_section("a\\n", "c\\n"), "b\\n")
    True
    """
    begin, end = _marks(name)
    section, old = f"{begin}{text}{end}", section_of(page, name)
    return page.replace(old, section) if old else f"{page.rstrip()}\n\n{section}"


def write_keeping_section(path: Path, page: str, name: str = LAWS) -> None:
    """Write a page, with the marked part of the one that it replaces."""
    old = section_of(path.read_text(encoding="utf-8"), name) if path.exists() else ""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{page.rstrip()}\n\n{old}" if old else page, encoding="utf-8")
