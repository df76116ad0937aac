"""What the file of a converted network says about itself, read without running it.

A ``.pt2`` file has it as JSON in an entry of its zip, an ONNX file as JSON under a key for each fact.
"""

from __future__ import annotations

import json
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from everywindow.errors import DependencyError, InputError, ModelError

ENTRY = "everywindow.json"
WRITER = "everywindow"
"""The key of the version that wrote it, by which a file is known."""

FACTS = (
    *(WRITER, "image", "outputs", "window", "stride"),
    *("mean", "std", "classes", "activation", "exact", "reasons"),
)
"""The keys, in the order in which they are shown."""

MOST_BYTES = 2**24
IMAGE_AXES = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}
MAP_AXES = {1: ("windows",), 2: ("rows", "cols"), 3: ("planes", "rows", "cols")}
BATCH = "batch"


def facts_of(path: Path) -> dict[str, Any] | None:
    """The facts in a ``.pt2`` or ``.onnx`` file; None in a ``.pt2`` file of another program.

    Raises:
        DependencyError: onnx is not installed.
        InputError: no such file.
        ModelError: it is damaged, or an ONNX file of another program.
    """
    if not path.is_file():
        raise InputError(str(path), "no such file", "check the name")
    texts = _of_onnx(path) if path.suffix.lower() == ".onnx" else _of_pt2(path)
    if texts is None:
        return None
    return {name: texts[name] for name in FACTS if name in texts}


def require(package: str) -> None:
    """Raise DependencyError where a package for ONNX is not installed."""
    if find_spec(package) is None:
        raise DependencyError(package, "not installed, and ONNX needs it", "pip install onnx onnxscript onnxruntime")


def _of_pt2(path: Path) -> dict[str, Any] | None:
    if not zipfile.is_zipfile(path):
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            entry = next((e for e in archive.infolist() if e.filename.endswith(f"/extra/{ENTRY}")), None)
            if entry is None:
                return None
            return _parsed(path, archive.read(entry) if entry.file_size <= MOST_BYTES else b"")
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise _damaged(path) from error


def _of_onnx(path: Path) -> dict[str, Any]:
    require("onnx")
    import onnx

    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:
        raise ModelError(str(path), "not an intact ONNX file", "write it again") from error
    texts = {entry.key: entry.value for entry in model.metadata_props}
    if WRITER not in texts:
        raise ModelError(
            str(path), "an ONNX file of another program", "give one that 'everywindow convert' has written"
        )
    return {name: _json(path, texts[name]) for name in FACTS if name in texts}


def _parsed(path: Path, text: bytes) -> dict[str, Any]:
    facts = _json(path, text)
    if not isinstance(facts, dict) or WRITER not in facts:
        raise _damaged(path)
    return facts


def _json(path: Path, text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> ModelError:
    return ModelError(str(path), "what it says about itself is damaged", "write it again with 'everywindow convert'")
