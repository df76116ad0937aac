"""A converted network as a file of ``torch.export``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from everywindow.errors import ConversionError
from everywindow.io import atomic_path

if TYPE_CHECKING:
    from everywindow.api import FullyConvolutional


def write_pt2(fcn: FullyConvolutional, path: str) -> None:
    """Export with a dynamic batch and dynamic sizes, and write the file only if it agrees with the network.

    Raises:
        ConversionError: ``torch.export`` fixed a size, or cannot follow the network.
        InputError: the file cannot be written.
    """
    fcn = fcn.eval()
    small, large = _example(fcn, 2, batch=2), _example(fcn, 3, batch=3)
    dynamic = {axis: torch.export.Dim.DYNAMIC for axis in range(small.ndim) if axis != 1}
    try:
        program = torch.export.export(fcn, (small,), dynamic_shapes=(dynamic,))
        with torch.no_grad():
            torch.testing.assert_close(program.module()(large), fcn(large))
    except Exception as error:
        why = " ".join(str(error).split())[:120]
        raise ConversionError(
            "network",
            f"torch.export cannot write it for all sizes ({why})",
            "write a bundle, and convert it in Python",
        ) from error
    with atomic_path(path) as scratch:
        torch.export.save(program, scratch)


def _example(fcn: FullyConvolutional, steps: int, batch: int) -> torch.Tensor:
    """Noise a few windows large, of another size on each axis."""
    geometry = fcn.geometry
    sizes = [
        window + (steps + axis) * stride + axis
        for axis, (window, stride) in enumerate(zip(geometry.window, geometry.stride, strict=True))
    ]
    like = next(fcn.parameters(), torch.empty(0))
    return torch.randn(batch, fcn.channels, *sizes).to(like)
