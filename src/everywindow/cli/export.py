"""A converted network as a file of ``torch.export``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.fx.experimental import _config as symbolic_shapes

from everywindow.errors import ConversionError
from everywindow.io import atomic_path

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from everywindow.api import FullyConvolutional


def write_pt2(fcn: FullyConvolutional, path: str) -> None:
    """Export with a dynamic batch and dynamic sizes, and write the file only if it agrees with the network.

    Raises:
        ConversionError: ``torch.export`` fixed a size, or cannot follow the network.
        InputError: the file cannot be written.
    """
    fcn = fcn.eval()
    try:
        program = _exported(fcn)
        _check(program, fcn)
    except Exception as error:
        why = " ".join(str(error).split())[:120]
        raise ConversionError(
            "network",
            f"torch.export cannot write it for all sizes ({why})",
            "write a bundle, and convert it in Python",
        ) from error
    with atomic_path(path) as scratch:
        torch.export.save(program, scratch)


def _exported(fcn: FullyConvolutional) -> ExportedProgram:
    """Any batch, any size from the window up."""
    image = _noise(fcn, batch=2, steps=2)
    dynamic = {axis: torch.export.Dim.DYNAMIC for axis in range(image.ndim) if axis != 1}
    # Else memory layouts are decided for maps of more than one row, and the window's own size is refused.
    with symbolic_shapes.patch(backed_size_oblivious=True):  # type: ignore[attr-defined]
        return torch.export.export(fcn, (image,), dynamic_shapes=(dynamic,))


def _check(program: ExportedProgram, fcn: FullyConvolutional) -> None:
    """One window, one window along the first axis or the last, and many: all as in the network."""
    axes = len(fcn.geometry.window)
    module = program.module()
    for batch, steps in ((1, (0,) * axes), (1, (0,) * (axes - 1) + (4,)), (2, (5,) + (0,) * (axes - 1)), (3, 3)):
        image = _noise(fcn, batch, steps)
        with torch.no_grad():
            torch.testing.assert_close(module(image), fcn(image))


def _noise(fcn: FullyConvolutional, batch: int, steps: int | tuple[int, ...]) -> torch.Tensor:
    """So many strides more than one window on each axis; a number stands for as many, and one more per axis."""
    geometry = fcn.geometry
    axes = range(len(geometry.window))
    more = tuple(steps + axis for axis in axes) if isinstance(steps, int) else steps
    sizes = [geometry.window[axis] + more[axis] * geometry.stride[axis] for axis in axes]
    like = next(fcn.parameters(), torch.empty(0))
    return torch.randn(batch, fcn.channels, *sizes).to(like)
