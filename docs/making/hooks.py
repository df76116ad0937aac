"""What MkDocs calls while it builds the site, in English (``mkdocs.yml``) and in Chinese (``mkdocs.zh.yml``)."""

from __future__ import annotations

import posixpath
import sys
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.nav import Navigation
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [path for path in (str(ROOT),) if path not in sys.path]

from docs.making.filling import filled  # noqa: E402
from docs.making.linking import link_targets, relinked, under  # noqa: E402
from docs.making.running import run  # noqa: E402

FRONT = {"README.md": "index.md", "CHANGELOG.md": "changelog.md"}
"""Pages of the checkout's top folder, and what they are in the English site."""

NAMES = {"en": "English", "zh": "中文"}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The Chinese site has the pages that are translated, in the order of the English guide."""
    if _language(config) == "zh":
        home = Path(config.docs_dir)
        pages = [page for page in config.extra["guide"] if (home / page).exists()]
        config.nav = [{"首页": "README.md"}, {"指南": pages}]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The README and the changelog join the English pages; files of code that a page links to join as they are."""
    if _language(config) == "en":
        for source, target in FRONT.items():
            text = (ROOT / source).read_text(encoding="utf-8")
            files.append(File.generated(config, target, content=text))
    else:
        for style in config.extra_css:
            files.append(File.generated(config, str(style), abs_src_path=str(ROOT / "docs" / str(style))))
    outside = set()
    for file in files.documentation_pages():
        outside |= {path for path in link_targets(file.content_string, _source(file, config)) if _is_code(path)}
    for path in sorted(outside):
        files.append(File.generated(config, f"source/{path}", abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Run a page of the guide, and lead the links."""
    source, target = _source(page.file, config), page.file.src_uri
    text = relinked(markdown, source, target, lambda path: _place(path, config), "zh" * (_language(config) == "zh"))
    if not target.startswith("guide/"):
        return text
    count = 0

    def keep(suffix: str, content: bytes) -> str:
        nonlocal count
        count += 1
        name = f"{Path(target).stem}-{count}.{suffix}"
        files.append(File.generated(config, f"guide/drawn/{name}", content=content))
        return f"drawn/{name}"

    return filled(text, run(source, text), _language(config), keep)


def on_page_context(context: dict[str, Any], page: Page, config: MkDocsConfig, nav: Navigation) -> dict[str, Any]:
    """Where the page is in the other language, or that language's first page."""
    mine = _language(config)
    other = "zh" if mine == "en" else "en"
    there = (ROOT / "docs" / "zh").joinpath("README.md" if page.file.src_uri == "index.md" else page.file.src_uri)
    translated = mine == "zh" or there.exists()
    url = (page.url if translated else "index.html") or "index.html"
    site_path = f"zh/{url}" if other == "zh" else url
    here = f"zh/{page.url}" if mine == "zh" else page.url
    context["languages"] = [
        {"lang": mine, "name": NAMES[mine], "link": posixpath.basename(page.url) or "index.html"},
        {"lang": other, "name": NAMES[other], "link": posixpath.relpath(site_path, posixpath.dirname(here) or ".")},
    ]
    if not (ROOT / "docs" / "zh" / "README.md").exists():
        context["languages"] = []
    return context


def _language(config: MkDocsConfig) -> str:
    return str(config.theme["language"])


def _source(file: File, config: MkDocsConfig) -> str:
    """A page's path in the checkout."""
    if _language(config) == "zh":
        return f"docs/zh/{file.src_uri}"
    at_top = {target: source for source, target in FRONT.items()}
    return at_top.get(file.src_uri, f"docs/{file.src_uri}")


def _is_code(path: str) -> bool:
    return not under(path, "docs") and path not in FRONT and (ROOT / path).is_file()


def _place(path: str, config: MkDocsConfig) -> str:
    """Where a path of the checkout is among the site's sources; ``<`` marks what only the English site has."""
    if _is_code(path):
        return f"source/{path}"
    in_english = FRONT.get(path, path.removeprefix("docs/"))
    if _language(config) == "en":
        return f"<{in_english.replace('README', 'index')}" if under(path, "docs/zh") else in_english
    if under(path, "docs/zh"):
        return path.removeprefix("docs/zh/")
    return f"<{in_english}"
