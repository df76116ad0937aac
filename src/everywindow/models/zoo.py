"""Networks of torchvision and timm by name, without weights of their own."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import nn

from everywindow.errors import DependencyError, ModelError
from everywindow.models.told import told
from everywindow.models.weights import fit, misfits

LIBRARIES = ("torchvision", "timm")
INSTALL = {"torchvision": "torchvision", "timm": "torchvision timm"}
"""What pip is to install for a library; timm needs torchvision."""

# Their weights were trained on pixels from -1 to 1, which torchvision makes inside the network
# (transform_input) from its usual normalisation; without that, this is what they take.
_MINUS_ONE_TO_ONE = ("googlenet", "inception_v3")
_AUXILIARY = ("aux1.", "AuxLogits.")


@dataclass(frozen=True)
class Found:
    """A network of a library, and what the library says about it."""

    module: nn.Module
    window: tuple[int, ...]
    channels: int
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    classes: tuple[str, ...] | None = None


def is_architecture(spec: str) -> bool:
    """Whether a spec names a network of a library: ``torchvision:vgg16``."""
    return spec.partition(":")[0] in LIBRARIES and ":" in spec


def build(
    architecture: str, weights: Mapping[str, torch.Tensor] | None = None, num_classes: int | None = None
) -> Found:
    """The network of that name, with ``weights``, or else with random ones.

    Args:
        num_classes: size of the output; None to see it from the weights.

    Raises:
        ModelError: no such network, or weights that do not fit.
        DependencyError: the library is not installed.
    """
    library, _, name = architecture.partition(":")
    if library not in LIBRARIES:
        raise ModelError(architecture, "not of a known library", f"known are {', '.join(LIBRARIES)}")
    make = _torchvision if library == "torchvision" else _timm
    found = make(name, num_classes, weights)
    if weights is None:
        found.module.eval()
        return found
    inferred = None if num_classes else _other_head(found.module, weights)
    if inferred:
        found = make(name, inferred, weights)
    fit(found.module, weights, f"weights for {architecture}").eval()
    return found


def close_matches(spec: str) -> list[str]:
    """Names of networks that are near a misspelt one: of its library first, where it names one."""
    library, _, name = spec.rpartition(":")
    if library not in LIBRARIES:
        return _near(name, LIBRARIES, 0.7)
    own = (library,)
    return _near(name, own, 0.6) or _near(name, LIBRARIES, 0.7) or _near(name, own, 0.3)


def _near(name: str, libraries: Iterable[str], cutoff: float) -> list[str]:
    found: list[str] = []
    for library in libraries:
        try:
            names = _names(library)
        except DependencyError:
            continue
        found += [f"{library}:{near}" for near in difflib.get_close_matches(name, names, n=2, cutoff=cutoff)]
    return found


def _names(library: str) -> Iterable[str]:
    if library == "timm":
        return _library("timm").list_models()  # type: ignore[no-any-return]
    models = _library("torchvision.models")
    return models.list_models(module=models)  # type: ignore[no-any-return]


def _library(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:  # a build for another torch fails with more than ImportError
        raise _unusable(name.partition(".")[0], error) from error


def _unusable(package: str, error: Exception) -> DependencyError:
    """Not there, or there and broken: what is to be done differs."""
    build = f"the version for torch {torch.__version__}"
    if isinstance(error, ModuleNotFoundError) and (error.name or package).partition(".")[0] == package:
        # On its own, as in the Makefile: it names other builds of torch among its dependencies.
        remedy = f"pip install --no-deps {INSTALL[package]}, {build} (README: In your own environment)"
        return DependencyError(package, "not installed", remedy)
    why = f"installed, but cannot be imported ({' '.join(str(error).split())[:100]})"
    return DependencyError(package, why, f"install what it lacks, or {build}")


def _unknown(architecture: str, matches: list[str]) -> ModelError:
    if matches:
        return ModelError(architecture, "no such network", f"did you mean {' or '.join(matches)}?")
    library = architecture.partition(":")[0]
    call = "torchvision.models.list_models()" if library == "torchvision" else "timm.list_models()"
    some = ", ".join(list(_names(library))[:3])
    return ModelError(architecture, "no such network", f"{call} gives their names, such as {some}")


def _torchvision(name: str, num_classes: int | None, weights: Mapping[str, torch.Tensor] | None) -> Found:
    models = _library("torchvision.models")
    if name not in _names("torchvision"):
        raise _unknown(f"torchvision:{name}", close_matches(f"torchvision:{name}"))
    options: dict[str, Any] = {"weights": None}
    if num_classes:
        options["num_classes"] = num_classes
    if name in _MINUS_ONE_TO_ONE:
        has_heads = weights is None or any(key.startswith(_AUXILIARY) for key in weights)
        options |= {"init_weights": weights is None, "aux_logits": has_heads}
    module = models.get_model(name, **options)
    published = models.get_model_weights(name).DEFAULT
    transforms = published.transforms()
    # A vision transformer takes one size only, which need not be that of its default weights.
    size = getattr(module, "image_size", transforms.crop_size[0])
    half = (0.5, 0.5, 0.5) if name in _MINUS_ONE_TO_ONE else None
    categories = tuple(published.meta["categories"])
    named = weights is not None and num_classes in (None, len(categories))
    return Found(
        module,
        (int(size), int(size)),
        3,
        half or tuple(transforms.mean),
        half or tuple(transforms.std),
        categories if named else None,
    )


def _timm(name: str, num_classes: int | None, weights: Mapping[str, torch.Tensor] | None) -> Found:
    timm = _library("timm")
    # Names with a scheme (hf-hub:, local-dir:) would fetch or follow a config from elsewhere.
    if ":" in name or "/" in name or not timm.is_model(name):
        raise _unknown(f"timm:{name}", close_matches(f"timm:{name}"))
    options = {"num_classes": num_classes} if num_classes else {}
    module = timm.create_model(name, pretrained=False, **options)
    known = told(module)
    assert known.window is not None
    assert known.channels is not None
    names = None if weights is None else known.classes
    return Found(module, known.window, known.channels, known.mean, known.std, names)


def _other_head(module: nn.Module, weights: Mapping[str, torch.Tensor]) -> int | None:
    """The number of classes of the weights, where it is all that they differ in."""
    expected = module.state_dict()
    if set(expected) != set(weights) or not misfits(module, weights):
        return None
    differing = [name for name in expected if expected[name].shape != weights[name].shape]
    sizes = {(expected[name].shape[:1], weights[name].shape[:1]) for name in differing}
    rests_agree = all(expected[name].shape[1:] == weights[name].shape[1:] for name in differing)
    new = next(iter(sizes))[1]
    return int(new[0]) if len(sizes) == 1 and rests_agree and len(new) == 1 and new[0] > 0 else None
