"""The site of docs/: its build runs the guide's code with warnings as errors; it needs no network; languages agree."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from docs.making.filling import filled
from docs.making.linking import relinked
from docs.making.running import blocks, plain, prose, run

ROOT = Path(__file__).resolve().parents[1]
GUIDE, CHINESE = ROOT / "docs" / "guide", ROOT / "docs" / "zh" / "guide"
TRANSLATED = sorted(CHINESE.glob("*.md"))


class Links(HTMLParser):
    """What a page loads, and where it leads."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.led: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in ("script", "img", "iframe", "source", "video") and given.get("src"):
            self.loaded.append(str(given["src"]))
        if tag == "link" and given.get("href") and given.get("rel") not in ("canonical", "prev", "next", "alternate"):
            self.loaded.append(str(given["href"]))
        if tag == "a" and given.get("href"):
            self.led.append(str(given["href"]))


def links_of(page: Path) -> Links:
    found = Links()
    found.feed(page.read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as ``make docs`` builds it."""
    pytest.importorskip("material")
    folder = tmp_path_factory.mktemp("docs") / "site"
    command = [sys.executable, "-m", "docs.making", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "MPLBACKEND": "agg"})
    assert built.returncode == 0, built.stderr
    return folder


@pytest.mark.slow
def test_each_page_is_built_and_the_guides_code_has_run(site: Path) -> None:
    for page in GUIDE.glob("*.md"):
        html = (site / "guide" / page.with_suffix(".html").name).read_text(encoding="utf-8")
        assert "{{" not in html
        assert len(re.findall('class="[a-z ]*output', html)) >= (1 if blocks(page.read_text(encoding="utf-8")) else 0)
    for page in TRANSLATED:
        assert (site / "zh" / "guide" / page.with_suffix(".html").name).is_file()
    assert len(list((site / "guide" / "drawn").iterdir())) >= 10


@pytest.mark.slow
def test_the_site_loads_nothing_from_elsewhere_and_its_links_lead_somewhere(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 25
    bad = []
    for page in pages:
        if page.name == "404.html":  # its links are from the server's top
            continue
        links = links_of(page)
        bad += [f"{page}: loads {one}" for one in links.loaded if "//" in one and not one.startswith("data:")]
        paths = [
            unquote(one.partition("#")[0].partition("?")[0]) for one in [*links.loaded, *links.led] if ":" not in one
        ]
        bad += [f"{page}: {path}" for path in paths if path and not (page.parent / path).exists()]
    styles = [
        style for style in site.rglob("*.css") if re.search(r"url\(['\"]?https?:", style.read_text(encoding="utf-8"))
    ]
    assert bad == []
    assert styles == []


@pytest.mark.parametrize("page", TRANSLATED, ids=lambda page: page.name)
def test_translated_code_is_the_original(page: Path) -> None:
    """But for comments; and the prose has no numbers of its own."""
    original, translated = ((folder / page.name).read_text(encoding="utf-8") for folder in (GUIDE, CHINESE))
    assert [plain(code) for code in blocks(translated)] == [plain(code) for code in blocks(original)]
    values = re.compile(r"\{\{(.+?)\}\}")
    for here, there in zip(prose(translated), prose(original), strict=True):
        assert {one.strip() for one in values.findall(here)} <= {one.strip() for one in values.findall(there)}


def test_the_chinese_readme_has_the_examples_of_the_english_one() -> None:
    fenced = re.compile(r"^```\w+\n.*?^```$", re.MULTILINE | re.DOTALL)
    chinese, english = (
        fenced.findall(page.read_text(encoding="utf-8")) for page in (CHINESE.parent / "README.md", ROOT / "README.md")
    )
    assert chinese == english


PAGE = """It is {{ 2 + 2 }}.

```python
#: A line.
x = 3
print("first")
x + 1
```

So x is {{ x:.1f }}.
"""


def test_a_page_gets_what_its_code_gives() -> None:
    text = filled(PAGE, run("page", PAGE), "en", lambda suffix, content: "")
    assert text.startswith("It is 4.")
    assert text.endswith("So x is 3.0.\n")
    assert "first\n4\n" in text
    assert "#:" not in text


def test_a_page_of_the_same_code_is_not_run_again() -> None:
    counted = PAGE.replace("x = 3", "x = 3\nimport math\nmath.times = getattr(math, 'times', 0) + 1")
    other = counted.replace("A line.", "Eine Linie.").replace("So x", "Also ist x")
    first, second = run("page", counted), run("other", other)
    assert first is second
    import math

    assert math.times == 1  # type: ignore[attr-defined]


def test_figures_are_kept_with_their_captions() -> None:
    page = "```python folded\n#: One, two.\nfrom matplotlib import pyplot as plt\n_ = plt.plot([1, 2])\n```\n"
    kept = {}

    def keep(suffix: str, content: bytes) -> str:
        kept[suffix] = content
        return f"a.{suffix}"

    text = filled(page, run("page", page), "zh", keep)
    assert kept["svg"].startswith(b"<?xml")
    assert "![One, two.](a.svg)" in text
    assert text.index("a.svg") < text.index("??? code")


@pytest.mark.parametrize("code", ["1 / 0", "import warnings; warnings.warn('old')"])
def test_a_block_that_fails_or_warns_stops_the_build(code: str) -> None:
    page = f"```python\n{code}\n```\n"
    with pytest.raises(RuntimeError, match=r"page, block 1: (ZeroDivisionError|UserWarning)"):
        run("page", page)


def test_an_expression_that_fails_stops_the_build() -> None:
    with pytest.raises(RuntimeError, match="nothing_there"):
        run("page", "It is {{ nothing_there }}.")


def test_links_hold_in_the_site() -> None:
    def place(path: str) -> str:
        return {"docs/a.md": "a.md", "examples/x.py": "source/examples/x.py", "README.md": "index.md"}[path]

    text = "[a](docs/a.md#b) ![p](examples/x.py) [w](https://x.org/a.md)\n\n```python\nnet[:5](docs/a.md)\n```\n"
    led = relinked(text, "README.md", "index.md", place)
    assert led == text.replace("docs/a.md#", "a.md#").replace("examples/", "source/examples/")
    assert relinked("[home](../../README.md)", "docs/guide/p.md", "guide/p.md", place) == "[home](../index.md)"
    out = relinked("[a **b**](../../a.md)", "docs/zh/guide/p.md", "guide/p.md", lambda path: f"<{place(path)}")
    assert out == '<a href="../../a.html">a **b**</a>'
