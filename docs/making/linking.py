"""Links that hold in a checkout, made to hold in the site: the README is its home, code is a file to open."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from pathlib import PurePosixPath

FENCED = re.compile(r"(^ *```.*?^ *```$)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#\s]+)(#[^)\s]*)?\)")


def relinked(markdown: str, source: str, target: str, place: Callable[[str], str], folder: str = "zh") -> str:
    """The Markdown with its relative links led from the checkout's file to the site's.

    Args:
        source: the page's path in the checkout, as ``README.md``.
        target: the page's path in the site's sources, as ``index.md``.
        place: takes a path in the checkout, and gives the path in the site's sources; it begins with ``<`` where
            the link leads to the other language's pages, which MkDocs does not know.
        folder: where in the built site the page's language is.
    """

    def led(found: re.Match[str]) -> str:
        picture, text, path, anchor = found.groups()
        if "://" in path:
            return found.group(0)
        there = place(posixpath.normpath(posixpath.join(posixpath.dirname(source), path)))
        if there.startswith("<"):
            return _out(picture, text, there[1:], anchor or "", posixpath.join(folder, target))
        away = posixpath.relpath(there, posixpath.dirname(target) or ".")
        return f"{picture}[{text}]({away}{anchor or ''})"

    parts = FENCED.split(markdown)
    return "".join(part if part.lstrip().startswith("```") else LINK.sub(led, part) for part in parts)


def _out(picture: str, text: str, there: str, anchor: str, target: str) -> str:
    """A link as HTML, for MkDocs knows the pages of one language only; a test follows it in the built site."""
    away = posixpath.relpath(there, posixpath.dirname(target) or ".")
    if picture:
        return f'<img src="{away}" alt="{text}">'
    return f'<a href="{re.sub(r"[.]md$", ".html", away)}{anchor}">{text}</a>'


def link_targets(markdown: str, source: str) -> set[str]:
    """The paths in the checkout to which a page's relative links lead."""
    paths = {found.group(3) for found in LINK.finditer(FENCED.sub("", markdown)) if "://" not in found.group(3)}
    return {posixpath.normpath(posixpath.join(posixpath.dirname(source), path)) for path in paths}


def under(path: str, folder: str) -> bool:
    """Whether a path lies in a folder."""
    return PurePosixPath(folder) in PurePosixPath(path).parents
