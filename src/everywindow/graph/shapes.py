"""The shape and dtype of every value of a graph, found without computing anything."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import fx
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensor,
    FakeTensorMode,
)

from everywindow.errors import CaptureError
from everywindow.graph.network import BATCH
from everywindow.graph.quiet import quiet_torch

MOST_ELEMENTS = 2**34
"""A value of more elements than this per image is taken for a mistake."""


def record_shapes(graph: fx.Graph, state: Mapping[str, torch.Tensor], window: tuple[int, ...], channels: int) -> None:
    """Set ``meta["shape"]`` and ``meta["dtype"]`` of every tensor-valued node, at batch size ``BATCH``.

    Images have the dtype of the weights; of several the finest that the graph takes, as for its module.

    Raises:
        CaptureError: an operation does not fit its inputs, or gives an absurdly large value.
    """
    first = next((tensor for tensor in state.values() if tensor.is_floating_point()), torch.empty(0))
    *finer, last = float_dtypes(state.values()) or [first.dtype]
    for dtype in finer:
        try:
            return _record_in(graph, state, torch.Size((BATCH, channels, *window)), dtype, first.device)
        except CaptureError:
            continue
    return _record_in(graph, state, torch.Size((BATCH, channels, *window)), last, first.device)


def float_dtypes(tensors: Iterable[torch.Tensor]) -> list[torch.dtype]:
    """The floating-point dtypes among tensors, the finest first."""
    dtypes = {tensor.dtype for tensor in tensors if tensor.is_floating_point()}
    return sorted(dtypes, key=lambda dtype: torch.finfo(dtype).eps)


def _record_in(
    graph: fx.Graph, state: Mapping[str, torch.Tensor], shape: torch.Size, dtype: torch.dtype, device: torch.device
) -> None:
    """The same for images of a dtype."""
    values: dict[fx.Node, Any] = {}
    with quiet_torch(), FakeTensorMode() as mode, torch.no_grad():
        for node in graph.nodes:
            if node.op == "placeholder":
                values[node] = torch.empty(shape, dtype=dtype, device=device)
            elif node.op == "get_attr":
                values[node] = mode.from_tensor(state[str(node.target)])
            elif node.op == "call_function":
                values[node] = _call(node, values)
            if node.op != "output":
                _record(node, values[node])


def _call(node: fx.Node, values: Mapping[fx.Node, Any]) -> Any:
    args, kwargs = fx.node.map_arg((node.args, node.kwargs), values.__getitem__)
    try:
        return node.target(*args, **kwargs)  # type: ignore[operator]
    except (DataDependentOutputException, DynamicOutputShapeException) as error:
        why = "its code depends on values: what this gives is of another shape, or a Python number, for each window"
        raise CaptureError(_where(node), why, "scan() runs such a network on one window at a time") from error
    except Exception as error:  # whatever an operation raises, its arguments do not fit it
        raise _misfit(node, str(error)) from error


def _record(node: fx.Node, value: Any) -> None:
    node.meta.pop("shape", None)
    node.meta.pop("dtype", None)
    if isinstance(value, torch.Tensor):
        node.meta["shape"], node.meta["dtype"] = _checked(node, value), value.dtype
    elif isinstance(value, (tuple, list)):
        node.meta["shape"] = [_checked(node, v) for v in value if isinstance(v, torch.Tensor)]
        node.meta["dtype"] = [v.dtype for v in value if isinstance(v, torch.Tensor)]
    elif not isinstance(value, int) or abs(value) >= 2**63:
        raise _misfit(node, f"gives {str(value)[:40]}, which is neither tensors nor a size")


def _checked(node: fx.Node, value: torch.Tensor) -> tuple[int, ...]:
    shape = tuple(value.shape)
    if not isinstance(value, FakeTensor):
        raise _misfit(node, "gives a value that does not come from the graph")
    elements = math.prod(shape)
    if elements // (BATCH if elements % BATCH == 0 else 1) > MOST_ELEMENTS:
        raise _misfit(node, f"gives a value of shape {shape}, which is absurdly large")
    return shape


def _misfit(node: fx.Node, why: str) -> CaptureError:
    first_line = next(iter(why.strip().splitlines()), "it fails")[:200]
    return CaptureError(_where(node), f"the operation does not fit: {first_line}", "check the network's graph")


def _where(node: fx.Node) -> str:
    return f"{node.meta.get('layer') or node.name} ({node.target})"
