"""Weights from safetensors files, and only from these: pickles are recognised and refused unread."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from everywindow.errors import ModelError, TrustError

PICKLE_SUFFIXES = frozenset({".pt", ".pth", ".pkl", ".pickle", ".bin", ".ckpt", ".joblib", ".tar"})
NAMED = 5
"""How many tensors an error names."""


def read_weights(path: str | os.PathLike[str]) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file, on the CPU.

    Raises:
        TrustError: it is a pickle.
        ModelError: no such file, or not intact.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    file = Path(path)
    if not file.is_file():
        raise ModelError(str(path), "no such weights file", "give a .safetensors file")
    refuse_pickle(file)
    try:
        return load_file(file, device="cpu")
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        why = " ".join(str(error).split())[:120]
        raise ModelError(str(path), f"not an intact safetensors file ({why})", "copy or save it again") from error


def refuse_pickle(file: Path) -> None:
    """Raise where a file's name or first bytes are those of a pickle; it is not read further."""
    try:
        with open(file, "rb") as stream:
            start = stream.read(9)
    except OSError as error:
        raise ModelError(str(file), f"cannot be read ({error.strerror})", "check its permissions") from error
    # A safetensors file has the length of its header in 8 bytes, which may be any, and then the header.
    is_pickle = start[:1] == b"\x80" and start[8:9] != b"{"
    if file.suffix.lower() in PICKLE_SUFFIXES or start[:2] == b"PK" or is_pickle:
        raise TrustError(
            str(file),
            "is a pickle or an archive of one, which runs code when read; it was not read",
            "save the weights with safetensors.torch.save_file(module.state_dict(), ...)",
        )


def write_weights(tensors: Mapping[str, torch.Tensor], file: Path) -> dict[str, str]:
    """Write each tensor once; gives the other names of tied ones: alias → name."""
    from safetensors.torch import save_file

    stored: dict[str, torch.Tensor] = {}
    names: dict[tuple[object, ...], str] = {}
    tied: dict[str, str] = {}
    for name, tensor in tensors.items():
        first = names.setdefault(_identity(tensor), name)
        if first == name or tensor.numel() == 0:
            # A copy of its own: safetensors refuses tensors that overlap in part.
            stored[name] = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        else:
            tied[name] = first
    try:
        file.touch()
        mode = file.stat().st_mode
        save_file(stored, file, metadata={"format": "pt"})
        # The library gives its files to their owner alone, whatever the user's umask.
        file.chmod(mode)
    except (ValueError, KeyError) as error:
        raise ModelError("weights", f"cannot be stored ({error})", "convert them to a plain dtype") from error
    return tied


def fit(module: nn.Module, tensors: Mapping[str, torch.Tensor], what: str) -> nn.Module:
    """Put the weights into the module, in their dtype.

    Raises:
        ModelError: names the tensors that do not fit.
    """
    wrong = misfits(module, tensors)
    if wrong:
        more = f" and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
        why = f"{len(wrong)} tensors do not fit the network: {'; '.join(wrong[:NAMED])}{more}"
        raise ModelError(what, why, "give the weights of this network")
    dtype = next((tensor.dtype for tensor in tensors.values() if tensor.is_floating_point()), None)
    module = module if dtype is None else module.to(dtype)
    module.load_state_dict(dict(tensors))
    return module


def misfits(module: nn.Module, tensors: Mapping[str, torch.Tensor]) -> list[str]:
    """Each tensor that is missing, misshapen or unknown, and why."""
    expected = module.state_dict()
    missing = [f"{name} is missing" for name in expected if name not in tensors]
    misshapen = [
        f"{name} has shape {list(tensors[name].shape)} instead of {list(tensor.shape)}"
        for name, tensor in expected.items()
        if name in tensors and tensors[name].shape != tensor.shape
    ]
    unknown = [f"{name} is unknown" for name in tensors if name not in expected]
    return misshapen + missing + unknown


def _identity(tensor: torch.Tensor) -> tuple[object, ...]:
    """Equal for tensors that are the same memory seen the same way."""
    place = (tensor.device, tensor.untyped_storage().data_ptr(), tensor.storage_offset())
    return (*place, tensor.dtype, tuple(tensor.shape), tensor.stride())
