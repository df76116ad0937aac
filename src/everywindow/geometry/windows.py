"""The windows of an image: where they lie, and rectangles of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import prod

from everywindow.errors import InputError


@dataclass(frozen=True)
class WindowGrid:
    """All windows of ``window`` pixels, every ``stride`` pixels, that lie inside an image (one number per axis).

    >>> grid = WindowGrid(image_size=(384, 384), window=(224, 224), stride=(32, 32))
    >>> grid.counts, grid.total
    ((6, 6), 36)
    """

    image_size: tuple[int, ...]
    window: tuple[int, ...]
    stride: tuple[int, ...]

    def __post_init__(self) -> None:
        _check_same_axes(self.image_size, self.window, self.stride)
        _check_positive("window", self.window)
        _check_positive("stride", self.stride)
        if any(size < window for size, window in zip(self.image_size, self.window, strict=True)):
            raise InputError(
                f"image of {times(self.image_size)} pixels",
                f"smaller than the window of {times(self.window)}",
                "give a larger image, enlarge it with scale=, or extend it with pad=",
            )

    @property
    def counts(self) -> tuple[int, ...]:
        """Windows per axis."""
        return tuple(
            (size - window) // stride + 1
            for size, window, stride in zip(self.image_size, self.window, self.stride, strict=True)
        )

    @property
    def total(self) -> int:
        """Number of windows."""
        return prod(self.counts)

    @property
    def offsets(self) -> tuple[tuple[int, ...], ...]:
        """Per axis, the first pixel of each window."""
        return tuple(
            tuple(index * stride for index in range(count))
            for count, stride in zip(self.counts, self.stride, strict=True)
        )

    def positions(self) -> Iterator[tuple[int, ...]]:
        """The first pixel of each window, the last axis fastest."""
        return product(*self.offsets)


def check_step(stride: tuple[int, ...] | None, image_size: tuple[int, ...], because: str = "") -> None:
    """See that a stride that was asked for leads from one window to another; None is the network's.

    Raises:
        InputError: it is larger than the image.
    """
    if stride is not None and any(step > size for step, size in zip(stride, image_size, strict=True)):
        raise InputError(
            "stride",
            f"{times(stride)} pixels are more than the image of {times(image_size)} has",
            f"give a smaller one{because and ': '}{because}",
        )


def times(sizes: tuple[int, ...]) -> str:
    """Sizes for people.

    >>> times((384, 512))
    '384×512'
    """
    return "×".join(str(size) for size in sizes)


def axis_names(axes: int) -> tuple[str, ...]:
    """Names of spatial axes for people, the last one x.

    >>> axis_names(2)
    ('y', 'x')
    """
    return ("z", "y", "x")[-axes:] if axes <= 3 else tuple(f"axis {index}" for index in range(axes))


def per_axis(name: str, value: int | tuple[int, ...] | list[int], axes: int) -> tuple[int, ...]:
    """One positive integer per axis from an int or a sequence.

    >>> per_axis("stride", 4, axes=2)
    (4, 4)

    Raises:
        InputError: not a positive integer, or a sequence of another length.
    """
    values = tuple(value) if isinstance(value, tuple | list) else (value,) * axes
    if len(values) != axes:
        raise InputError(name, f"{len(values)} numbers for {axes} axes", f"give one integer, or {axes} of them")
    _check_positive(name, values)
    return values


def _check_positive(name: str, values: tuple[int, ...]) -> None:
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int):
            raise InputError(name, f"{value!r} is not an integer", "give a number of pixels, 1 or more")
        if value < 1:
            raise InputError(name, f"{value} is not positive", "give a number of pixels, 1 or more")


def _check_same_axes(*sizes: tuple[int, ...]) -> None:
    if len({len(size) for size in sizes}) != 1:
        raise InputError(
            "image, window and stride",
            f"have {', '.join(str(len(size)) for size in sizes)} axes",
            "give the same number of spatial axes for all",
        )
