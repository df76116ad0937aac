"""C5b: with kernel 3 each input feeds 3 outputs and each output sees 3 inputs; in an FC layer each feeds and sees all.

Each weight of a kernel is used at every position, each of an FC layer once.
"""

from __future__ import annotations

from torch import nn

import everywindow as ew


def test_counted_in_the_matrix() -> None:
    conv = nn.Conv1d(1, 1, 3, padding=1, bias=False)
    counts = ew.matrix_counts(conv, 7)
    assert (counts.inputs_per_output, counts.outputs_per_input) == (3, 3)
    matrix = ew.conv_to_linear(conv, 7, sparse=False).weight.detach() != 0
    assert matrix.sum(1).tolist() == matrix.sum(0).tolist() == [2, 3, 3, 3, 3, 3, 2]  # fewer at the border
    dense = nn.Linear(7, 7, bias=False).weight.detach() != 0
    assert dense.sum(1).tolist() == dense.sum(0).tolist() == [7] * 7


def test_uses_of_a_weight() -> None:
    """A kernel of 3 over 9 positions without padding: 7 uses each."""
    assert ew.matrix_counts(nn.Conv1d(1, 1, 3, bias=False), 9).uses_per_weight == 7
    net = nn.Sequential(nn.Conv1d(1, 1, 3, bias=False), nn.Flatten(), nn.Linear(7, 5, bias=False))
    conv, fc = ew.cost(net, 9, window=9, predict=False, advise=False).rows
    assert (conv.macs / conv.params, fc.macs / fc.params) == (7, 1)
