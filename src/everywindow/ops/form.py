"""How a value of a converted network lies in memory, as a function of its layout.

*In place*: each dimension of the window's tensor stays where it is, spatial axes grow to the image's extent.
*Vector form*, where an axis is merged into another dimension (a flattened vector): the batch, then the axes,
then the other dimensions without their spatial factors. So a flattened map stays a map until somebody needs
the vector.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from everywindow.geometry import Atom, Batch, Feature, Layout, Space, is_space, space_axes


@dataclass(frozen=True)
class Slot:
    """One physical dimension: a spatial axis of the image, or a dimension of the layout."""

    axis: int | None = None
    dim: int | None = None


Form = tuple[Slot, ...]


def is_in_place(layout: Layout) -> bool:
    """Whether every spatial axis has a dimension of its own."""
    return all(is_space(dim) or not space_axes((dim,)) for dim in layout)


def form_of(layout: Layout) -> Form:
    """The physical dimensions of a value with this layout."""
    if is_in_place(layout):
        return tuple(
            Slot(axis=space_axes((dim,))[0]) if is_space(dim) else Slot(dim=index) for index, dim in enumerate(layout)
        )
    axes = tuple(Slot(axis=axis) for axis in sorted(space_axes(layout)))
    return (Slot(dim=0), *axes, *(Slot(dim=index) for index in range(1, len(layout))))


def physical_dim(layout: Layout, dim: int) -> int:
    """Where a dimension of the layout (or, for a spatial one, its axis) lies in memory."""
    wanted = Slot(axis=space_axes((layout[dim],))[0]) if is_space(layout[dim]) else Slot(dim=dim)
    return form_of(layout).index(wanted)


def axis_dim(layout: Layout, axis: int) -> int:
    """Where a spatial axis lies in memory."""
    return form_of(layout).index(Slot(axis=axis))


Label = int
KEEP = 0
"""In a split: the dimension is kept whole."""


@dataclass(frozen=True)
class Rearrangement:
    """A reshape and permutation of physical dimensions.

    Attributes:
        splits: per input dimension the sizes to split it into: ``(KEEP,)`` keeps it, ``()`` drops a dimension of
            size 1, and one ``-1`` takes what the others leave.
        order: the pieces in their new order.
        groups: per output dimension how many pieces it merges; 0 makes a dimension of size 1.
    """

    splits: tuple[tuple[int, ...], ...]
    order: tuple[int, ...]
    groups: tuple[int, ...]

    @property
    def trivial(self) -> bool:
        """Whether nothing changes."""
        return (
            all(split == (KEEP,) for split in self.splits)
            and list(self.order) == sorted(self.order)
            and all(group == 1 for group in self.groups)
        )


def rearrangement(before: Layout, after: Layout, order: tuple[Label, ...] | None = None) -> Rearrangement:
    """How the physical form changes between two groupings of the same atoms.

    ``order`` gives the labels (positions in ``before``, all dimensions in a row) of the atoms of ``after``;
    the same order by default.
    """
    old = _labelled(before, tuple(range(_count(before))))
    new = _labelled(after, order or tuple(range(_count(before))))
    sizes = {
        label: atom for labels, dim in zip(old, before, strict=True) for label, atom in zip(labels, dim, strict=True)
    }
    old_slots = _slot_labels(before, old)
    new_slots = _slot_labels(after, new)
    pieces = [label for labels in old_slots for label in labels]
    return Rearrangement(
        splits=tuple(_split(labels, sizes) for labels in old_slots),
        order=tuple(pieces.index(label) for labels in new_slots for label in labels),
        groups=tuple(len(labels) for labels in new_slots),
    )


def reordered(before: Layout, after: Layout, order: Sequence[int]) -> Rearrangement:
    """How the physical form changes where whole dimensions of ``before`` come in another order."""
    starts = [0, *accumulate(len(dim) for dim in before)]
    return rearrangement(before, after, tuple(label for dim in order for label in range(starts[dim], starts[dim + 1])))


def _count(layout: Layout) -> int:
    return sum(len(dim) for dim in layout)


def _labelled(layout: Layout, labels: tuple[Label, ...]) -> list[tuple[Label, ...]]:
    named, start = [], 0
    for dim in layout:
        named.append(labels[start : start + len(dim)])
        start += len(dim)
    return named


def _slot_labels(layout: Layout, labels: list[tuple[Label, ...]]) -> list[tuple[Label, ...]]:
    """The labels in each physical dimension."""
    where = {
        atom.axis: label
        for dim, names in zip(layout, labels, strict=True)
        for atom, label in zip(dim, names, strict=True)
        if isinstance(atom, Space)
    }
    slots: list[tuple[Label, ...]] = []
    for slot in form_of(layout):
        if slot.axis is not None:
            slots.append((where[slot.axis],))
        else:
            assert slot.dim is not None
            pairs = zip(layout[slot.dim], labels[slot.dim], strict=True)
            slots.append(tuple(label for atom, label in pairs if not isinstance(atom, Space)))
    return slots


def _split(labels: tuple[Label, ...], atoms: Mapping[Label, Atom]) -> tuple[int, ...]:
    if not labels:
        return ()
    if len(labels) == 1:
        return (KEEP,)
    sizes = (atoms[label] for label in labels)
    return tuple(-1 if isinstance(atom, Batch) else atom.size for atom in sizes if isinstance(atom, Batch | Feature))
