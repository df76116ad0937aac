"""From any ``nn.Module`` to a :class:`Network`: ATen operations without side effects, by ``torch.export``."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import fx, nn
from torch.export import Dim, ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind
from torch.utils import _pytree as pytree

from everywindow.errors import CaptureError, IndependenceError, InputError
from everywindow.geometry import times
from everywindow.graph.applied import INSIDE, Applied, original
from everywindow.graph.beside import settle_constants
from everywindow.graph.evaluating import copied, evaluating, precision
from everywindow.graph.expansions import drop_expansions
from everywindow.graph.faithful import check_faithful
from everywindow.graph.functionalise import functionalise, with_batch_norms
from everywindow.graph.layers import layer_name
from everywindow.graph.module import GraphNetwork
from everywindow.graph.network import Network
from everywindow.graph.quiet import quiet_torch
from everywindow.graph.records import records
from everywindow.graph.refusal import check_arguments, refusal
from everywindow.graph.resting import AT_REST, Resting, marking, rests_at
from everywindow.graph.shapes import record_shapes


def capture(module: nn.Module, window: tuple[int, ...], channels: int) -> Network:
    """The graph of ``module`` for windows of ``window`` pixels with ``channels`` channels.

    The module is captured in evaluation mode, with its own dtype and device, and is left as it was. The
    graph reads the module's own parameters: training steps show in it, replaced layers do not.

    Raises:
        InputError: the module does not take such a window.
        CaptureError: ``torch.export`` cannot follow the module's code, or not for a single window.
        IndependenceError: the module mixes the items of a batch, draws random numbers, or changes its buffers.

    >>> network = capture(nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8, 2)), (3, 3), 3)
    >>> [node.meta["layer"] for node in network.graph.nodes if node.op == "call_function"]
    ['0', '1', '2']
    """
    if isinstance(module, GraphNetwork):
        _check_fits(module.network, window, channels)
        return module.network
    call = module if isinstance(module, Applied) else Applied(module)
    program, resting = _exported(call, window, channels)
    _refuse_mutated_buffers(type(original(module)).__name__, program)
    network = _network(program, call, window, channels, resting)
    record_shapes(network.graph, network.state, window, channels)
    if settle_constants(network.graph):
        record_shapes(network.graph, network.state, window, channels)
    drop_expansions(network.graph)
    _mark_cumulative_norms(network.graph, original(module))
    records(network)
    check_faithful(network, module)
    return network


def _mark_cumulative_norms(graph: fx.Graph, module: nn.Module) -> None:
    """Note the batch norms whose running statistics are plain means; the graph holds a momentum of 0 for them."""
    cumulative = {
        name
        for name, child in module.named_modules(remove_duplicate=False)
        if isinstance(child, nn.modules.batchnorm._BatchNorm) and child.momentum is None
    }
    for node in graph.nodes:
        if node.op == "call_function" and node.meta["layer"] in cumulative:
            node.meta["cumulative"] = True


def _exported(module: Applied, window: tuple[int, ...], channels: int) -> tuple[ExportedProgram, Resting]:
    """The exported program, and the layers that left a mark in it for being at rest."""
    dtype, device = precision(module, window, channels)
    # Tensors made in inference mode cannot be exported, and none must be made while this runs.
    with torch.inference_mode(False), evaluating(module), warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        example = _example((2, channels, *window), dtype, device)
        try:
            ordinary = _ordinary(module)
            with quiet_torch(), marking(ordinary) as resting:
                program = torch.export.export(ordinary, (example,), dynamic_shapes=({0: Dim.DYNAMIC},))
                if not functionalise(program.graph):
                    program = program.run_decompositions({})
                    with_batch_norms(program.graph)
        except Exception as error:
            raise refusal(module, example, error) from error
        check_arguments(module, example)
    return program, resting


def _example(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    try:
        return torch.zeros(shape, dtype=dtype, device=device)
    except RuntimeError as error:
        first_line = str(error).splitlines()[0]
        raise InputError(
            "window", f"{times(shape[1:])} is too large ({first_line})", "give a smaller window="
        ) from error


def _ordinary(module: nn.Module) -> nn.Module:
    """The module, or a copy with ordinary tensors where some were made in inference mode."""
    tensors = (*module.parameters(), *module.buffers())
    return copied(module) if any(tensor.is_inference() for tensor in tensors) else module


def _check_fits(network: Network, window: tuple[int, ...], channels: int) -> None:
    if (network.window, network.channels) != (window, channels):
        raise CaptureError(
            "network of a bundle",
            f"was captured for {network.channels} channels and window {network.window}, not {channels} and {window}",
            "use the bundle's own window and channels",
        )


def _refuse_mutated_buffers(name: str, program: ExportedProgram) -> None:
    kinds = (OutputKind.BUFFER_MUTATION, OutputKind.PARAMETER_MUTATION)
    changed = [_own_name(str(spec.target)) for spec in program.graph_signature.output_specs if spec.kind in kinds]
    if changed:
        raise IndependenceError(
            name,
            f"changes {changed[0]} when it runs, so a window's score depends on what ran before",
            "take the change out of forward() in evaluation mode",
        )


def _own_name(name: str) -> str:
    """The name of a weight in the original."""
    return name.removeprefix(INSIDE)


def _network(
    program: ExportedProgram, module: Applied, window: tuple[int, ...], channels: int, resting: Resting
) -> Network:
    """The exported graph with weights read by name in place of inputs, and layer names."""
    own = dict(module.named_parameters(remove_duplicate=False)) | dict(module.named_buffers(remove_duplicate=False))
    found: dict[str, torch.Tensor] = {**program.state_dict, **program.constants}
    tensors = {_own_name(name): own.get(name, tensor) for name, tensor in found.items()}
    canonical = _canonical_names(tensors)
    inputs = {spec.arg.name: spec for spec in program.graph_signature.input_specs if hasattr(spec.arg, "name")}
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in program.graph.nodes:
        if node.op == "placeholder":
            copies[node] = _input(graph, node, inputs[node.name], canonical)
        elif node.op == "call_function":
            copies[node] = graph.node_copy(node, copies.__getitem__)
            copies[node].meta = {"layer": layer_name(node)}
            if (layer := rests_at(node, resting)) is not None:
                copies[node].meta = {"layer": _own_name(layer), AT_REST: resting[layer]}
        elif node.op == "get_attr":
            raise CaptureError(str(node.target), "is a subgraph (control flow)", "only crops can run it")
    graph.output(_output_structure(program, copies))
    _drop_unused(graph)
    state = _used_state(graph, tensors, canonical)
    tied = {name: first for name, first in canonical.items() if first in state and name not in state}
    unsaved = frozenset(state.keys() - original(module).state_dict().keys())
    return Network(graph, state, window, channels, tied, _most(program), unsaved)


def _most(program: ExportedProgram) -> int:
    """The largest batch for which the module's code takes the way that was captured."""
    limits = [int(limit.upper) for limit in program.range_constraints.values() if limit.upper < sys.maxsize]
    return min(limits, default=sys.maxsize)


