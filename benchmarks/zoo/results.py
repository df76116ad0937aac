"""All rows of a run, as the JSON file has them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.zoo.networks import LIBRARIES, names, version
from benchmarks.zoo.row import Row


@dataclass(frozen=True)
class Results:
    """The rows, and what they are of.

    Attributes:
        rows: in the order of the page.
        versions: of the libraries.
        there: how many networks each library has.
        threads: of each network's process.
    """

    rows: tuple[Row, ...]
    versions: Mapping[str, str]
    there: Mapping[str, int]
    threads: int

    @classmethod
    def read(cls, path: Path) -> Results:
        """Results from a file."""
        kept = json.loads(path.read_text())
        rows = tuple(Row.read({**row, "seconds": float(row["seconds"])}) for row in kept.pop("rows"))
        return cls(rows=rows, **kept)

    def write(self, path: Path) -> None:
        """Write a file with a row on each line, so that a change shows where it is."""
        rows = ",\n  ".join(json.dumps({**asdict(row), "seconds": round(row.seconds)}) for row in self.rows)
        head = {"versions": dict(self.versions), "there": dict(self.there), "threads": self.threads}
        path.write_text(json.dumps(head)[:-1] + f', "rows": [\n  {rows}\n]}}\n')


def present(rows: Sequence[Row], threads: int) -> Results:
    """Rows of the libraries that are installed."""
    versions = {library: version(library) for library in LIBRARIES}
    return Results(tuple(rows), versions, {library: len(names(library)) for library in LIBRARIES}, threads)
