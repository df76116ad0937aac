"""A page of HTML that stands alone: its look, and the parts that pages are made of. Nothing is fetched from anywhere.

All text that parts are given is escaped here, but for cells that are :class:`Html`; what they give back is HTML.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


class Html(str):
    """What is HTML already, in the place of text."""

    __slots__ = ()


CSS = """
:root { --ink: #1d2329; --soft: #56606b; --line: #dfe3e7; --paper: #fff; --back: #f5f6f4; --accent: #2f6690;
  --good: #2e7d5b; --mixed: #b07b1f; --none: #8a4a4a;
  --conv: #4f83ad; --fc: #c2714f; --pool: #7d9a6a; --other: #9a96a6; --input: #d9b75c;
  --crops: #a3abb3; --fcn: #d59a3a; --exact: #2f6690; --edge: #c2714f; --inside: #b9cddd; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1, h2 { font-family: Charter, "Bitstream Charter", Georgia, "DejaVu Serif", serif; font-weight: 600;
  line-height: 1.2; text-wrap: balance; overflow-wrap: anywhere; }
h1 { font-size: clamp(1.8rem, 5vw, 2.6rem); margin: .1rem 0 .4rem; }
h2 { font-size: 1.4rem; margin: 0 0 .5rem; }
p { margin: .5rem 0; max-width: 46rem; overflow-wrap: anywhere; }
.soft { color: var(--soft); }
.small { font-size: .875rem; }
.eyebrow { color: var(--accent); font-size: .8rem; font-weight: 600; letter-spacing: .08em; text-transform: uppercase;
  margin: 0; }
section { background: var(--paper); border: 1px solid var(--line); border-radius: 10px; padding: 1.5rem;
  margin: 1.25rem 0 0; }
code, .mono { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: .86em;
  overflow-wrap: anywhere; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.2rem, 1fr)); gap: 1rem 1.3rem;
  margin: 1.4rem 0 0; }
.facts dt { color: var(--soft); font-size: .8rem; }
.facts dd { margin: 0; font-size: 1.25rem; font-weight: 600; font-variant-numeric: tabular-nums;
  overflow-wrap: anywhere; }
