"""What tells a model from another one, by its content."""

from __future__ import annotations

import importlib.metadata
import platform
from typing import Any

import numpy as np
import torch
from torch import Tensor

from everywindow.engines import Prepared
from everywindow.errors import ModelError
from everywindow.graph import Output, chosen, evaluating, state_digest
from everywindow.graph import digest as digest_of
from everywindow.models import Classifier

PROBE, TOLERANCE = "probe", 1e-4
"""Name of a model's scores on a window of noise, and how far roundings may move them relative to the largest."""


def model_identity(known: Classifier, prepared: Prepared) -> dict[str, Any]:
    """Digests of weights and graph, and scores on a window of noise: code may change where weights do not."""
    scores = _of_noise(known, prepared, None)
    return {
        "weights": state_digest(known.module),
        "graph": _graph(prepared),
        PROBE: [float(f"{value:.6g}") for value in scores.double().flatten()],
    }


def bytes_of_scores(known: Classifier, prepared: Prepared, output: Output) -> int:
    """Memory of the scores of a window."""
    scores = _of_noise(known, prepared, output)
    return scores.numel() * max(4, scores.dtype.itemsize)


def _of_noise(known: Classifier, prepared: Prepared, output: Output) -> Tensor:
    noise = torch.rand((1, known.channels, *known.window), generator=torch.Generator().manual_seed(0))
    with evaluating(prepared.module), torch.inference_mode():
        scores: Tensor = chosen(prepared.module(noise.to(prepared.device, prepared.dtype)), output)
    return scores


def _graph(prepared: Prepared) -> str | None:
    """Digest of what the network computes, constants among it; None where it has no graph in plain form."""
    try:
        return None if prepared.network is None else digest_of(prepared.network)
    except ModelError:
        return None


def same_probe(one: Any, other: Any) -> bool:
    """Whether two models gave the same scores, but for roundings."""
    first, second = np.asarray(one, float), np.asarray(other, float)
    if first.shape != second.shape:
        return False
    largest = float(np.abs(first).max(initial=0))
    return bool(np.allclose(first, second, rtol=TOLERANCE, atol=TOLERANCE * largest, equal_nan=True))


def versions() -> dict[str, str]:
    """Of what computes."""
    try:
        own = importlib.metadata.version("everywindow")
    except importlib.metadata.PackageNotFoundError:
        own = "unknown"
    return {
        "everywindow": own,
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
