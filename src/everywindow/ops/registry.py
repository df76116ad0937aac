"""Which rule answers for which ATen overload. A new operation is one rule and one line here."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import fx

from everywindow.ops.convolution import Convolution
from everywindow.ops.linear import Linear, MatrixProduct
from everywindow.ops.norm import BatchNorm, FeatureNorm, WindowNorm
from everywindow.ops.opaque import (
    Attention,
    Creation,
    Einsum,
    Expansion,
    Gathering,
    Indexing,
    Opaque,
    Repetition,
    Spectrum,
)
from everywindow.ops.padding import Padding
from everywindow.ops.patches import Patches, SpaceToDepth
from everywindow.ops.pointwise import Dropout, Identity, Pointwise, Prelu
from everywindow.ops.pooling import AdaptiveMaxPooling, AdaptivePooling, AveragePooling, MaxPooling
from everywindow.ops.products import Bilinear, Contraction, Distances
from everywindow.ops.recurrent import Recurrent
from everywindow.ops.reduce import Extremum, Norm, Reduction
from everywindow.ops.rule import Call, Rule
from everywindow.ops.select import Concatenation, Item, Select, Slice, Split
from everywindow.ops.shape import Permute, Reshape
from everywindow.ops.transposed import TransposedConvolution
from everywindow.ops.upsample import DepthToSpace, LinearUpsampling, NearestUpsampling
from everywindow.ops.verbatim import AlongFeatures
from everywindow.ops.weights import PositiveWeights

RULES: tuple[type[Rule], ...] = (
    AdaptiveMaxPooling,
    AdaptivePooling,
    AlongFeatures,
    Attention,
    AveragePooling,
    BatchNorm,
    Bilinear,
    Concatenation,
    Contraction,
    Convolution,
    Creation,
    DepthToSpace,
    Distances,
    Dropout,
    Einsum,
    Expansion,
    Extremum,
    FeatureNorm,
    Gathering,
    Identity,
    Indexing,
    Item,
    Linear,
    LinearUpsampling,
    MatrixProduct,
    MaxPooling,
    NearestUpsampling,
    Norm,
    Opaque,
    Padding,
    Patches,
    Permute,
    Pointwise,
    PositiveWeights,
    Prelu,
    Recurrent,
    Reduction,
    Repetition,
    Reshape,
    Select,
    SpaceToDepth,
    Slice,
    Spectrum,
    Split,
    TransposedConvolution,
    WindowNorm,
)


@cache
def _by_target() -> dict[Any, Rule]:
    return {target: rule() for rule in RULES for target in rule.targets}


def rule_for(target: Any) -> Rule | None:
    """The rule of an overload; None where the project knows nothing about it.

    Elementwise overloads are recognised by the tag that ATen gives them.
    """
    rule = _by_target().get(target)
    if rule is not None:
        return rule
    tags = getattr(target, "tags", ())
    if torch.Tag.pointwise in tags and torch.Tag.nondeterministic_seeded not in tags:
        return _by_target()[torch.ops.aten.hardswish.default]
    return None


def is_random(node: fx.Node) -> bool:
    """Whether a call draws random numbers and no rule knows when it does not."""
    tags = getattr(node.target, "tags", ())
    if torch.Tag.nondeterministic_seeded not in tags or node.target in _by_target():
        return False
    arguments = Call(node, {}).arguments
    return not any(arguments.get(name) == 0 for name in _AT_REST)


_AT_REST = ("train", "training", "dropout", "dropout_p")
"""Arguments of calls that draw random numbers only in training, as recurrent layers do; one that is 0 says so."""
