"""The house rules that no linter knows: what an import costs, and that rooms are entered by their door."""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from pathlib import Path

import pytest

import everywindow

PACKAGE = Path(everywindow.__file__).parent
HEAVY = ("torch", "numpy", "matplotlib", "PIL", "zarr", "torchvision", "skimage")
HELP_SECONDS = 0.3
FACTS = [
    *(f"A{row}" for row in range(1, 13)),
    *(f"B{row}" for row in range(1, 4)),
    *(f"C{row}" for row in range(1, 11)),
    *("C5b", "C5c"),
    *(f"D{row}" for row in range(1, 5)),
    "loose",
]
"""The rows of the list of facts, and its notes on what is loose."""


@pytest.mark.parametrize("module", ["everywindow", "everywindow.cli"])
def test_import_leaves_heavy_packages_alone(module: str) -> None:
    program = f"import sys, {module}; print([name for name in {HEAVY!r} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_help_comes_at_once() -> None:
    command = [str(Path(sys.executable).with_name("everywindow")), "--help"]
    subprocess.run(command, check=True, capture_output=True)  # warm: byte code and disk cache
    assert min(_seconds(command) for _ in range(5)) < HELP_SECONDS


def _seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def test_rooms_are_entered_through_their_public_face() -> None:
    deep = [
        f"{file.relative_to(PACKAGE)}: {name}"
        for file in sorted(PACKAGE.rglob("*.py"))
        for name in _imported(file)
        if _room(name) != file.relative_to(PACKAGE).parts[0] and name.count(".") > 1
    ]
    assert deep == []


def _imported(file: Path) -> list[str]:
    """Absolute names of this package's modules that a file imports, lazily or not."""
    nodes = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.ImportFrom)]
    assert all(node.level == 0 for node in nodes), f"{file}: imports are absolute"
    modules = [node.module or "" for node in nodes]
    return [module for module in modules if module.startswith("everywindow.")]


def _room(module: str) -> str:
    return module.split(".")[1]


def test_every_fact_has_a_file_of_its_own() -> None:
    files = sorted(path.name for path in (Path(__file__).parent / "facts").glob("test_*.py"))
    assert sorted(name.split("_")[1] for name in files) == sorted(FACTS)
