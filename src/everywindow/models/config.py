"""``config.json``: everything of a classifier but its numbers and its graph."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from everywindow.errors import ModelError
from everywindow.models.told import distinct

FORMAT = "everywindow bundle"
VERSION = 1
CLASSIFIER_FIELDS = (
    *("window", "channels", "mean", "std", "classes", "activation"),
    *("architecture", "spacing_um_px"),
)
MOST_BYTES = 2**28
"""A JSON file larger than this is not read."""

_REMEDY = "use a bundle written by everywindow"


@dataclass(frozen=True)
class Config:
    """The fields of ``config.json``, of which ``window`` to ``spacing_um_px`` are those of a classifier.

    ``tied`` names tensors that are stored once: alias → the name that it is stored under.
    """

    window: Any
    channels: Any = 3
    mean: Any = None
    std: Any = None
    classes: Any = None
    activation: Any = None
    architecture: str | None = None
    spacing_um_px: float | None = None
    num_classes: int | None = None
    tied: dict[str, str] | None = None

    def fields(self) -> dict[str, Any]:
        """The arguments of a ``Classifier``, but the module. Lists of names of other tools may repeat some."""
        names = distinct(self.classes) if _is_list_of_names(self.classes) else self.classes
        return {**{name: getattr(self, name) for name in CLASSIFIER_FIELDS}, "classes": names}


def read_json(file: Path) -> Any:
    """What a JSON file says.

    Raises:
        ModelError: it cannot be read, is absurdly large, or is not JSON.
    """
    try:
        if file.stat().st_size > MOST_BYTES:
            raise ModelError(str(file), "is absurdly large", _REMEDY)
        return json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(str(file), f"cannot be read ({error.strerror or error})", _REMEDY) from error
    except (ValueError, RecursionError) as error:
        why = " ".join(str(error).split())[:120]
        raise ModelError(str(file), f"is not JSON ({why})", _REMEDY) from error


def parse(data: Any, file: Path) -> Config:
    """The config of a bundle, or of a model in the format of WSInfer's zoo.

    Raises:
        ModelError: it is neither, or of a version that is not known.
    """
    if not isinstance(data, dict):
        raise ModelError(str(file), "is not a table of fields", _REMEDY)
    if data.get("format") == FORMAT:
        return _own(data, file)
    if "patch_size_pixels" in data:
        return _wsinfer(data, file)
    raise ModelError(str(file), "is not the config of a bundle", _REMEDY)


def _own(data: dict[str, Any], file: Path) -> Config:
    if data.get("version") != VERSION:
        why = f"its version is {data.get('version')!r:.20}, known is {VERSION}"
        raise ModelError(str(file), why, "update everywindow, or save the bundle again")
    known = Config.__dataclass_fields__.keys()
    if "window" not in data:
        raise ModelError(str(file), "it names no window", _REMEDY)
    return _checked(Config(**{name: value for name, value in data.items() if name in known}), file)


def _wsinfer(data: dict[str, Any], file: Path) -> Config:
    """WSInfer resizes each patch: the window is the resized patch, and its spacing is stretched alike."""
    steps = _transform(data, file)
    patch = data["patch_size_pixels"]
    window = steps.get("Resize", {}).get("size", patch)
    # Steps without that one say that pixels from 0 to 1 are what it takes.
    normalise = steps.get("Normalize", {"mean": [0.0] * 3, "std": [1.0] * 3} if steps else {})
    if not _is_count(patch) or not _is_size(window):
        raise ModelError(str(file), f"patch {patch!r:.20} and size {window!r:.20} are not sizes", _REMEDY)
    size = list(window) if isinstance(window, list) else [window, window]
    architecture, spacing = data.get("architecture"), data.get("spacing_um_px")
    config = Config(
        window=size if len(size) == 2 else size * 2,
        mean=normalise.get("mean"),
        std=normalise.get("std"),
        classes=data.get("class_names"),
        architecture=f"timm:{architecture}" if isinstance(architecture, str) else None,
        spacing_um_px=spacing * patch / size[0] if _is_positive(spacing) else None,
        num_classes=data.get("num_classes"),
    )
    return _checked(config, file)


def _transform(data: dict[str, Any], file: Path) -> dict[str, dict[str, Any]]:
    """The steps' arguments by name; a step that is not known would change the scores."""
    steps = data.get("transform", [])
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        raise ModelError(str(file), "its transform is not a list of steps", _REMEDY)
    known = ("Resize", "ToTensor", "Normalize")
    unknown = [step.get("name") for step in steps if step.get("name") not in known]
    if unknown:
        raise ModelError(str(file), f"transform {unknown[0]!r:.40} is unknown", f"known are {', '.join(known)}")
    found = {step["name"]: step.get("arguments") or {} for step in steps}
    if not all(isinstance(arguments, dict) for arguments in found.values()):
        raise ModelError(str(file), "the arguments of its transform are no table", _REMEDY)
    return found


def _checked(config: Config, file: Path) -> Config:
    """What a ``Classifier`` does not check itself."""
    fits = {
        "architecture": config.architecture is None or isinstance(config.architecture, str),
        "spacing_um_px": config.spacing_um_px is None or _is_positive(config.spacing_um_px),
        "num_classes": config.num_classes is None or _is_count(config.num_classes),
        "tied": config.tied is None or _is_names(config.tied),
    }
    wrong = [name for name, is_right in fits.items() if not is_right]
    if wrong:
        raise ModelError(str(file), f"{wrong[0]} {getattr(config, wrong[0])!r:.40} does not fit", _REMEDY)
    count = config.num_classes
    if count and isinstance(config.classes, list) and len(config.classes) != count:
        raise ModelError(str(file), f"it has {len(config.classes)} names for {count} classes", _REMEDY)
    return config


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 < value < 2**24


def _is_size(value: Any) -> bool:
    if isinstance(value, list):
        return len(value) in (1, 2) and all(map(_is_count, value))
    return _is_count(value)


def _is_positive(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and value > 0


def _is_list_of_names(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(name, str) for name in value)


def _is_names(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(item, str) for pair in value.items() for item in pair)
