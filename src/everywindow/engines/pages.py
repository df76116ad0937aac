"""Freed memory is kept by the process for the next call, up to a bound, instead of being given back at once.

glibc takes blocks of some megabytes from the system and gives them back when they are freed; the next one is new
memory, every page of which the system has to find and clear. For networks that move more than they multiply that
takes longer than the computing.
"""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache
from pathlib import Path

MMAP_MAX, TRIM_THRESHOLD, ARENA_MAX = -4, -1, -8
"""Names of glibc's settings (mallopt)."""

SWITCH = "EVERYWINDOW_KEEP_MEMORY"
"""Environment variable that turns this off where it is 0."""

LEAST = 2**26
"""Bytes that are always worth keeping."""

STATM = Path("/proc/self/statm")


class _MallocFacts(ctypes.Structure):
    """What ``mallinfo2`` of glibc tells, in bytes."""

    _names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in _names.split()]


@cache
def _libc() -> ctypes.CDLL | None:
    """glibc, where freed memory can be kept and asked for."""
    if sys.platform != "linux" or os.environ.get(SWITCH) == "0" or not STATM.exists():
        return None
    libc = ctypes.CDLL(None)
    if not all(hasattr(libc, name) for name in ("mallopt", "mallinfo2", "malloc_trim")):
        return None
    libc.mallinfo2.restype = _MallocFacts
    return libc


@cache
def keep_pages() -> bool:
    """Keep freed memory in the process from now on; whether that could be arranged."""
    libc = _libc()
    return libc is not None and bool(libc.mallopt(MMAP_MAX, 0)) and bool(libc.mallopt(TRIM_THRESHOLD, 2**31 - 1))


@cache
def share_pages() -> bool:
    """Let threads that begin from now on take memory from one place; whether that could be arranged.

    glibc has a store of freed memory for each of many threads, and what one holds in pieces no other can use.
    """
    libc = _libc()
    return libc is not None and bool(libc.mallopt(ARENA_MAX, 1))


def give_back() -> None:
    """Give all freed memory back to the system."""
    libc = _libc()
    if libc is not None:
        libc.malloc_trim(0)


class Kept:
    """Bounds the freed memory that is kept while a scan runs.

    Args:
        most: bytes; what is kept beyond them goes back to the system.
        taken: bytes that the scan takes at most, where that is known.
    """

    def __init__(self, most: int, taken: int | None = None) -> None:
        self._most = max(most, LEAST)
        self._counts = (
            taken is None or taken > LEAST
        )  # asking takes longer than a small scan, which cannot keep more than it takes
        self._elsewhere = self._resident() - self._used() if self._counts else 0

    def relieve(self) -> None:
        """Give freed memory back where too much is kept."""
        libc = _libc() if self._counts else None
        if libc is not None and self._resident() - self._used() - self._elsewhere > self._most:
            give_back()

    def _used(self) -> int:
        libc = _libc()
        return 0 if libc is None else int(libc.mallinfo2().uordblks)

    def _resident(self) -> int:
        if _libc() is None:
            return 0
        return int(STATM.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
