"""A marked part of a page, which one command writes and others leave alone."""

from __future__ import annotations

from pathlib import Path

LAWS, PREDICTIONS, STREAMING, COUNTS = "make laws", "make predictions", "make streaming", "make counts"
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


def write_keeping_section(path: Path, page: str, *names: str) -> None:
    """Write a page, with the marked parts of the one that it replaces."""
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    parts = [page, *(section for name in names or (LAWS,) if (section := section_of(old, name)))]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n\n".join(part.rstrip() for part in parts) + "\n", encoding="utf-8")
