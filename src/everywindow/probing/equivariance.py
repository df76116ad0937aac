"""How far each layer's map is from moving with the image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor, fx

from everywindow.engines import Prepared
from everywindow.graph import Network
from everywindow.probing.fields import Field
from everywindow.probing.maps import Layer, scale_of, watch, watched
from everywindow.report import LayerShift


def shifted_layers(
    prepared: Prepared, network: Network, layers: Sequence[Layer], fields: Sequence[Field]
) -> tuple[LayerShift, ...]:
    """Of each layer the map of the moved image against the moved map, the largest difference over the images.

    The image moves along all axes at once: by what makes the map move by whole positions, and by one pixel.
    """
    found = {layer.node: _Found() for layer in layers}
    for view in fields:
        _Look.at(prepared, network, layers, view).at_all(found)
    return tuple(_row(layer, found[layer.node]) for layer in layers)


@dataclass(frozen=True)
class _Look:
    """One image: the maps of its window, and how much each varies."""

    prepared: Prepared
    network: Network
    view: Field
    layers: Sequence[Layer]
    maps: Mapping[fx.Node, Tensor]
    spreads: Mapping[fx.Node, float]

    @classmethod
    def at(cls, prepared: Prepared, network: Network, layers: Sequence[Layer], view: Field) -> _Look:
        values = {layer.node: layer.value for layer in layers}
        maps = dict(watched(prepared, network, view.middle, values))
        return cls(prepared, network, view, layers, maps, {node: scale_of(each) for node, each in maps.items()})

    def at_all(self, found: Mapping[fx.Node, _Found]) -> None:
        """Move by each layer's own step, and by one pixel."""
        for period in dict.fromkeys(layer.period for layer in self.layers):
            own = [layer for layer in self.layers if layer.period == period]
            for layer, (everywhere, inside) in self._moved(period, own, lambda layer: layer.steps):
                found[layer.node].everywhere.append(everywhere)
                found[layer.node].inside += [] if inside is None else [inside]
        for layer, (everywhere, inside) in self._moved((1,) * len(self.view.window), self.layers, _by_a_pixel):
            found[layer.node].one.append(everywhere if inside is None else inside)

    def _moved(
        self, shift: tuple[int, ...], layers: Sequence[Layer], steps: Callable[[Layer], Sequence[int]]
    ) -> list[tuple[Layer, tuple[float, float | None]]]:
        """How far the maps of the moved image are from the moved maps, over their spreads."""
        by_node = {layer.node: layer for layer in layers}
        found = []

        def see(node: fx.Node, each: Tensor) -> None:
            layer, scale = by_node[node], self.spreads[node]
            everywhere, inside = _apart(self.maps[node], each, layer, steps(layer))
            found.append((layer, (everywhere / scale, None if inside is None else inside / scale)))

        watch(self.prepared, self.network, self.view.at(shift), {node: by_node[node].value for node in by_node}, see)
        return found


@dataclass
class _Found:
    """The largest relative differences so far."""

    inside: list[float] = field(default_factory=list)
    everywhere: list[float] = field(default_factory=list)
    one: list[float] = field(default_factory=list)


def _row(layer: Layer, found: _Found) -> LayerShift:
    return LayerShift(
        layer=layer.name,
        kind=layer.kind,
        positions=tuple(record.n for record in layer.axes),
        sees=layer.sees,
        shift=layer.period,
        whole=layer.whole,
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
    for axis, ((first, stop), step) in enumerate(zip(layer.bodies, steps, strict=True)):
        inner = inner.narrow(axis, min(first, inner.shape[axis]), max(0, stop - first - step))
    return float(apart.max()), float(inner.max()) if inner.numel() else None
