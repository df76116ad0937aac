"""Every ``python`` and ``sh`` example in README.md and docs/ runs as it stands there.

The examples of one page run from top to bottom in one empty folder, the Python ones in one namespace.
The guide's run when the site is built (``test_guide``).
Examples that build on the demo find what ``make demo`` leaves. Those on real files run in ``test_audience_pages``.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = re.compile(r"^```(python|sh)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FENCED = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
ELSEWHERE = ("slides.md", "satellite.md", "signals.md", "volumes.md")
PAGES = [
    page
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    if page.name not in ELSEWHERE
    and page.parent.name != "guide"
    and "zh" not in page.parts
    and EXAMPLE.search(page.read_text(encoding="utf-8"))
]
DEMO = "demo-output"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_examples_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    examples = EXAMPLE.findall(page.read_text(encoding="utf-8"))
    if any(DEMO in code for _, code in examples):
        _shell(f"everywindow demo --out {DEMO}")
    namespace: dict[str, object] = {"__name__": "example"}
    for language, code in examples:
        if language == "sh":
            _shell(code)
        else:
            exec(compile(code, str(page), "exec"), namespace)


def _shell(code: str) -> None:
    run = subprocess.run(["bash", "-euo", "pipefail", "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, f"{code}\n{run.stdout}\n{run.stderr}"


def test_links_within_the_checkout_lead_somewhere() -> None:
    pages = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
    dead = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", FENCED.sub("", page.read_text(encoding="utf-8")))
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert dead == []
