"""Programs are kept with the captured network: a second scan need not build them again."""

from __future__ import annotations

from everywindow.graph import Network
from everywindow.sharing.program import Program, build

MOST_PROGRAMS = 48
"""Programs that are kept for one network."""

_Key = tuple[tuple[int, ...], tuple[int, ...], int | None]


def program_for(
    network: Network, windows: tuple[int, ...], stride: tuple[int, ...], share: int | None = None
) -> Program:
    """:func:`build`, once for each rectangle, stride and number of shared calls."""
    kept: dict[_Key, Program] = network.kept.setdefault("programs", {})
    key = (windows, stride, share)
    program = kept.get(key)
    if program is None:
        if len(kept) >= MOST_PROGRAMS:
            kept.clear()
        program = kept[key] = build(network, windows, stride, share)
    return program
