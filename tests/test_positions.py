"""Where windows' values lie in a row, and what an op reads for them, against windows computed one by one."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from everywindow.geometry import (
    FILL,
    AxisRecord,
    LocalOp,
    Misaligned,
    Positions,
    Segment,
    Slabs,
    Upsampling,
    slabs,
    taken,
)
from test_geometry import behind, mixed_chains, starts

Row = list[object]
"""A value for each position of a window; equal values have seen equal pixels in equal places."""

Chain = list[LocalOp | Upsampling]


def after(row: Row, op: LocalOp | Upsampling) -> Row:
    """An op on one window by itself."""
    if isinstance(op, Upsampling):
        return [value for value in row for _ in range(op.factor)]
    found: Row = []
    for u in range(op.output_length(len(row))):
        taps = [starts(op, u) + tap * op.dilation for tap in range(op.kernel)]
        found.append((op, *(row[at] if 0 <= at < len(row) else "padding" for at in taps)))
    return found


def one_by_one(chain: Chain, window: int, windows: int, stride: int) -> list[list[Row]]:
    """Behind every op of the chain, the image first, each window's row."""
    rows: list[list[Row]] = [[list(range(first * stride, first * stride + window)) for first in range(windows)]]
    for op in chain:
        rows.append([after(row, op) for row in rows[-1]])
    return rows


def records_of(chain: Chain, window: int) -> list[AxisRecord]:
    records = [AxisRecord.of_window(window)]
    for op in chain:
        records.append(behind(records[-1], op))
    return records


def in_a_row(positions: Positions, rows: list[Row]) -> Row:
    """The row of all windows, from each window's own."""
    found: Row = [None] * positions.length
    for table, row in zip(positions.table.tolist(), rows, strict=True):
        for at, value in zip(table, row, strict=True):
            assert found[at] in (None, value), f"position {at} holds two different values"
            found[at] = value
    return found


sizes = given(mixed_chains(), st.integers(1, 30), st.integers(1, 12), st.integers(1, 9))


@sizes
def test_windows_share_a_position_only_where_they_have_the_same_value(
    chain: Chain, window: int, windows: int, stride: int
) -> None:
    for record, rows in zip(records_of(chain, window), one_by_one(chain, window, windows, stride), strict=True):
        if record.n < 1:
            return
        positions = Positions.of(record, windows, stride)
        assert positions.table.shape == (windows, record.n)
        assert all(len(set(table)) == record.n for table in positions.table.tolist())
        in_a_row(positions, rows)


@sizes
def test_segments_cover_the_row_once(chain: Chain, window: int, windows: int, stride: int) -> None:
    records = records_of(chain, window)
    assume(all(record.n > 0 for record in records))
    record = records[-1]
    positions = Positions.of(record, windows, stride)
    covered = [at for part in positions.segments for at in range(part.first, part.first + part.size)]
    assert covered == list(range(positions.length))
    owner, inside = positions.owners()
    for at, (one, place) in enumerate(zip(owner.tolist(), inside.tolist(), strict=True)):
        if one == FILL:
            assert at not in positions.table
        else:
            assert positions.table[one, place] == at


@sizes
def test_slabs_hold_what_each_window_would_read(chain: Chain, window: int, windows: int, stride: int) -> None:
    records, rows = records_of(chain, window), one_by_one(chain, window, windows, stride)
    for op, before, later, source_rows, target_rows in zip(chain, records, records[1:], rows, rows[1:], strict=False):
        if later.n < 1:
            return
        source, target = (Positions.of(record, windows, stride) for record in (before, later))
        source_row, target_row = in_a_row(source, source_rows), in_a_row(target, target_rows)
        if isinstance(op, Upsampling):
            check_copies(taken(op, source, target).tolist(), source_row, target_row)
            continue
        for part in slabs(op, source, target):
            check_slab(part, op, source_row, target_row)


def check_copies(indices: list[int], source: Row, target: Row) -> None:
    assert all(0 <= index < len(source) for index in indices)
    assert all(value in (None, source[index]) for index, value in zip(indices, target, strict=True))


def check_slab(part: Slabs, op: LocalOp, source: Row, target: Row) -> None:
    for piece, place in product(range(part.segment.count), range(part.segment.length)):
        at = part.segment.first + piece * part.segment.length + place
        if target[at] is None:
            continue
        index = part.index[piece, place * op.stride : place * op.stride + op.span + 1 : op.dilation].tolist()
        assert (op, *("padding" if i == FILL else source[i] for i in index)) == target[at]
    filled = np.zeros_like(part.index)
    for pieces, positions in part.fills():
        filled[pieces, positions] += 1
    assert (filled == (part.index == FILL)).all()
    if part.span is not None:
        assert part.index.tolist() == [list(range(*part.span))]


@sizes
def test_copies_are_taken_from_where_each_window_has_them(chain: Chain, window: int, windows: int, stride: int) -> None:
    records = records_of(chain, window)
    assume(all(record.n > 0 for record in records))
    record = records[-1]
    op = LocalOp(stride=1 + window % 2, pad_low=windows % 3 - 1, pad_high=stride % 3 - 1)
    later = record.after(op)
    assume(later.n > 0)
    source, target = (Positions.of(one, windows, stride) for one in (record, later))
    rows = one_by_one([*chain, op], window, windows, stride)
    source_row, target_row = in_a_row(source, rows[-2]), in_a_row(target, rows[-1])
    for at, index in enumerate(taken(op, source, target).tolist()):
        if target_row[at] is not None:
            assert target_row[at] == (op, "padding" if index == FILL else source_row[index])


def test_windows_of_an_unpadded_network_share_one_run() -> None:
    positions = Positions.of(AxisRecord(n=8), windows=4, stride=2)
    assert (positions.runs, positions.run, positions.length) == (1, 14, 14)
    assert positions.segments == (Segment(0, 1, 14),)


def test_windows_of_other_phases_have_runs_of_their_own() -> None:
    """Network stride 4, windows every 3 pixels: windows 0 and 4 share, 12 pixels and so 3 positions apart."""
    positions = Positions.of(AxisRecord(n=8, jump=4, period=4), windows=6, stride=3)
    assert (positions.cycle, positions.step, positions.runs, positions.run) == (4, 3, 4, 11)
    assert positions.table[4].tolist() == list(range(3, 11))
    assert positions.table[1].tolist() == list(range(11, 19))


@pytest.mark.parametrize(
    ("record", "windows", "stride"),
    [
        (AxisRecord(n=8, head=4, tail=4), 9, 1),  # no body
        (AxisRecord(n=8), 9, 9),  # the next window begins behind this one's end
        (AxisRecord(n=8, jump=4, period=4), 4, 3),  # as many phases as windows
        (AxisRecord(n=8), 1, 1),
    ],
)
def test_where_nothing_is_shared_all_positions_are_each_windows_own(
    record: AxisRecord, windows: int, stride: int
) -> None:
    positions = Positions.of(record, windows, stride)
    assert positions.body == 0
    assert positions.table.ravel().tolist() == list(range(windows * record.n))


def test_a_run_whose_windows_do_not_share_what_it_reads_is_refused() -> None:
    alone = Positions(windows=3, n=8, head=8, tail=0, cycle=3, step=0)
    shared = Positions(windows=3, n=6, head=0, tail=0, cycle=1, step=2)
    with pytest.raises(Misaligned):
        slabs(LocalOp(kernel=3), alone, shared)
