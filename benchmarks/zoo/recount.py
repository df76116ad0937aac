"""Rows whose mult-adds are counted anew, for rules that count more: nothing is scanned again.

A network that converts in another way than its row says is named: its row must be made anew.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

import torch

import everywindow as ew
from benchmarks.zoo.examine import how_it_converts, sharing_of
from benchmarks.zoo.networks import CHANNELS, build
from benchmarks.zoo.row import Row
from everywindow.costing import crops_macs, fcn_macs
from everywindow.engines.prepare import prepare
from everywindow.errors import CaptureError, ConversionError
from everywindow.geometry import WindowGrid


def recounted(rows: Sequence[Row], workers: int) -> Iterator[Row]:
    """The rows in their order, with today's counts; those that were not scored as they are."""
    with ProcessPoolExecutor(workers, mp_context=get_context("forkserver")) as pool:
        for before, after in zip(rows, pool.map(_recounted, rows), strict=True):
            if before.converts != after.converts:
                print(f"{before.library}:{before.name} converts otherwise: make its row anew", file=sys.stderr)
            yield after


def _recounted(row: Row) -> Row:
    if row.refused or row.untried:
        return row
    torch.set_num_threads(1)
    module, window = build(row.library, row.name), (row.window, row.window)
    prepared = prepare(module, window, CHANNELS)
    gain, ends = sharing_of(module, row.window, row.stride)
    if prepared.network is None:
        return replace(row, gain=gain, ends=ends)
    macs = crops_macs(prepared.network, WindowGrid(window, window, window))
    row = replace(row, gain=gain, ends=ends, macs_window=macs)
    try:
        converted = ew.convolutionalize(ew.Classifier(module, row.window, CHANNELS))
    except (CaptureError, ConversionError):
        return replace(row, converts="")
    if not row.converts:
        return replace(row, converts=how_it_converts(prepared, converted))
    grid = WindowGrid(row.image_size, window, converted.geometry.stride)
    return replace(
        row,
        converts=how_it_converts(prepared, converted),
        macs_crops=crops_macs(prepared.network, grid),
        macs_fcn=fcn_macs(converted.maps, grid),
    )
