"""A classifier as a directory of plain data.

``config.json``, ``model.safetensors`` and, for a network of one's own, ``graph.json``. Nothing in it is
code, and no path in it is followed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from everywindow.errors import EverywindowError, InputError, ModelError, TrustError
from everywindow.graph import GraphNetwork, Network, capture, chosen, decode, encode, evaluating, leaves, plain_outputs
from everywindow.io import atomic_path
from everywindow.models.classifier import Classifier
from everywindow.models.config import FORMAT, VERSION, Config, parse, read_json
from everywindow.models.weights import PICKLE_SUFFIXES, read_weights, write_weights
from everywindow.models.zoo import build, is_architecture

CONFIG, WEIGHTS, GRAPH = "config.json", "model.safetensors", "graph.json"
_REMEDY = "use a bundle written by everywindow"


def save(classifier: Classifier, path: str | os.PathLike[str]) -> None:
    """Write the bundle; see :meth:`Classifier.save`."""
    target = Path(path)
    _check_replaceable(target)
    config: dict[str, Any] = {"format": FORMAT, "version": VERSION, **_fields(classifier)}
    classes = _rebuildable_classes(classifier)
    graph: dict[str, Any] | None = None
    state: Mapping[str, torch.Tensor] = classifier.module.state_dict()
    if classes is None:
        network = capture(classifier.module, classifier.window, classifier.channels)
        graph, state = encode(network), network.state
        decode(graph, state)  # what would not load again is not written
        config["architecture"] = None
    else:
        config["num_classes"] = classes
    with atomic_path(target) as scratch:
        scratch.mkdir()
        config["tied"] = write_weights(state, scratch / WEIGHTS)
        _write_json(scratch / CONFIG, config, indent=2)
        if graph is not None:
            _write_json(scratch / GRAPH, graph)


def load_bundle(
    path: str | os.PathLike[str], weights: str | os.PathLike[str] | None = None, trust: bool = False
) -> Classifier:
    """The classifier in a bundle, or in a directory of WSInfer's zoo.

    Args:
        weights: a safetensors file to take in place of the bundle's own.
        trust: read TorchScript weights, where there are no others.

    Raises:
        ModelError: its files are missing, damaged, or disagree.
        TrustError: its weights are pickled.
    """
    folder = Path(path)
    if not (folder / CONFIG).is_file():
        raise _no_bundle(folder)
    config = parse(read_json(folder / CONFIG), folder / CONFIG)
    tensors = _untied(_tensors(folder, weights, trust), config.tied or {}, folder)
    module: nn.Module
    if (folder / GRAPH).is_file():
        module = _from_graph(folder, config, tensors)
    elif config.architecture:
        module = build(config.architecture, tensors, config.num_classes).module
    else:
        raise ModelError(str(folder), f"has neither an architecture nor {GRAPH}", _REMEDY)
    try:
        return Classifier(module, **config.fields(), name=folder.resolve().name)
    except InputError as error:
        raise ModelError(f"{folder / CONFIG}, {error.what}", error.why, error.remedy) from error


# Writing


def _fields(classifier: Classifier) -> dict[str, Any]:
    return {
        "window": list(classifier.window),
        "channels": classifier.channels,
        "mean": classifier.mean,
        "std": classifier.std,
        "classes": classifier.classes,
        "activation": classifier.activation,
        "architecture": classifier.architecture,
        "spacing_um_px": classifier.spacing_um_px,
    }


def _check_replaceable(target: Path) -> None:
    """Only a bundle is replaced, never other things of a user."""
    if not target.exists():
        return
    names = {entry.name for entry in target.iterdir()} if target.is_dir() else {""}
    is_bundle = CONFIG in names and names <= {CONFIG, WEIGHTS, GRAPH}
    if names and not is_bundle:
        raise InputError(str(target), "exists and is not a bundle", "choose another name")


def _write_json(file: Path, data: Any, indent: int | None = None) -> None:
    file.write_text(json.dumps(data, indent=indent, allow_nan=False) + "\n", encoding="utf-8")


def _rebuildable_classes(classifier: Classifier) -> int | None:
    """The number of classes with which the architecture's name stands for the module; None if it does not.

    The module may have been changed since: the network of that name must have the same tensors and give
    the same scores, else the graph is stored.
    """
    if classifier.architecture is None or not is_architecture(classifier.architecture):
        return None
    try:
        scores = _scores(classifier.module, classifier)
        twin = build(classifier.architecture, classifier.module.state_dict(), scores.shape[1])
        same = torch.equal(_scores(twin.module.to(scores.device), classifier), scores)
    except Exception:  # whatever fails, the name does not stand for the module
        return None
    return scores.shape[1] if same else None


def _scores(module: nn.Module, classifier: Classifier) -> torch.Tensor:
    """The first output for one image of noise."""
    like = next((t for t in module.state_dict().values() if t.is_floating_point()), torch.empty(0))
    noise = torch.rand((1, classifier.channels, *classifier.window), generator=torch.Generator().manual_seed(0))
    with evaluating(module), torch.no_grad():
        result = module(noise.to(like))
    scores: torch.Tensor = chosen(result)
    return scores


# Reading


def _no_bundle(folder: Path) -> ModelError:
    pickles = [entry.name for entry in folder.iterdir() if entry.suffix.lower() in PICKLE_SUFFIXES]
    if pickles:
        return TrustError(str(folder), f"has {pickles[0]}, a pickle, and no {CONFIG}; it was not read", _REMEDY)
    return ModelError(str(folder), f"is not a bundle: it has no {CONFIG}", _REMEDY)


def _tensors(folder: Path, weights: str | os.PathLike[str] | None, trust: bool) -> dict[str, torch.Tensor]:
    if weights is not None:
        return read_weights(weights)
    if (folder / WEIGHTS).is_file():
        return read_weights(folder / WEIGHTS)
    script = folder / "torchscript_model.pt"
    if script.is_file() and trust:
        return _torchscript(script)
    pickles = [entry.name for entry in folder.iterdir() if entry.suffix.lower() in PICKLE_SUFFIXES]
    if script.is_file():
        raise TrustError(str(script), "TorchScript runs code when read", "give trust=True (--trust) if you trust it")
    if pickles:
        why = f"is a pickle in place of {WEIGHTS}; it was not read"
        raise TrustError(str(folder / pickles[0]), why, f"convert it to {WEIGHTS}")
    raise ModelError(str(folder), f"has no {WEIGHTS}", _REMEDY)


def _torchscript(file: Path) -> dict[str, torch.Tensor]:
    """Its weights only: the network is built anew from the config's architecture."""
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return dict(torch.jit.load(str(file), map_location="cpu").state_dict())
    except Exception as error:
        raise ModelError(str(file), "not an intact TorchScript file", "copy it again") from error


