"""A converted network as a file: of ``torch.export``, or ONNX."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.fx.experimental import _config as symbolic_shapes

from everywindow import __version__
from everywindow.cli.metadata import BATCH, ENTRY, IMAGE_AXES, MAP_AXES, WRITER, require
from everywindow.errors import ConversionError
from everywindow.graph import leaves, plain_outputs, quiet_torch
from everywindow.io import atomic_path

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from everywindow.api import FullyConvolutional


ONNX_EQUAL = 1e-4
"""How far another runtime's scores may be off, relative to the largest."""


def write_pt2(fcn: FullyConvolutional, path: str, activation: str | None = None) -> None:
    """Export with a dynamic batch and dynamic sizes, and write the file only if it agrees with the network.

    Args:
        activation: what makes probabilities of the scores, where it is known; the file says it.

    Raises:
        ConversionError: ``torch.export`` fixed a size, or cannot follow the network.
        InputError: the file cannot be written.
    """
    fcn = fcn.eval()
    try:
        facts = described(fcn, activation)
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
        torch.export.save(program, scratch, extra_files={ENTRY: json.dumps(facts)})


def write_onnx(fcn: FullyConvolutional, path: str, activation: str | None = None) -> None:
    """Write ONNX with a dynamic batch and dynamic sizes, only if onnxruntime gives the network's scores at four sizes.

    Args:
        activation: what makes probabilities of the scores, where it is known; the file says it.

    Raises:
        DependencyError: onnx, onnxscript or onnxruntime is not installed.
        ConversionError: the network cannot be written for all sizes.
        InputError: the file cannot be written.
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):
        require(package)
    fcn = fcn.eval()
    try:
        with quiet_torch(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            facts = described(fcn, activation)
            names = list(facts["outputs"])
            program = torch.onnx.export(_exported(fcn), dynamo=True, verbose=False, output_names=names)
        assert program is not None
        model = program.model_proto
        _name_axes(model, facts)
        for name, fact in facts.items():
            model.metadata_props.add(key=name, value=json.dumps(fact))
        data = model.SerializeToString()
        _check(_runtime(data), fcn, ONNX_EQUAL)
    except Exception as error:
        why = " ".join(str(error).split())[:120]
        raise ConversionError(
            "network", f"ONNX cannot be written for all sizes ({why})", "write a .pt2 file or a bundle"
        ) from error
    with atomic_path(path) as scratch:
        Path(scratch).write_bytes(data)


def described(fcn: FullyConvolutional, activation: str | None = None) -> dict[str, Any]:
    """What a file says about the network in it: plain data for JSON."""
    geometry, known = fcn.geometry, fcn.known
    axes = len(geometry.window)
    return {
        WRITER: __version__,
        "image": [BATCH, fcn.channels, *IMAGE_AXES[axes]],
        "outputs": _outputs(fcn),
        "window": list(geometry.window),
        "stride": list(geometry.stride),
        "mean": known.mean,
        "std": known.std,
        "classes": known.classes,
        "activation": activation or known.activation,
        "exact": fcn.verdict.exact,
        "reasons": [list(reason) for reason in fcn.verdict.reasons],
    }


def _outputs(fcn: FullyConvolutional) -> dict[str, list[int | str]]:
    """The dimensions of each output by its place, such as aux.1; a single one has its usual name."""
    image = _noise(fcn, batch=2, steps=2)
    counts = fcn.geometry.grid(tuple(image.shape[2:])).counts
    with torch.no_grad():
        made = {name or "scores": tuple(tensor.shape) for name, tensor in leaves(plain_outputs(fcn(image)))}
    return {name: _named(shape, len(image), counts) for name, shape in made.items()}


def _named(shape: tuple[int, ...], batch: int, counts: tuple[int, ...]) -> list[int | str]:
    """The dimensions of a map; those of an output that no image changes are numbers."""
    if shape[0] != batch or shape[-len(counts) :] != counts:
        return list(shape)
    return [BATCH, *shape[1 : -len(counts)], *MAP_AXES[len(counts)]]


def _name_axes(model: Any, facts: dict[str, Any]) -> None:
    """The axes of an ONNX model's inputs and outputs by their names, and these in what depends on them."""
    (image,) = model.graph.input
    dims = image.type.tensor_type.shape.dim
    names = {dim.dim_param: name for dim, name in zip(dims, facts["image"], strict=True) if dim.dim_param}
    symbol = re.compile(r"\b(" + "|".join(map(re.escape, names)) + r")\b")
    for value in (image, *model.graph.value_info, *model.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = symbol.sub(lambda found: names[found[0]], dim.dim_param)
    for output in model.graph.output:
        for dim, name in zip(output.type.tensor_type.shape.dim, facts["outputs"][output.name], strict=False):
            if dim.dim_param:
                dim.dim_param = str(name)


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


def _noise(fcn: FullyConvolutional, batch: int, steps: int | tuple[int, ...]) -> torch.Tensor:
    """So many strides more than one window on each axis; a number stands for as many, and one more per axis."""
    geometry = fcn.geometry
    axes = range(len(geometry.window))
    more = tuple(steps + axis for axis in axes) if isinstance(steps, int) else steps
    sizes = [geometry.window[axis] + more[axis] * geometry.stride[axis] for axis in axes]
    like = next(fcn.parameters(), torch.empty(0))
    return torch.randn(batch, fcn.channels, *sizes).to(like)
