"""Large blocks of memory are kept by the process instead of being given back after every call.

glibc takes blocks of some megabytes from the system and gives them back when they are freed; the next one is new
memory, every page of which the system has to find and clear. For networks that move more than they multiply that
takes longer than the computing.
"""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache

MMAP_MAX, TRIM_THRESHOLD = -4, -1
"""Names of glibc's settings (mallopt)."""

SWITCH = "EVERYWINDOW_KEEP_MEMORY"
"""Environment variable that turns this off where it is 0."""


@cache
def keep_pages() -> bool:
    """Keep freed memory in the process from now on, for later calls; whether that could be arranged."""
    if sys.platform != "linux" or os.environ.get(SWITCH) == "0":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(MMAP_MAX, 0)) and bool(mallopt(TRIM_THRESHOLD, 2**31 - 1))