def _untied(tensors: dict[str, torch.Tensor], tied: dict[str, str], folder: Path) -> dict[str, torch.Tensor]:
    """Tied tensors under all their names, as the network's own ``state_dict`` has them."""
    for alias, name in tied.items():
        if alias not in tensors and name not in tensors:
            raise ModelError(str(folder / CONFIG), f"{alias} is tied to {name}, which is missing", _REMEDY)
    return {alias: tensors[name] for alias, name in tied.items() if alias not in tensors} | tensors


def _from_graph(folder: Path, config: Config, tensors: dict[str, torch.Tensor]) -> GraphNetwork:
    file = folder / GRAPH
    try:
        network = decode(read_json(file), tensors)
    except EverywindowError as error:
        raise ModelError(f"{folder}: {error.what}", error.why, error.remedy) from error
    if config.architecture is not None:
        raise ModelError(str(folder), f"has both the architecture {config.architecture} and {GRAPH}", _REMEDY)
    _check_agreement(network, config, folder)
    return GraphNetwork(network).eval()


def _check_agreement(network: Network, config: Config, folder: Path) -> None:
    outputs = _number_of_outputs(network)
    names = config.classes if isinstance(config.classes, list) else None
    pairs = {
        "window": (config.window, list(network.window)),
        "channels": (config.channels, network.channels),
        "number of classes": (outputs if names is None or outputs is None else len(names), outputs),
    }
    for what, (said, captured) in pairs.items():
        if said != captured:
            why = f"{CONFIG} says {what} {said!r:.40}, {GRAPH} {captured}"
            raise ModelError(str(folder), why, _REMEDY)


def _number_of_outputs(network: Network) -> int | None:
    """Length of the first output's second axis; None where there is no telling."""
    first = next((leaf for _, leaf in leaves(plain_outputs(network.outputs))), None)
    shape = getattr(first, "meta", {}).get("shape", ())
    return shape[1] if isinstance(shape, tuple) and len(shape) > 1 else None
