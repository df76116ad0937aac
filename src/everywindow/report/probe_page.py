"""The measurements on a network as a page."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING

from everywindow.report.document import bullets, columns, fragment, page, paragraph, section
from everywindow.report.probe_text import headline, tables

if TYPE_CHECKING:
    from everywindow.report.probe import Probe


def probe_page(found: Probe) -> str:
    """The page."""
    return page(f"{found.name} probed", _parts(found))


def probe_fragment(found: Probe) -> str:
    """The same for a notebook."""
    return fragment([paragraph(headline(found)), _figure(found), *(_table(found))])


def _parts(found: Probe) -> Iterator[str]:
    yield (
        f'<header><p class="eyebrow">A network probed</p><h1>{escape(found.name)}</h1>'
        f'<p class="soft">{escape(headline(found))}</p></header>'
    )
    yield section("At a glance", _figure(found))
    for each in tables(found):
        yield section(
            each.heading,
            paragraph(f"{each.about[0].upper()}{each.about[1:]}.", "soft"),
            columns(each.rows, each.left, "cards"),
        )
    if found.notes:
        yield section("How it was measured", bullets(found.notes))


def _table(found: Probe) -> Iterator[str]:
    for each in tables(found):
        yield paragraph(f"{each.heading}: {each.about}")
        yield columns(each.rows, each.left)
    yield bullets(found.notes)


def _figure(found: Probe) -> str:
    file = io.BytesIO()
    found.plot().savefig(file, format="png")
    encoded = base64.b64encode(file.getvalue()).decode()
    return f'<img src="data:image/png;base64,{encoded}" alt="all measurements" style="max-width: 100%">'
