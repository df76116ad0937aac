"""The integers behind everything, against brute force."""

from __future__ import annotations

from itertools import product
from math import prod
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from everywindow.errors import InputError
from everywindow.geometry import (
    AxisRecord,
    Batch,
    Extent,
    Feature,
    LocalOp,
    Space,
    Upsampling,
    WindowGrid,
    rectangles,
    regroup,
    tiles_within,
)

ops = st.builds(
    LocalOp,
    kernel=st.integers(1, 5),
    dilation=st.integers(1, 3),
    stride=st.integers(1, 4),
    pad_low=st.integers(-2, 3),
    pad_high=st.integers(-2, 3),
    ceil_mode=st.booleans(),
)


@st.composite
def mixed_chains(draw: Any) -> list[LocalOp | Upsampling]:
    """Local ops and upsamplings, these by factors that divide the jump."""
    chain: list[LocalOp | Upsampling] = []
    jump = 1
    for _ in range(draw(st.integers(0, 5))):
        factors = [factor for factor in range(2, 5) if jump % factor == 0]
        op = Upsampling(draw(st.sampled_from(factors))) if factors and draw(st.booleans()) else draw(ops)
        jump = jump // op.factor if isinstance(op, Upsampling) else jump * op.stride
        chain.append(op)
    return chain


def behind(record: AxisRecord, op: LocalOp | Upsampling) -> AxisRecord:
    """The record behind an op that has one."""
    after = record.upsampled(op) if isinstance(op, Upsampling) else record.after(op)
    assert after is not None
    return after


def starts(op: LocalOp, u: int) -> int:
    return u * op.stride - op.pad_low


