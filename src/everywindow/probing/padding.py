"""Where a map depends on the place: the same content everywhere, and how far positions are from those in the middle."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
import torch
from torch import Tensor, fx

from everywindow.engines import Prepared
from everywindow.graph import Network
from everywindow.probing.fields import Field
from everywindow.probing.maps import Layer, common_period, scale_of, watched
from everywindow.report import LayerPlace

SMALLEST_PATCH = 4
"""Pixels; smaller periods repeat in it."""


def place_layers(
    prepared: Prepared, network: Network, layers: Sequence[Layer], fields: Sequence[Field], tolerance: float
) -> tuple[LayerPlace, ...]:
    """Of each layer how many positions tell where they lie, and by how much, where a patch of the image repeats.

    The patch is as large as a multiple of the layers' periods, so that a map repeats too where it sees no border.
    Layers for which that is more than half a window are left out.
    """
    window = network.window
    patch = _patch(common_period(tuple(layers), window), window)
    fitting = [layer for layer in layers if _fits(layer, patch)]
    found: dict[fx.Node, list[Tensor]] = {layer.node: [] for layer in fitting}
    values = {layer.node: layer.value for layer in fitting}
    by_node = {layer.node: layer for layer in fitting}
    for view in fields:
        # By how much a map varies over the image itself: over a patch that repeats it may be the same everywhere.
        scales = {node: scale_of(each) for node, each in watched(prepared, network, view.middle, values)}
        for node, each in watched(prepared, network, tiled(view.middle, patch), values):
            found[node].append(_from_the_middle(each, by_node[node], patch) / scales[node])
    return tuple(_row(layer, found[layer.node], tolerance) for layer in fitting)


def tiled(window: Tensor, patch: Sequence[int]) -> Tensor:
    """The middle of a window ``[C, *window]``, repeated over all of it."""
    for axis, size in enumerate(patch, start=1):
        length = window.shape[axis]
        index = (length - size) // 2 + torch.arange(length) % size
        window = window.index_select(axis, index.to(window.device))
    return window


def _patch(period: Sequence[int], window: Sequence[int]) -> tuple[int, ...]:
    return tuple(
        each * max(1, min(-(-SMALLEST_PATCH // each), size // 2 // each))
        for each, size in zip(period, window, strict=True)
    )


def _fits(layer: Layer, patch: Sequence[int]) -> bool:
    """Whether the map repeats with the patch, and has more positions than that."""
    return all(
        size % record.period == 0 and size // record.jump < record.n
        for record, size in zip(layer.axes, patch, strict=True)
    )


def _from_the_middle(values: Tensor, layer: Layer, patch: Sequence[int]) -> Tensor:
    """For every position how far it is from the one in the middle that sees the same, over the channels."""
    reference = values
    for axis, (record, size) in enumerate(zip(layer.axes, patch, strict=True), start=1):
        step = size // record.jump
        first = (record.n - step) // 2
        index = first + (torch.arange(record.n) - first) % step
        reference = reference.index_select(axis, index.to(values.device))
    return (values - reference).abs().amax(0)


def _row(layer: Layer, found: Sequence[Tensor], tolerance: float) -> LayerPlace:
    apart = torch.stack([each.double().cpu() for each in found])
    bodies = (max(0, stop - first) / record.n for (first, stop), record in zip(layer.bodies, layer.axes, strict=True))
    return LayerPlace(
        layer=layer.name,
        kind=layer.kind,
        reached=1 - prod(bodies),
        share=float((apart > tolerance).double().mean()),
        largest=float(apart.max()),
        mean=float(apart.mean()),
        places=apart.mean(0).numpy().astype(np.float32),
    )
