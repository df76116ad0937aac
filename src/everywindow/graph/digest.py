"""What tells the computation of a network from another one, by its content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from everywindow.graph.applied import Applied
from everywindow.graph.network import Network
from everywindow.graph.plain import encode


def digest(network: Network) -> str:
    """SHA-256 of the graph in its plain form and of all tensors that it reads, constants among them."""
    return _with_state(hashlib.sha256(json.dumps(encode(network), sort_keys=True).encode()), network.state)


def state_digest(module: nn.Module) -> str:
    """SHA-256 of a module's weights and whatever else its state holds, by name.

    Buffers that are not stored with the weights belong to it, and further arguments that are no tensors.
    """
    found = hashlib.sha256()
    if isinstance(module, Applied):
        found.update(json.dumps(module.plain_arguments()).encode())
    return _with_state(found, {**dict(module.named_buffers(remove_duplicate=False)), **module.state_dict()})


def _with_state(found: Any, state: Mapping[str, Any]) -> str:
    for name, value in sorted(state.items()):
        if not isinstance(value, torch.Tensor):
            found.update(f"{name} {value!r}".encode())
            continue
        found.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        found.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    digested: str = found.hexdigest()
    return digested
