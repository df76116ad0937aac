"""What tells the computation of a network from another one, by its content."""

from __future__ import annotations

import hashlib
import json

import torch

from everywindow.graph.network import Network
from everywindow.graph.plain import encode


def digest(network: Network) -> str:
    """SHA-256 of the graph in its plain form and of all tensors that it reads, constants among them."""
    found = hashlib.sha256(json.dumps(encode(network), sort_keys=True).encode())
    for name, tensor in sorted(network.state.items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
