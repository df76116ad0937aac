"""Recordings in WFDB's format, by wfdb."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from everywindow.errors import InputError
from everywindow.io.reading import library, opening, reading
from everywindow.io.source import Box, Level, Placement, Source

SUFFIXES = (".hea", ".dat")
EXTRA = "signals"


def opens(path: Path) -> bool:
    """A record by one of its files or by its name, where its header is there."""
    named = path.suffix.lower() in SUFFIXES or not path.exists()
    return named and _header(path).is_file()


def files(path: Path) -> list[Path]:
    """Headers and signals of the record and of its segments."""
    found = [_header(path)]
    header = _read_header(path)
    for one in (header, *(getattr(header, "segments", None) or ())):
        if one is not None:
            found += [path.parent / name for name in (getattr(one, "file_name", None) or ())]
            found.append(path.parent / f"{one.record_name}.hea")
    return sorted({file for file in found if file.is_file()})


def source(path: Path, channels: int, axes: int) -> Source:
    """The record's signals as channels, in their physical units."""
    if axes != 1:
        raise InputError(str(path), f"recordings have 1 axis, the classifier takes {axes}", "give another image")
    return SignalSource(str(path))


class SignalSource:
    """A recording. Samples that are marked as missing hold NaN, and are not valid."""

    format = "wfdb"
    dtype = np.dtype(np.float64)
    physical = True

    def __init__(self, path: str) -> None:
        self.path = path
        self._wfdb = library("wfdb", EXTRA, path)
        with opening(path, "give an intact record"):
            header = _read_header(Path(path))
            if not header.sig_len or not header.n_sig:
                raise ValueError("its header names no signals")
            self.levels = (Level((int(header.sig_len),), (1.0,)),)
            self.channels = int(header.n_sig)
            self.placement = Placement((1 / float(header.fs),), "second")

    def read(self, box: Box, level: int = 0) -> np.ndarray:
        """Samples in physical units."""
        ((start, stop),) = box
        with reading(self.path, box, level):
            record = self._wfdb.rdrecord(_record(Path(self.path)), sampfrom=start, sampto=stop)
            samples: np.ndarray = record.p_signal
            if len(samples) != stop - start:
                raise ValueError(f"{len(samples)} samples instead of {stop - start}")
        return samples

    def valid(self, box: Box, level: int = 0) -> np.ndarray | None:
        """Where no channel lacks a sample."""
        valid: np.ndarray = ~np.isnan(self.read(box, level)).any(axis=-1)
        return None if valid.all() else valid

    def close(self) -> None:
        """Nothing stays open between reads."""


def _record(path: Path) -> str:
    return str(path.with_suffix("") if path.suffix.lower() in SUFFIXES else path)


def _header(path: Path) -> Path:
    return Path(_record(path) + ".hea")


def _read_header(path: Path) -> Any:
    header: Any = library("wfdb", EXTRA, str(path)).rdheader(_record(path), rd_segments=True)
    return header
