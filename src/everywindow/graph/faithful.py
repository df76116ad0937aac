"""A captured graph is tried once against its module, one window at a time.

``torch.export`` follows the code for batches of two and more. Code that takes another way for a single image, or
that the graph does not tell in full, shows here; the records prove the rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from everywindow.errors import CaptureError
from everywindow.graph.applied import original
from everywindow.graph.evaluating import evaluating, precision
from everywindow.graph.module import run
from everywindow.graph.network import Network, output_nodes
from everywindow.graph.outputs import leaves, plain_outputs
from everywindow.graph.records import records

CLOSE = {torch.float64: 1e-7, torch.float32: 1e-3}
"""Largest difference that rounding explains, relative to the largest score; half precisions get ``COARSE``."""

COARSE = 0.1

FINE = 1e-11
"""In float64, what rounding explains at least; more where the network amplifies it."""

AMPLIFIED = 1000
"""So many times as much as the scores move with the last digits of the pixels."""

SLACK = 16
"""A kept graph may be so many times as far from its module as it was when it was captured, for weights change."""

ROUNDINGS = 64
"""Or so many roundings of the largest score."""


def check_faithful(network: Network, module: nn.Module) -> None:
    """Compare the graph on two windows of noise with the module on each of them.

    Raises:
        CaptureError: they differ.
    """
    noise = _noise(network, module, 2)
    fixed = _without_image(network)
    with evaluating(module), torch.no_grad():
        together = _tensors(run(network.graph, network.state, noise.clone()))
        apart = [_tensors(module(noise[index : index + 1].clone())) for index in range(2)]
        tolerance = _tolerance(noise[:1], apart[0], module)
    for index, scores in enumerate(together):
        for item, alone in enumerate(apart):
            row = None if index in fixed else item
            if index >= len(alone) or not _alike(scores, alone[index], row, tolerance):
                raise CaptureError(
                    type(original(module)).__name__,
                    "its captured graph gives other scores than the module does for a single window",
                    "check code that depends on the size of the batch",
                )


def _tolerance(window: Tensor, scores: list[Tensor], module: nn.Module) -> float:
    """How far the graph's scores may be from the module's, relative to the largest."""
    close = CLOSE.get(window.dtype, COARSE)
    if window.dtype != torch.float64:
        return close
    signs = torch.arange(window.numel(), device=window.device).reshape(window.shape) % 2 * 2 - 1
    moved = _tensors(module(window * (1 + torch.finfo(window.dtype).eps * signs)))
    pairs = zip(moved, scores, strict=False)
    return min(close, max(FINE, AMPLIFIED * max((_apart(*pair) for pair in pairs), default=0.0)))


Scores = list[Tensor] | None
"""What one window of noise gives; None where the code fails."""


def module_scores(network: Network, module: nn.Module) -> Scores:
    """The module's own scores of one window of noise."""
    return _tried(module, lambda noise: module(noise), network)


def graph_scores(network: Network, module: nn.Module) -> Scores:
    """The graph's scores of the same window."""
    return _tried(module, lambda noise: run(network.graph, network.state, noise), network)


def distance(scores: Scores, others: Scores) -> float:
    """How far scores are from others, relative to the largest of them; infinite where they are not comparable."""
    if scores is None or others is None or len(scores) != len(others):
        return math.inf
    return max((_apart(*pair) for pair in zip(scores, others, strict=True)), default=0.0)


def bound(network: Network, module: nn.Module, before: float) -> float:
    """How far a kept graph may be from its module, which were ``before`` so far from one another.

    Both run the same operations on one window, so they are much nearer than :data:`CLOSE`.
    """
    dtype, _ = precision(module, network.window, network.channels)
    return min(max(SLACK * before, ROUNDINGS * torch.finfo(dtype).eps), CLOSE.get(dtype, COARSE))


def _tried(module: nn.Module, call: Callable[[Tensor], Any], network: Network) -> Scores:
    try:
        with evaluating(module), torch.no_grad():
            return [scores.detach().clone() for scores in _tensors(call(_noise(network, module, 1)))]
    except Exception:  # whatever the module's code raises now
        return None


def _noise(network: Network, module: nn.Module, windows: int) -> Tensor:
    """Windows of noise, a hundred times as strong at one end as at the other: so limits in the code show."""
    dtype, device = precision(module, network.window, network.channels)
    generator = torch.Generator().manual_seed(0)
    strength = torch.logspace(0, 2, network.window[-1])
    noise = torch.randn((windows, network.channels, *network.window), generator=generator) * strength
    return noise.to(device, dtype)


def _without_image(network: Network) -> set[int]:
    """Which of the outputs depend on weights alone: they have no row for each window."""
    values = records(network).values
    leaves = [leaf for leaf in output_nodes(network) if "shape" in leaf.meta]
    return {index for index, leaf in enumerate(leaves) if values[leaf] is None}


def _tensors(outputs: Any) -> list[Tensor]:
    return [leaf for _, leaf in leaves(plain_outputs(outputs))]


def _alike(scores: Tensor, alone: Tensor, item: int | None, tolerance: float) -> bool:
    """Whether one item's scores equal those of the window alone; a lost batch dimension does not count.

    Without an item: whether the two are equal as they are.
    """
    if item is not None:
        if scores.ndim == 0 or len(scores) != 2:
            return False
        scores = scores[item]
    return _apart(scores, alone) <= tolerance


def _apart(scores: Tensor, others: Tensor) -> float:
    """The largest difference relative to the largest of the others; of what is not finite, only the places count."""
    if scores.numel() != others.numel():
        return math.inf
    one, other = scores.detach().flatten(), others.detach().flatten()
    one, other = (values if values.is_complex() else values.double() for values in (one, other))
    finite = other.isfinite()
    if not torch.equal(one.isfinite(), finite):
        return math.inf
    one, other = one[finite], other[finite]
    if not len(one):
        return 0.0
    return float((one - other).abs().max()) / max(float(other.abs().max()), math.ulp(0.0))
