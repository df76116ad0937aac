"""A converted network as a file: of ``torch.export``, or ONNX."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.fx.experimental import _config as symbolic_shapes

from everywindow.errors import ConversionError, DependencyError
from everywindow.graph import leaves, plain_outputs, quiet_torch
from everywindow.io import atomic_path

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from everywindow.api import FullyConvolutional


ONNX_EQUAL = 1e-4
"""How far another runtime's scores may be off, relative to the largest."""


def write_pt2(fcn: FullyConvolutional, path: str) -> None:
    """Export with a dynamic batch and dynamic sizes, and write the file only if it agrees with the network.

    Raises:
        ConversionError: ``torch.export`` fixed a size, or cannot follow the network.
        InputError: the file cannot be written.
    """
    fcn = fcn.eval()
    try:
        program = _exported(fcn)
        _check(program.module(), fcn)
    except Exception as error:
        why = " ".join(str(error).split())[:120]
        raise ConversionError(
            "network",
            f"torch.export cannot write it for all sizes ({why})",
            "write a bundle, and convert it in Python",
        ) from error
    with atomic_path(path) as scratch:
        torch.export.save(program, scratch)


def write_onnx(fcn: FullyConvolutional, path: str) -> None:
    """Write ONNX with a dynamic batch and dynamic sizes, only if onnxruntime gives the network's scores at four sizes.

    Raises:
        DependencyError: onnx, onnxscript or onnxruntime is not installed.
        ConversionError: the network cannot be written for all sizes.
        InputError: the file cannot be written.
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):
        _require(package)
    fcn = fcn.eval()
    try:
        with quiet_torch(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            names = _output_names(fcn)
            program = torch.onnx.export(_exported(fcn), dynamo=True, verbose=False, output_names=names)
        assert program is not None
        data = program.model_proto.SerializeToString()
        _check(_runtime(data), fcn, ONNX_EQUAL)
    except Exception as error:
        why = " ".join(str(error).split())[:120]
        raise ConversionError(
            "network", f"ONNX cannot be written for all sizes ({why})", "write a .pt2 file or a bundle"
        ) from error
    with atomic_path(path) as scratch:
        Path(scratch).write_bytes(data)


def _require(package: str) -> None:
    if find_spec(package) is None:
        raise DependencyError(package, "not installed, and ONNX needs it", "pip install onnx onnxscript onnxruntime")


def _runtime(data: bytes) -> Callable[[Tensor], Any]:
    """The file's outputs in a row, by onnxruntime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    (image,) = session.get_inputs()

    def scores(batch: Tensor) -> list[Tensor]:
        return [torch.from_numpy(made) for made in session.run(None, {image.name: batch.numpy()})]

    return scores


def _exported(fcn: FullyConvolutional) -> ExportedProgram:
    """Any batch, any size from the window up."""
    image = _noise(fcn, batch=2, steps=2)
    dynamic = {axis: torch.export.Dim.DYNAMIC for axis in range(image.ndim) if axis != 1}
    # Else memory layouts are decided for maps of more than one row, and the window's own size is refused.
    with symbolic_shapes.patch(backed_size_oblivious=True):  # type: ignore[attr-defined]
        return torch.export.export(fcn, (image,), dynamic_shapes=(dynamic,))


def _check(written: Callable[[Tensor], Any], fcn: FullyConvolutional, tolerance: float | None = None) -> None:
    """All outputs of one window, of one along the first axis or the last, and of many: as in the network."""
    axes = len(fcn.geometry.window)
    for batch, steps in ((1, (0,) * axes), (1, (0,) * (axes - 1) + (4,)), (2, (5,) + (0,) * (axes - 1)), (3, 3)):
        image = _noise(fcn, batch, steps)
        with torch.no_grad():
            made, expected = _tensors(written(image)), _tensors(fcn(image))
            for one, other in zip(made, expected, strict=True):
                close = None if tolerance is None else tolerance * float(other.abs().max())
                torch.testing.assert_close(one, other, atol=close, rtol=None if close is None else 0)


def _tensors(outputs: Any) -> list[Tensor]:
    return [tensor for _, tensor in leaves(plain_outputs(outputs))]


def _output_names(fcn: FullyConvolutional) -> list[str]:
    """The outputs' places, such as aux.1; of a single one its usual name."""
    with torch.no_grad():
        names = [name for name, _ in leaves(plain_outputs(fcn(_noise(fcn, batch=1, steps=0))))]
    return ["scores"] if names == [""] else names


def _noise(fcn: FullyConvolutional, batch: int, steps: int | tuple[int, ...]) -> torch.Tensor:
    """So many strides more than one window on each axis; a number stands for as many, and one more per axis."""
    geometry = fcn.geometry
    axes = range(len(geometry.window))
    more = tuple(steps + axis for axis in axes) if isinstance(steps, int) else steps
    sizes = [geometry.window[axis] + more[axis] * geometry.stride[axis] for axis in axes]
    like = next(fcn.parameters(), torch.empty(0))
    return torch.randn(batch, fcn.channels, *sizes).to(like)
