"""How far each layer's map is from moving with the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor, fx

from everywindow.engines import Prepared
from everywindow.graph import Network
from everywindow.probing.fields import Field
from everywindow.probing.maps import Layer, spread, watch, watched
from everywindow.report import LayerShift


def shifted_layers(
    prepared: Prepared, network: Network, layers: Sequence[Layer], fields: Sequence[Field]
) -> tuple[LayerShift, ...]:
    """Of each layer the map of the moved image against the moved map, the largest difference over the images.

    The image moves along all axes at once: by what makes the map move by whole positions, and by one pixel.
    """
    found = {layer.node: _Found() for layer in layers}
    values = {layer.node: layer.value for layer in layers}
    for view in fields:
        base = dict(watched(prepared, network, view.middle, values))
        spreads = {node: spread(each) or 1.0 for node, each in base.items()}
        for period in dict.fromkeys(layer.period for layer in layers):
            moved = {layer.node: layer for layer in layers if layer.period == period}
            some = {node: layer.value for node, layer in moved.items()}

            def see(node: fx.Node, each: Tensor, moved: dict[fx.Node, Layer] = moved) -> None:
                layer = moved[node]
                found[node].whole(_apart(base[node], each, layer, layer.steps), spreads[node])

            watch(prepared, network, view.at(period), some, see)
        by_node = {layer.node: layer for layer in layers}

        def see_one(node: fx.Node, each: Tensor) -> None:
            layer = by_node[node]
            found[node].by_one(_apart(base[node], each, layer, _by_a_pixel(layer)), spreads[node])

        watch(prepared, network, view.at((1,) * len(view.window)), values, see_one)
    return tuple(_row(layer, found[layer.node]) for layer in layers)


@dataclass
class _Found:
    """The largest relative differences so far."""

    inside: list[float] = field(default_factory=list)
    everywhere: list[float] = field(default_factory=list)
    one: list[float] = field(default_factory=list)

    def whole(self, apart: tuple[float, float | None], scale: float) -> None:
        self.everywhere.append(apart[0] / scale)
        self.inside += [] if apart[1] is None else [apart[1] / scale]

    def by_one(self, apart: tuple[float, float | None], scale: float) -> None:
        self.one.append((apart[0] if apart[1] is None else apart[1]) / scale)


def _row(layer: Layer, found: _Found) -> LayerShift:
    return LayerShift(
        layer=layer.name,
        kind=layer.kind,
        positions=tuple(record.n for record in layer.axes),
        sees=layer.sees,
        shift=layer.period,
        interior=max(found.inside) if found.inside else None,
        everywhere=max(found.everywhere),
        one_pixel=max(found.one),
    )


def _by_a_pixel(layer: Layer) -> tuple[int, ...]:
    """Positions by which a map moves with one pixel: none where they lie farther apart."""
    return tuple(1 if record.jump == 1 else 0 for record in layer.axes)


def _apart(base: Tensor, moved: Tensor, layer: Layer, steps: Sequence[int]) -> tuple[float, float | None]:
    """The largest difference between a map moved by ``steps`` and the other, over all positions that both have; and
    over those alone that see no padding in either."""
    for axis, step in enumerate(steps, start=1):
        base, moved = base.narrow(axis, 0, base.shape[axis] - step), moved.narrow(axis, step, moved.shape[axis] - step)
    apart = (moved - base).abs().amax(0)
    inner = apart
    for axis, (record, step) in enumerate(zip(layer.axes, steps, strict=True)):
        inner = inner.narrow(axis, min(record.head, inner.shape[axis]), max(0, record.n - record.head - record.tail - step))
    return float(apart.max()), float(inner.max()) if inner.numel() else None
