"""What the dimensions of a tensor stand for: ordered factors of batch, features and spatial axes.

A dimension is a tuple of atoms, outermost first: ``(Feature(512), Space(0), Space(1))`` is a vector made by
flattening channels, rows and columns in that order. A layout is a tuple of dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod


@dataclass(frozen=True)
class Batch:
    """The items of the batch."""


@dataclass(frozen=True)
class Feature:
    """Channels, or anything else that is neither batch nor a shared spatial axis."""

    size: int


@dataclass(frozen=True)
class Space:
    """A spatial axis of the image."""

    axis: int


Atom = Batch | Feature | Space
Dim = tuple[Atom, ...]
Layout = tuple[Dim, ...]


def space_axes(dims: Sequence[Dim]) -> tuple[int, ...]:
    """The spatial axes in some dimensions, in order."""
    return tuple(atom.axis for dim in dims for atom in dim if isinstance(atom, Space))


def has_batch(dim: Dim) -> bool:
    """Whether the batch is a factor of a dimension."""
    return any(isinstance(atom, Batch) for atom in dim)


def is_space(dim: Dim) -> bool:
    """Whether a dimension is one spatial axis and nothing else."""
    return len(dim) == 1 and isinstance(dim[0], Space)


def feature_dim(size: int) -> Dim:
    """A dimension of plain features; size 1 has no atom."""
    return () if size == 1 else (Feature(size),)


def without_space(layout: Layout, lengths: dict[int, int]) -> Layout:
    """The layout with spatial axes turned into plain features, as for a value computed per window."""

    def plain(atom: Atom) -> Atom:
        return Feature(lengths[atom.axis]) if isinstance(atom, Space) else atom

    return tuple(coalesced(tuple(plain(atom) for atom in dim)) for dim in layout)


def coalesced(dim: Dim) -> Dim:
    """Neighbouring features as one.

    >>> coalesced((Feature(2), Feature(3), Space(0)))
    (Feature(size=6), Space(axis=0))
    """
    atoms: list[Atom] = []
    for atom in dim:
        previous = atoms[-1] if atoms else None
        if isinstance(atom, Feature) and isinstance(previous, Feature):
            atoms[-1] = Feature(previous.size * atom.size)
        elif atom != Feature(1):
            atoms.append(atom)
    return tuple(atoms)


@dataclass(frozen=True)
class Regrouping:
    """A reshape told in atoms: the same atoms, grouped into the dimensions before and after it."""

    before: Layout
    after: Layout


def regroup(layout: Layout, shape: Sequence[int], sizes: dict[Atom, int]) -> Regrouping | None:
    """How a reshape groups the atoms of ``layout`` into dimensions of sizes ``shape``.

    Features are split where the new dimensions need it. None where a reshape cuts through the batch or a
    spatial axis. ``sizes`` holds the length of the batch and of the spatial axes.

    >>> layout = ((Batch(),), (Feature(8),), (Space(0),), (Space(1),))
    >>> regroup(layout, (2, 72), {Batch(): 2, Space(0): 3, Space(1): 3}).after[1]
    (Feature(size=8), Space(axis=0), Space(axis=1))
    """
    splitter = _Splitter(layout, sizes)
    after: list[Dim] = []
    for index, size in enumerate(shape):
        dim = splitter.take(size, shape[index + 1 :])
        if dim is None:
            return None
        after.append(dim)
    return Regrouping(splitter.before(), tuple(after)) if splitter.done() else None


class _Splitter:
    """Hands out the atoms of a layout from left to right, splitting features on demand."""

    def __init__(self, layout: Layout, sizes: dict[Atom, int]) -> None:
        self._atoms = [(atom, origin) for origin, dim in enumerate(layout) for atom in dim]
        self._rank = len(layout)
        self._sizes = sizes
        self._taken: list[tuple[Atom, int]] = []

    def take(self, size: int, later: Sequence[int]) -> Dim | None:
        """The next atoms, whose product is ``size``; None where no cut falls there.

        Atoms of size 1 go with what follows them, as long as later dimensions hold more than ones; beside the batch
        only where no dimension is left.
        """
        dim: list[Atom] = []
        filled = 1
        while filled < size:
            if not self._atoms or size % filled:
                return None
            if not self._fit(size // filled):
                return None
            filled *= self._pop(dim)
        ones = self._count_ones()
        ends = all(length == 1 for length in later) and not (later and Batch() in dim)
        spare = max(0, ones - len(later)) if ends else 0
        for _ in range(min(ones, 1) if size == 1 and not spare else spare):
            self._pop(dim)
        return tuple(dim) if filled == size else None

    def before(self) -> Layout:
        """The dimensions of the original layout, split as the new ones needed it."""
        return tuple(tuple(atom for atom, origin in self._taken if origin == dim) for dim in range(self._rank))

    def done(self) -> bool:
        """Whether nothing but ones is left; those end in the last dimension taken."""
        return not self._atoms

    def _size(self, atom: Atom) -> int:
        return atom.size if isinstance(atom, Feature) else self._sizes[atom]

    def _pop(self, dim: list[Atom]) -> int:
        atom, origin = self._atoms.pop(0)
        self._taken.append((atom, origin))
        dim.append(atom)
        return self._size(atom)

    def _count_ones(self) -> int:
        return next((index for index, (atom, _) in enumerate(self._atoms) if self._size(atom) != 1), len(self._atoms))

    def _fit(self, room: int) -> bool:
        """Split the next atom so that it fits into ``room``; False where it cannot."""
        atom, origin = self._atoms[0]
        size = self._size(atom)
        if room % size == 0:
            return True
        if not isinstance(atom, Feature) or size % room:
            return False
        self._atoms[:1] = [(Feature(room), origin), (Feature(size // room), origin)]
        return True


def shape_of(layout: Layout, sizes: dict[Atom, int]) -> tuple[int, ...]:
    """The shape of a tensor of this layout."""
    return tuple(prod(atom.size if isinstance(atom, Feature) else sizes[atom] for atom in dim) for dim in layout)
