"""What was measured, one file per row: rows can be measured one by one, and the page be written from what is there."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Generic, TypeVar

import torch

from benchmarks.finer import FinerRow
from benchmarks.measure import Row
from benchmarks.streaming_page import FileRow, LoaderRow

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "build" / "bench"
QUICK_FOLDER = ROOT / "build" / "bench-quick"

AnyRow = TypeVar("AnyRow", bound=Row | FinerRow | FileRow | LoaderRow)


@dataclass(frozen=True)
class Conditions:
    """When, where and how a row was measured; ``code`` changes with the package's code."""

    date: str
    rounds: int
    machine: str
    python: str
    torch: str
    threads: int
    code: str

    def __str__(self) -> str:
        return f"{self.machine}, Python {self.python}, torch {self.torch}, {self.threads} threads"


@dataclass(frozen=True)
class Kept(Generic[AnyRow]):
    """A row and how it was measured."""

    row: AnyRow
    conditions: Conditions


def present_conditions(rounds: int) -> Conditions:
    """Those of a row that is measured now."""
    return Conditions(
        date=datetime.now(UTC).date().isoformat(),
        rounds=rounds,
        machine=f"{os.cpu_count()} cores of {_processor()}",
        python=platform.python_version(),
        torch=torch.__version__,
        threads=torch.get_num_threads(),
        code=fingerprint(),
    )


def keep(folder: Path, name: str, kept: Kept[AnyRow]) -> None:
    """Write a row to its file."""
    folder.mkdir(parents=True, exist_ok=True)
    _file(folder, name).write_text(json.dumps(asdict(kept), indent=1), encoding="utf-8")


def read(folder: Path, name: str, kind: type[AnyRow]) -> Kept[AnyRow] | None:
    """A row from its file; None where there is none, or one of another form."""
    try:
        found = json.loads(_file(folder, name).read_text(encoding="utf-8"))
        return Kept(kind(**found["row"]), Conditions(**found["conditions"]))
    except (OSError, KeyError, TypeError, ValueError):
        return None


def fingerprint() -> str:
    """Of the package's code."""
    digest = hashlib.sha256()
    for file in sorted((ROOT / "src").rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.json"


def _processor() -> str:
    """The processor's name as the system gives it."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else 'an unknown processor'} ({platform.machine()})"
