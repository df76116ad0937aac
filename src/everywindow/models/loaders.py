"""From the name of a model to a classifier."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import os
import re
import sys
import types
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.export import ExportedProgram

from everywindow.errors import EverywindowError, ModelError, TrustError
from everywindow.models.bundle import CONFIG, load_bundle
from everywindow.models.classifier import Classifier, as_classifier
from everywindow.models.told import told
from everywindow.models.weights import fit, read_weights, refuse_pickle
from everywindow.models.zoo import LIBRARIES, build, close_matches, is_architecture

PathLike = str | os.PathLike[str]
_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_KINDS = "give a bundle directory, torchvision:NAME, timm:NAME, a .pt2 file or package.module:function"


def load(
    spec: PathLike,
    *,
    weights: PathLike | None = None,
    trust: bool = False,
    window: int | Sequence[int] | None = None,
) -> Classifier:
    """The classifier that ``spec`` names.

    Args:
        spec: a bundle directory (or one of WSInfer's zoo), ``torchvision:NAME`` or ``timm:NAME``. With
            trust also a ``.pt2`` file of ``torch.export``, or ``package.module:function``, which returns a
            module or a ``Classifier``, or is one.
        weights: a ``.safetensors`` file. Without it, networks of the libraries have random weights, and a
            warning says so.
        trust: allow what runs code from the file.
        window: in place of the model's own.

    Raises:
        ModelError: no such model, or its parts do not fit.
        TrustError: ``trust`` is needed, or it is a pickle, which is never read.
        DependencyError: the library is not installed.
    """
    name = os.fspath(spec)
    if is_architecture(name):
        found = _from_library(name, weights)
    elif os.path.exists(name):
        found = _from_path(Path(name), weights, trust, window)
    elif _FUNCTION.fullmatch(name) and not _is_misspelt(name):
        found = _from_function(name, weights, trust, window)
    else:
        raise _unknown(name)
    return found if window is None else as_classifier(found, window)


def _from_library(name: str, weights: PathLike | None) -> Classifier:
    tensors = None if weights is None else read_weights(weights)
    found = build(name, tensors)
    if tensors is None:
        message = f"{name}: no weights given, they are random and so are the scores"
        warnings.warn(message, UserWarning, stacklevel=3)
    fields = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
    return Classifier(**fields, architecture=name)


def _from_path(path: Path, weights: PathLike | None, trust: bool, window: Any) -> Classifier:
    if path.is_dir():
        return load_bundle(path, weights, trust)
    if path.name == CONFIG:
        return load_bundle(path.parent, weights, trust)
    if path.suffix.lower() == ".pt2":
        return _from_export(path, weights, trust, window)
    if path.suffix.lower() == ".safetensors":
        remedy = f"give the network's name too: torchvision:NAME with weights={path.name}"
        raise ModelError(str(path), "has weights, but no network", remedy)
    if path.is_file():
        refuse_pickle(path)
    raise ModelError(str(path), "is not a model of a known kind", _KINDS)


def _from_export(path: Path, weights: PathLike | None, trust: bool, window: Any) -> Classifier:
    if not trust:
        raise TrustError(str(path), ".pt2 files can run code when read", "give trust=True (--trust) if you trust it")
    try:
        program = torch.export.load(path)
        module = _always_evaluating(program.module())
    except Exception as error:
        why = " ".join(str(error).split())[:120]
        raise ModelError(str(path), f"torch.export cannot read it ({why})", "export it again") from error
    channels, *size = _input_size(program)
    if window is None and not (size and all(isinstance(n, int) for n in size)):
        raise ModelError(str(path), "does not say its window", "give window=, or a file exported at one size")
    found = as_classifier(module, window or tuple(size), channels if isinstance(channels, int) else None)
    return found if weights is None else _with_weights(found, weights)


def _input_size(program: ExportedProgram) -> list[Any]:
    """Channels and sizes of the first input; those that are not fixed are symbols."""
    inputs = program.graph_signature.user_inputs
    images = [node.meta["val"] for node in program.graph.nodes if node.name in inputs]
    shape = getattr(images[0], "shape", ()) if images else ()
    return list(shape[1:]) or [None]


def _always_evaluating(module: nn.Module) -> nn.Module:
    """The module with ``train`` and ``eval`` that do nothing, for an exported one has one mode and raises."""

    def stay(self: nn.Module, mode: bool = True) -> nn.Module:
        return self

    for name in ("train", "eval"):
        setattr(module, name, types.MethodType(stay, module))
    return module


def _from_function(name: str, weights: PathLike | None, trust: bool, window: Any) -> Classifier:
    if not trust:
        raise TrustError(name, "runs code of yours", "give trust=True (--trust) if it is a function to be called")
    found = _attribute(name)
    made = found if isinstance(found, (Classifier, nn.Module)) else _called(found, name)
    if not isinstance(made, (Classifier, nn.Module)):
        why = f"returned a {type(made).__name__}"
        raise ModelError(name, why, "return a torch.nn.Module or an everywindow.Classifier")
    if isinstance(made, nn.Module) and window is None and told(made).window is None:
        why = "gives a bare module, which does not say its window"
        raise ModelError(name, why, "give it as an everywindow.Classifier(module, window=...), or give window=")
    classifier = as_classifier(made, window)
    return classifier if weights is None else _with_weights(classifier, weights)


def _with_weights(classifier: Classifier, weights: PathLike) -> Classifier:
    fit(classifier.module, read_weights(weights), str(weights))
    return classifier


def _called(found: Any, name: str) -> Any:
    """What a function or a class gives without arguments."""
    if not callable(found):
        why = f"is a {type(found).__name__}, not a function or a network"
        raise ModelError(name, why, "give package.module:function, or the name of a torch.nn.Module")
    return found()


def _attribute(name: str) -> Any:
    module_name, _, function_name = name.partition(":")
    try:
        with _importing_from_here():
            return getattr(importlib.import_module(module_name), function_name)
    except (ImportError, AttributeError) as error:
        why = " ".join(str(error).split())[:120]
        raise ModelError(name, f"cannot be found ({why})", "give package.module:function") from error


@contextmanager
def _importing_from_here() -> Iterator[None]:
    """Modules in the working directory are found too, after all others."""
    here = os.getcwd()
    sys.path.append(here)
    try:
        yield
    finally:
        sys.path.remove(here)


def _is_misspelt(name: str) -> bool:
    """Whether ``torchvison:vgg16`` is more likely meant as a library's name."""
    return bool(difflib.get_close_matches(name.partition(":")[0], LIBRARIES, cutoff=0.8))


def _unknown(name: str) -> EverywindowError:
    looks_like_path = os.sep in name or bool(re.search(r"\.(pt2?|pth|pkl|bin|safetensors|json|onnx)$", name))
    near = [] if looks_like_path else close_matches(name)
    why = "no such file or directory" if looks_like_path else "no such model"
    return ModelError(name, why, f"did you mean {' or '.join(near)}?" if near else _KINDS)
