"""How much memory a scan may take."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from everywindow.errors import InputError

SHARE = 0.5
"""Share of the free memory that a scan takes by default."""

SCRATCH = 2.0
"""Memory that the routines take in all, over that of the values themselves."""

_UNITS = {
    "": 1,
    "b": 1,
    "k": 10**3,
    "m": 10**6,
    "g": 10**9,
    "t": 10**12,
    "ki": 2**10,
    "mi": 2**20,
    "gi": 2**30,
    "ti": 2**40,
}


def memory_limit(memory: int | str | None, device: torch.device) -> int:
    """Bytes that the values of a scan may take.

    >>> memory_limit("2GiB", torch.device("cpu"))
    2147483648

    Raises:
        InputError: not a positive amount.
    """
    if memory is None:
        return int(SHARE * free_bytes(device))
    amount = _parsed(memory) if isinstance(memory, str) else memory
    if isinstance(amount, bool) or not isinstance(amount, int) or amount <= 0:
        raise InputError("memory", f"{memory!r} is not a positive amount", "give bytes, or a string like '2GiB'")
    return amount


def _parsed(text: str) -> int:
    match = re.fullmatch(r"\s*([0-9.]+)\s*([kmgt]?i?)b?\s*", text.lower())
    try:
        return int(float(match[1]) * _UNITS[match[2]]) if match else 0
    except (ValueError, KeyError, OverflowError):
        return 0


def free_bytes(device: torch.device) -> int:
    """Memory that is free on the device now."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return min(_system_free(), _group_free())


def _system_free() -> int:
    """``MemAvailable`` of Linux; 4 GiB where the system does not tell."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return 4 * 2**30
    match = re.search(r"MemAvailable:\s+(\d+) kB", text)
    return int(match[1]) * 1024 if match else 4 * 2**30


def _group_free() -> int:
    """What a control group leaves; without limit a very large number."""
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
        used = Path("/sys/fs/cgroup/memory.current").read_text(encoding="ascii").strip()
    except OSError:
        return 2**62
    return max(0, int(limit) - int(used)) if limit != "max" else 2**62


def largest_batch(limit: int, bytes_per_item: int, what: str) -> int:
    """Items that fit into the limit.

    Raises:
        InputError: not even one.
    """
    each = max(1, int(bytes_per_item * SCRATCH))
    require_fits(limit, each, what)
    return limit // each


def require_fits(limit: int, needed: int, what: str) -> None:
    """Raise InputError where the limit is less than what is needed."""
    if limit < needed:
        raise InputError(
            "memory", f"{limit:,} bytes are less than the {needed:,} that {what} takes", "give a larger memory="
        )
