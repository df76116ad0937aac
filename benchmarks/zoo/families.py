"""The families of timm's networks, and the smallest network of each: ``python -m benchmarks.zoo.families``.

The command counts the parameters of all of timm's networks, without memory for them, which takes some minutes, and
writes ``timm_families.json`` beside this file. Run it when timm's version in ``constraints.txt`` changes.
"""

from __future__ import annotations

import json
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from benchmarks.zoo.networks import build, module_of, names, version

FILE = Path(__file__).with_name("timm_families.json")

BEFORE = ("dm", "eca", "ese", "gc", "legacy", "nf", "tf", "tiny", "twins", "wide")
"""Words before a name that say little alone: ``tf_efficientnet_b0``, ``legacy_senet154``."""

_WORD = re.compile(r"(.*?[a-z](?:v\d)?)(?:\d+[a-z]{0,2}\d*)?")

_KIND = re.compile(r"[a-z]+_(v\d|x|y)(?=_|$)")
"""What tells families of torchvision apart: ``regnet_y``."""


def leading_word(name: str) -> str:
    """The word that a name begins with, without its size; ``v2`` is no size.

    >>> [leading_word(name) for name in ("resnet50d", "res2net50_26w_4s", "convnextv2_atto", "tf_efficientnet_b0")]
    ['resnet', 'res2net', 'convnextv2', 'tf_efficientnet']
    >>> leading_word("test_vit2")
    'vit'
    """
    words = name.removeprefix("test_").split("_")
    before = f"{words.pop(0)}_" if words[0] in BEFORE else ""
    found = _WORD.fullmatch(words[0])
    return before + (found[1] if found else words[0])


def family_of(library: str, name: str) -> str:
    """The family of a network: of timm's, the file that defines it, and its leading word; of torchvision's, that word.

    timm's files hold networks as different as ``resnet``, ``ecaresnet`` and ``resnetblur`` together; and
    ``vision_transformer`` and ``eva`` both define networks called ``vit``.

    >>> family_of("torchvision", "mobilenet_v3_small"), family_of("torchvision", "vit_b_16")
    ('mobilenet_v3', 'vit')
    """
    if library == "timm":
        return f"{module_of('timm', name)}/{leading_word(name)}"
    kind = _KIND.match(name)
    return kind[0] if kind else leading_word(name)


def is_toy(name: str) -> bool:
    """Whether a network is one of timm's own tests: tiny, and trained for nothing."""
    return name.startswith("test_")


def smallest_of_each() -> dict[str, str]:
    """By family, the name of its smallest network.

    Raises:
        ValueError: the file beside this one is of another version of timm.
    """
    kept = json.loads(FILE.read_text())
    if kept["timm"] != version("timm"):
        raise ValueError(f"{FILE}: of timm {kept['timm']}, not {version('timm')}; run python -m {__spec__.name}")
    return {family: found["name"] for family, found in kept["families"].items()}


def parameters(name: str) -> int:
    """How many parameters a network of timm has, with its own head."""
    try:
        with torch.device("meta"):
            module = build("timm", name, num_classes=None)
    except (NotImplementedError, RuntimeError):  # computes with values while it is built
        module = build("timm", name, num_classes=None)
    return _count(module)


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def chosen(sizes: dict[str, int]) -> dict[str, dict[str, int | str]]:
    """By family, its smallest network, that one's parameters, and how many networks the family has.

    Toys are taken only where a family has nothing else.
    """
    families: dict[str, list[str]] = {}
    for name in sizes:
        families.setdefault(family_of("timm", name), []).append(name)
    best = {family: min(found, key=lambda name: (is_toy(name), sizes[name])) for family, found in families.items()}
    return {
        family: {"name": name, "parameters": sizes[name], "networks": len(families[family])}
        for family, name in sorted(best.items())
    }


def _counted() -> Iterator[tuple[str, int]]:
    for name in names("timm"):
        yield name, parameters(name)
        print(name, file=sys.stderr, flush=True)


def main() -> None:
    """Write the file."""
    warnings.simplefilter("ignore")
    families = chosen(dict(_counted()))
    FILE.write_text(json.dumps({"timm": version("timm"), "families": families}, indent=1) + "\n")


if __name__ == "__main__":
    main()