def _canonical_names(tensors: Mapping[str, torch.Tensor]) -> dict[str, str]:
    """One name for each tensor, so that tied weights stay one."""
    first: dict[int, str] = {}
    return {name: first.setdefault(id(tensor), name) for name, tensor in tensors.items()}


def _input(graph: fx.Graph, node: fx.Node, spec: Any, canonical: Mapping[str, str]) -> fx.Node:
    if spec.kind == InputKind.USER_INPUT:
        copy = graph.placeholder("image")
        copy.meta = {"layer": "image"}
        return copy
    # The name is not yet an attribute of anything: the state travels beside the graph.
    copy = graph.create_node("get_attr", canonical[_own_name(spec.target)], name=node.name)
    copy.meta = {"layer": _own_name(spec.target)}
    return copy


def _output_structure(program: ExportedProgram, copies: Mapping[fx.Node, fx.Node]) -> Any:
    """The outputs nested as the module returns them, in tuples, lists and dicts."""
    specs = program.graph_signature.output_specs
    leaves = next(node for node in program.graph.nodes if node.op == "output").args[0]
    users = [leaf for leaf, spec in zip(leaves, specs, strict=True) if spec.kind == OutputKind.USER_OUTPUT]
    return pytree.tree_unflatten([copies.get(leaf, leaf) for leaf in users], program.call_spec.out_spec)


def _drop_unused(graph: fx.Graph) -> None:
    for node in reversed(list(graph.nodes)):
        if not node.users and node.op in ("call_function", "get_attr"):
            graph.erase_node(node)


def _used_state(
    graph: fx.Graph, tensors: Mapping[str, torch.Tensor], canonical: Mapping[str, str]
) -> dict[str, torch.Tensor]:
    """What the graph reads, and the step counters of its batch norms, which only training reads."""
    used = {str(node.target) for node in graph.nodes if node.op == "get_attr"}
    norms = {name.rpartition(".")[0] for name in used if name.endswith("running_mean")}
    counters = {f"{norm}.num_batches_tracked".lstrip(".") for norm in norms}
    return {name: tensors[name] for name in canonical if name in used or name in counters}
