"""Zarr arrays, and OME-Zarr images of the versions 0.4 and 0.5 with their levels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from everywindow.errors import InputError
from everywindow.io.formats.sliced import CHANNEL, SlicedSource, levels_by_size, native, roles_of, sizes
from everywindow.io.reading import opening
from everywindow.io.source import Level, Placement, Source

MARKS = ("zarr.json", ".zgroup", ".zarray")
NOT_OME = "give an OME-Zarr image of version 0.4 or 0.5, or one array"


def opens(path: Path) -> bool:
    """A directory with zarr's own files."""
    return any((path / mark).is_file() for mark in MARKS)


def source(path: Path, channels: int, axes: int) -> Source:
    """An array or an image with levels.

    Which axis of an array holds the channels is told by its names (``dimension_names``, or an attribute ``axes``). Of
    an array without names it is the last one, or the first one where that alone has the classifier's channels.
    """
    import zarr

    with opening(str(path), NOT_OME):
        node: Any = zarr.open(path, mode="r")
        if isinstance(node, zarr.Array):
            return _array(path, node, channels, axes)
        return _image(path, node, axes)


def _array(path: Path, array: Any, channels: int, axes: int) -> Source:
    names = _names(array)
    roles = roles_of(names, array.shape, axes, str(path)) if names else _guessed(path, array.shape, channels, axes)
    size = sizes(array.shape, roles)
    bands = array.shape[roles.index(CHANNEL)] if CHANNEL in roles else 1
    levels = (Level(size, (1.0,) * axes),)
    return SlicedSource(str(path), "zarr", (array,), roles, levels, bands, native(array.dtype))


def _names(array: Any) -> tuple[str, ...] | None:
    """Names of the array's axes, where they are those of an image."""
    given = getattr(array.metadata, "dimension_names", None) or array.attrs.get("axes")
    given = given or array.attrs.get("_ARRAY_DIMENSIONS")
    if not isinstance(given, Sequence) or len(given) != array.ndim:
        return None
    names = tuple({"channel": "c", "time": "t"}.get(name, name) for name in (str(name).lower() for name in given))
    return names if set(names) & set("zyxc") else None


def _guessed(path: Path, shape: tuple[int, ...], channels: int, axes: int) -> tuple[int, ...]:
    if len(shape) == axes:
        return tuple(range(axes))
    if len(shape) != axes + 1:
        raise InputError(
            str(path),
            f"an array of shape {shape} is not {axes} axes, or {axes} and channels",
            "give one image, channels last",
        )
    first = shape[0] == channels and shape[-1] != channels
    return (CHANNEL, *range(axes)) if first else (*range(axes), CHANNEL)


def _image(path: Path, group: Any, axes: int) -> Source:
    attributes = _ome(group)
    if "bioformats2raw.layout" in attributes and "multiscales" not in attributes:
        group = group["0"]
        attributes = _ome(group)
    if "multiscales" not in attributes:
        why = "is a plate" if "plate" in attributes else "is a zarr group without multiscales"
        raise InputError(str(path), f"{why}, not one image", NOT_OME)
    scales = attributes["multiscales"][0]
    names = tuple(_name(axis) for axis in scales["axes"])
    arrays = tuple(group[dataset["path"]] for dataset in scales["datasets"])
    roles = roles_of(names, arrays[0].shape, axes, str(path))
    factors, places = zip(*(_placed(scales, dataset, roles) for dataset in scales["datasets"]), strict=True)
    levels = levels_by_size([sizes(array.shape, roles) for array in arrays])
    if len(set(factors)) == len(arrays):  # else there are none: versions before 0.4 do not ask for them
        levels = tuple(
            Level(level.size, tuple(own / base for own, base in zip(factor, factors[0], strict=True)))
            for level, factor in zip(levels, factors, strict=True)
        )
    bands = arrays[0].shape[roles.index(CHANNEL)] if CHANNEL in roles else 1
    unit = _unit(scales["axes"], roles)
    offset = places[0] if any(places[0]) else None
    placement = Placement(spacing=factors[0], unit=unit, offset=offset) if unit else Placement()
    return SlicedSource(str(path), "ome-zarr", arrays, roles, levels, bands, native(arrays[0].dtype), placement)


def _ome(group: Any) -> Mapping[str, Any]:
    """Attributes stand in ``ome`` since version 0.5."""
    attributes: Mapping[str, Any] = group.attrs.asdict()
    inner = attributes.get("ome")
    return inner if isinstance(inner, Mapping) else attributes


def _name(axis: Any) -> str:
    return str(axis["name"] if isinstance(axis, Mapping) else axis).lower()


def _placed(
    scales: Mapping[str, Any], dataset: Mapping[str, Any], roles: Sequence[int]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Extent of a pixel, and where the first one's centre lies, per spatial axis.

    By the transformations of the level, then those that all levels share.
    """
    factors, place = [1.0] * len(roles), [0.0] * len(roles)
    for owner in (dataset, scales):
        for step in owner.get("coordinateTransformations", ()):
            if step.get("type") == "scale":
                factors, place = (
                    [a * float(b) for a, b in zip(each, step["scale"], strict=True)] for each in (factors, place)
                )
            elif step.get("type") == "translation":
                place = [a + float(b) for a, b in zip(place, step["translation"], strict=True)]
    spatial = [roles.index(axis) for axis in range(max(roles) + 1)]
    return tuple(factors[n] for n in spatial), tuple(place[n] for n in spatial)


def _unit(axes: Sequence[Any], roles: Sequence[int]) -> str | None:
    """The unit that all spatial axes have; None where they have none, or several."""
    units = {
        axis.get("unit") for axis, role in zip(axes, roles, strict=True) if role >= 0 and isinstance(axis, Mapping)
    }
    (unit,) = units if len(units) == 1 else (None,)
    return unit