.verdict { border-left: 6px solid var(--tone, var(--accent)); }
.verdict ul { margin: .5rem 0; padding-left: 1.2rem; }
.scroll { overflow-x: auto; margin: .75rem 0 0; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; min-width: 100%; }
th { text-align: left; color: var(--soft); font-weight: 500; white-space: nowrap; }
th, td { padding: .35rem .9rem .35rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.number, th.number { text-align: right; white-space: nowrap; }
details { margin: 1rem 0 0; }
summary { cursor: pointer; color: var(--accent); font-size: .9rem; }
.legend { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; margin: .6rem 0; padding: 0; font-size: .85rem;
  color: var(--soft); list-style: none; }
.legend i { display: inline-block; width: .8rem; height: .8rem; border-radius: 2px; margin-right: .4rem; }
.blocks { display: flex; flex-wrap: wrap; align-items: flex-end; gap: 1.4rem 1.1rem; margin: 1rem 0 0; padding: 0;
  list-style: none; }
.blocks li { flex: 0 1 auto; min-width: 5.2rem; max-width: 9rem; text-align: center; font-size: .76rem;
  line-height: 1.35; }
.blocks b { display: block; font-weight: 600; overflow-wrap: anywhere; }
.blocks span { display: block; color: var(--soft); overflow-wrap: anywhere; }
.rows { margin: .9rem 0 0; padding: 0; list-style: none; font-size: .85rem; }
.rows li { display: grid; grid-template-columns: 11rem 1fr 10.5rem; gap: 0 .9rem; align-items: center;
  padding: .22rem 0; border-bottom: 1px solid #eef0f2; }
.rows .name { overflow-wrap: anywhere; line-height: 1.3; }
.rows .value { text-align: right; color: var(--soft); font-variant-numeric: tabular-nums; line-height: 1.3;
  white-space: nowrap; }
.rows svg { display: block; width: 100%; }
.bars { display: grid; }
.rows .kind { color: var(--soft); white-space: nowrap; }
.bars svg + svg, .bars svg:has(+ svg) { margin: 5px 0; }
.picture { display: flex; flex-wrap: wrap; gap: 1rem 1.5rem; align-items: center; margin: 1rem 0; }
.picture > svg { flex: none; max-width: 100%; }
.picture > .rows { flex: 1 1 24rem; margin: 0; min-width: 0; }
td small { display: block; color: var(--soft); font-size: .8rem; }
td svg { display: block; margin: .15rem 0 0 auto; }
td img { display: block; max-width: 6rem; max-height: 4rem; border-radius: 4px; }
.right { color: var(--good); } .wrong { color: var(--none); }
@media (max-width: 40rem) {
  main { padding: 1.5rem .75rem 3rem; }
  section { padding: 1.1rem .9rem; }
  .rows li { grid-template-columns: 1fr auto; grid-template-areas: "name value" "bars bars"; padding: .4rem 0;
    gap: .2rem .6rem; }
  .stacked thead { display: none; } .stacked tr, .stacked td { display: block; border: 0; padding: .1rem 0; }
  .stacked tr { border-bottom: 1px solid var(--line); padding: .4rem 0; } .stacked td:first-child { font-weight: 600; }
  .stacked td:nth-child(n + 3)::before { content: "→ "; }
  .cards thead { display: none; } .cards tr { display: block; padding: .6rem 0; border-bottom: 1px solid var(--line); }
  .cards td, .cards td.number { display: grid; grid-template-columns: 9rem 1fr; gap: .8rem; border: 0; padding: .1rem 0;
    text-align: left; white-space: normal; }
  .cards td:first-child { display: block; font-weight: 600; } .cards td:first-child small { font-weight: 400; }
  .cards td:not(:first-child)::before { content: attr(data-name); color: var(--soft); }
  .cards td svg { margin-left: 0; } .cards td:empty { display: none; }
  .rows .name { grid-area: name; } .rows .value { grid-area: value; } .rows .bars { grid-area: bars; }
}
@media print { body { background: #fff; } section { break-inside: avoid; } }
"""


FRAGMENT_CSS = """
.everywindow { max-width: 100%; }
.everywindow .scroll { overflow-x: auto; margin: .5rem 0 1.25rem; }
.everywindow table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .875rem; margin: 0; }
.everywindow th, .everywindow td { padding: .25rem 1.4rem .25rem 0; text-align: left; white-space: nowrap;
  border-bottom: 1px solid #8884; }
.everywindow th { font-weight: 500; opacity: .7; }
.everywindow td.number, .everywindow th.number { text-align: right; }
.everywindow p { margin: .25rem 0; overflow-wrap: anywhere; }
"""


def page(title: str, parts: Iterable[str]) -> str:
    """The whole document."""
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n<main>",
            *parts,
            "</main>\n</body>\n</html>\n",
        ]
    )


def fragment(parts: Iterable[str]) -> str:
    """Parts for a page of someone else's, such as a notebook, whose look they keep out."""
    return "\n".join([f"<style>{FRAGMENT_CSS}</style>", '<div class="everywindow">', *parts, "</div>"])


def section(heading: str, *parts: str, kind: str = "", tone: str = "") -> str:
    """A part of the page under its heading; ``tone`` is the name of a colour."""
    look = (f' class="{kind}"' if kind else "") + (f' style="--tone: var(--{tone})"' if tone else "")
    return "\n".join(
        [f"<section{look}>", f"<h2>{escape(heading)}</h2>", *(part for part in parts if part), "</section>"]
    )


def paragraph(text: str, kind: str = "") -> str:
    """Text in a paragraph."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def bullets(lines: Iterable[str]) -> str:
    """A list."""
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def folded(summary: str, inside: str) -> str:
    """What is shown only when it is asked for."""
    return f"<details><summary>{escape(summary)}</summary>{inside}</details>"


def facts(named: Iterable[tuple[str, str]]) -> str:
    """Names and values, side by side."""
    inside = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in named)
    return f'<dl class="facts">{inside}</dl>'


def columns(rows: Sequence[Sequence[str]], left: int = 1, kind: str = "") -> str:
    """A table with its header; beyond the first ``left`` columns stand numbers.

    Wide ones scroll by themselves; on a narrow screen the cells of a row stand below one another: of kind ``"stacked"``
    as they are, of kind ``"cards"`` beside the names of their columns.
    """
    head, *body = rows
    lines = [_row("th", head, left), *(_row("td", row, left, head) for row in body)]
    inside = f"<thead>{lines[0]}</thead><tbody>{''.join(lines[1:])}</tbody>"
    return f'<div class="scroll"><table{f" class={kind}" if kind else ""}>{inside}</table></div>'


def _row(tag: str, cells: Sequence[str], left: int, names: Sequence[str] = ()) -> str:
    shown = []
    for at, cell in enumerate(cells):
        look = "" if at < left else ' class="number"'
        named = f' data-name="{escape(names[at])}"' if names else ""
        shown.append(f"<{tag}{look}{named}>{cell if isinstance(cell, Html) else escape(cell)}</{tag}>")
    return f"<tr>{''.join(shown)}</tr>"


def legend(colours: Iterable[tuple[str, str]]) -> str:
    """What the colours stand for: pairs of a colour's name and what it means."""
    inside = "".join(f'<li><i style="background: var(--{name})"></i>{escape(text)}</li>' for name, text in colours)
    return f'<ul class="legend">{inside}</ul>'


def bar_rows(rows: Iterable[tuple[str, str, str, Sequence[str]]]) -> str:
    """A row for each name and its kind, bars (HTML), and values in lines beside them."""
    lines = []
    for name, kind, bars, values in rows:
        named = f'<span class="name">{breakable(name)} <span class="kind">{escape(kind)}</span></span>'
        value = f'<span class="value">{"<br>".join(map(escape, values))}</span>'
        lines.append(f'<li>{named}<span class="bars">{bars}</span>{value}</li>')
    return f'<ul class="rows">{"".join(lines)}</ul>'


def breakable(name: str) -> str:
    """A name that goes to the next line between its parts, where it must."""
    return escape(name).replace(".", ".<wbr>").replace("_", "_<wbr>")
