"""A captured graph is tried once against its module, one window at a time.

``torch.export`` follows the code for batches of two and more. Code that takes another way for a single image, or
that the graph does not tell in full, shows here; the records prove the rest.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from everywindow.errors import CaptureError
from everywindow.graph.evaluating import evaluating, precision
from everywindow.graph.module import run
from everywindow.graph.network import Network
from everywindow.graph.records import output_nodes, records

CLOSE = {torch.float64: 1e-7, torch.float32: 1e-3}
"""Largest difference that rounding explains, relative to the largest score; half precisions get ``COARSE``."""

COARSE = 0.1


def check_faithful(network: Network, module: nn.Module) -> None:
    """Compare the graph on two windows of noise with the module on each of them.

    Raises:
        CaptureError: they differ.
    """
    dtype, device = precision(module)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn((2, network.channels, *network.window), generator=generator).to(device, dtype)
    fixed = _without_image(network)
    with evaluating(module), torch.no_grad():
        together = _tensors(run(network.graph, network.state, noise.clone()))
        apart = [_tensors(module(noise[index : index + 1].clone())) for index in range(2)]
    for index, scores in enumerate(together):
        for item, alone in enumerate(apart):
            row = None if index in fixed else item
            if index >= len(alone) or not _alike(scores, alone[index], row, CLOSE.get(dtype, COARSE)):
                raise CaptureError(
                    type(module).__name__,
                    "its captured graph gives other scores than the module does for a single window",
                    "check code that depends on the size of the batch; it can only run as crops",
                )


def _without_image(network: Network) -> set[int]:
    """Which of the outputs depend on weights alone: they have no row for each window."""
    values = records(network).values
    leaves = [leaf for leaf in output_nodes(network) if "shape" in leaf.meta]
    return {index for index, leaf in enumerate(leaves) if values[leaf] is None}


def _tensors(outputs: Any) -> list[Tensor]:
    if hasattr(outputs, "values") and not isinstance(outputs, Tensor | dict):
        outputs = dict(outputs)
    return [leaf for leaf in pytree.tree_leaves(outputs) if isinstance(leaf, Tensor)]


def _alike(scores: Tensor, alone: Tensor, item: int | None, tolerance: float) -> bool:
    """Whether one item's scores equal those of the window alone; a lost batch dimension does not count.

    Without an item: whether the two are equal as they are.
    """
    if item is not None:
        if scores.ndim == 0 or len(scores) != 2:
            return False
        scores = scores[item]
    if scores.numel() != alone.numel():
        return False
    one, other = scores.detach().double().flatten(), alone.detach().double().flatten()
    if not (bool(one.isfinite().all()) and bool(other.isfinite().all())):
        return torch.equal(one.isfinite(), other.isfinite())
    largest = max(float(other.abs().max()), math.ulp(0.0)) if len(other) else 1.0
    return len(one) == 0 or float((one - other).abs().max()) <= tolerance * largest
