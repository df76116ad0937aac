"""Scores of windows that are given one by one, not cut from an image."""

from __future__ import annotations

import torch
from torch import Tensor

from everywindow.engines.output import picked, score_vectors
from everywindow.engines.prepare import Prepared, most_together
from everywindow.graph import Output, evaluating

TOGETHER = 8
"""Windows in a batch; more hardly run faster."""


def window_scores(prepared: Prepared, windows: Tensor, output: Output = None) -> Tensor:
    """Scores ``[N, K]`` of windows ``[N, C, *window]`` by the original network, in its dtype and on its device.

    Raises:
        InputError: no such output, or no score vector.
    """
    batch = min(TOGETHER, most_together(prepared))
    with evaluating(prepared.module), torch.inference_mode():
        parts = [
            score_vectors(picked(prepared.module(part), output), len(part))
            for part in windows.to(device=prepared.device, dtype=prepared.dtype).split(batch)
        ]
    return torch.cat(parts)