@given(
    st.integers(1, 5),
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(0, 2),
    st.booleans(),
    st.integers(1, 30),
)
def test_output_length_is_that_of_torch(
    kernel: int, dilation: int, stride: int, padding: int, ceil_mode: bool, n: int
) -> None:
    padding = min(padding, kernel // 2)
    op = LocalOp(kernel, dilation, stride, padding, padding, ceil_mode)
    if n + 2 * padding > op.span:
        pooled = torch.nn.functional.max_pool1d(
            torch.zeros(1, 1, n), kernel, stride, padding, dilation, ceil_mode=ceil_mode
        )
        assert op.output_length(n) == pooled.shape[-1]


@given(st.lists(ops, min_size=1, max_size=4), st.integers(1, 40))
def test_body_is_what_sees_neither_end(chain: list[LocalOp], window: int) -> None:
    record, clean = AxisRecord.of_window(window), set(range(window))
    for op in chain:
        if op.output_length(record.n) < 1:
            return
        taps = range(0, op.span + 1, op.dilation)
        clean = {u for u in range(op.output_length(record.n)) if all(starts(op, u) + tap in clean for tap in taps)}
        record = record.after(op)
        body = set(range(record.head, record.n - record.tail))
        assert body <= clean, "a position of the body sees an end"
        assert len(clean - body) <= 2, "the body is smaller than it need be"


def reached(op: LocalOp | Upsampling, u: int) -> list[int]:
    """The positions of the input that make position ``u``."""
    if isinstance(op, Upsampling):
        return [u // op.factor]
    return [starts(op, u) + tap for tap in range(0, op.span + 1, op.dilation)]


@given(mixed_chains(), st.integers(1, 40))
def test_records_behind_upsampling_are_sound(chain: list[LocalOp | Upsampling], window: int) -> None:
    """Against all positions one by one: which see an end, and which pixels (with padding as pixels further out)."""
    record, clean, seen = AxisRecord.of_window(window), set(range(window)), [{at} for at in range(window)]
    for op in chain:
        before, record = record, behind(record, op)
        if record.n < 1:
            return
        clean = {u for u in range(record.n) if all(at in clean for at in reached(op, u))}
        seen = [set().union(*(seen[at] for at in reached(op, u) if 0 <= at < before.n)) for u in range(record.n)]
        assert set(range(record.head, record.n - record.tail)) <= clean
        low, high = record.seen_by_window()
        for u, pixels in enumerate(seen):
            assert all(
                record.seen_low + u * record.jump <= pixel < record.seen_high + u * record.jump for pixel in pixels
            )
            assert all(low <= pixel < high for pixel in pixels)
        assert record.network_stride % record.coarseness == 0


def test_upsampling_makes_the_jump_smaller_not_the_period() -> None:
    halved = AxisRecord.of_window(16).after(LocalOp(kernel=3, stride=2, pad_low=1))
    back = halved.upsampled(Upsampling(2))
    assert back is not None
    assert (back.n, back.jump, back.period, back.head, back.tail) == (16, 1, 2, 2, 0)
    assert back.network_stride == 2
    assert back.after(LocalOp(kernel=2, stride=2)).network_stride == 2  # not 4: the jump is 2 again
    joined = back.joined(AxisRecord.of_window(16))
    assert joined is not None
    assert (joined.period, joined.network_stride) == (2, 2)
    assert halved.upsampled(Upsampling(4)) is None


@given(st.lists(ops, min_size=1, max_size=4), st.integers(6, 40), st.integers(1, 9), st.integers(0, 25))
def test_extent_is_the_length_of_the_map(chain: list[LocalOp], window: int, stride: int, more: int) -> None:
    record, extent, length = AxisRecord.of_window(window), Extent(), window + more
    for op in chain:
        if op.output_length(record.n) < 1:
            return
        scale, step = extent.placed(record, op, stride)
        padded = length + (op.pad_low + op.reach(record.n)) * scale
        length = len(range(0, padded - op.span * scale, step))
        extent, record = extent.after(record, op, stride), record.after(op)
        assert extent.length(window + more) == length
        # Every position of the last window has its place on the map.
        last_window = more // stride * stride
        assert (last_window + (record.n - 1) * record.jump) // extent.spacing < length


@given(
    st.integers(1, 12),
    st.integers(1, 5),
    st.integers(0, 60),
    st.integers(-8, 0),
    st.integers(0, 8),
    st.integers(1, 80),
)
def test_tiles_hold_every_window_once_and_all_that_it_sees(
    window: int, stride: int, more: int, low: int, past: int, limit: int
) -> None:
    size = window + more
    grid = WindowGrid((size,), (window,), (stride,))
    tiles = tiles_within(grid, [(low, window + past)], lambda pixels: pixels[0] <= limit)
    assert [index for tile in tiles for index in range(*tile.windows[0])] == list(range(grid.counts[0]))
    for tile in tiles:
        (start, stop), (first, last) = tile.pixels[0], tile.computed[0]
        assert start == first * stride
        assert (stop - start - window) // stride + 1 == last - first
        for index in range(*tile.windows[0]):
            assert start <= max(0, index * stride + low)
            assert stop >= min(size if past else 0, index * stride + window + past)


def test_regroup_refuses_to_cut_a_spatial_axis() -> None:
    layout = ((Batch(),), (Feature(6),), (Space(0),))
    sizes = {Batch(): 10007, Space(0): 4}
    assert regroup(layout, (10007, 12, 2), sizes) is None
    kept = regroup(layout, (10007, 3, 2, 4), sizes)
    assert kept is not None
    assert kept.after == ((Batch(),), (Feature(3),), (Feature(2),), (Space(0),))


@pytest.mark.parametrize(
    ("size", "window", "stride", "why"),
    [((8,), (9,), (1,), "smaller"), ((8,), (4,), (0,), "not positive"), ((8, 8), (4,), (1,), "axes")],
)
def test_grids_that_cannot_be(
    size: tuple[int, ...], window: tuple[int, ...], stride: tuple[int, ...], why: str
) -> None:
    with pytest.raises(InputError, match=why):
        WindowGrid(size, window, stride)


@given(st.lists(st.integers(1, 7), min_size=1, max_size=3), st.integers(1, 60))
def test_rectangles_hold_every_window_once_and_fit(counts: list[int], limit: int) -> None:
    def fits(size: tuple[int, ...]) -> bool:
        return prod(size) <= limit

    cut = rectangles(counts, fits)
    windows = [place for spans in cut for place in product(*(range(first, stop) for first, stop in spans))]
    assert sorted(windows) == list(product(*(range(count) for count in counts)))
    assert all(fits(tuple(stop - first for first, stop in spans)) for spans in cut)
    assert (len(cut) == 1) == fits(tuple(counts))


def test_no_rectangle_is_taken_that_does_not_fit_because_a_larger_one_does() -> None:
    """Fewer windows may share less, and so need more memory."""
    assert rectangles((5,), lambda size: size in [(3,), (1,)]) == [((at, at + 1),) for at in range(5)]
