"""``import torchvision`` on a build whose compiled operators do not fit the installed torch.

torchvision declares shape functions for its operators while it is imported, and fails where the
operators themselves could not be loaded. No classifier uses them, so declaring their names is enough.
"""

from __future__ import annotations

import torch

OPERATORS = (
    "nms(Tensor a, Tensor b, float c) -> Tensor",
    "qnms(Tensor a, Tensor b, float c) -> Tensor",
    "roi_align(Tensor a, Tensor b, float c, SymInt d, SymInt e, int f, bool g) -> Tensor",
    "_roi_align_backward(Tensor a) -> Tensor",
    "roi_pool(Tensor a) -> Tensor",
    "_roi_pool_backward(Tensor a) -> Tensor",
    "ps_roi_align(Tensor a) -> Tensor",
    "_ps_roi_align_backward(Tensor a) -> Tensor",
    "ps_roi_pool(Tensor a) -> Tensor",
    "_ps_roi_pool_backward(Tensor a) -> Tensor",
    "deform_conv2d(Tensor a) -> Tensor",
    "_deform_conv2d_backward(Tensor a) -> Tensor",
)

_declared: list[torch.library.Library] = []
"""Keeps the declarations alive: a library that is collected takes its operators with it."""


def make_importable() -> bool:
    """Declare torchvision's operators if it cannot be imported without; say whether it can be now."""
    try:
        import torchvision
    except ImportError:
        return False
    except RuntimeError as error:
        if "operator torchvision::" not in str(error):
            raise
        _declare()
        import torchvision
    return bool(torchvision.__version__)


def _declare() -> None:
    library = torch.library.Library("torchvision", "DEF")
    for schema in OPERATORS:
        library.define(schema)
    _declared.append(library)
