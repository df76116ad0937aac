"""The user's names for layers."""

from __future__ import annotations

from torch import fx

from everywindow.graph.applied import INSIDE


def layer_name(node: fx.Node) -> str:
    """The path of the module that a captured operation belongs to (``features.24``).

    An operation in the code of a module that has children is named after both: ``cat (in stage2.0)``.
    """
    stack = [entry for entry in (node.meta.get("nn_module_stack") or {}).values() if not _is_placeholder(entry[0])]
    if not stack:
        return f"{node.name} (in forward)"
    path, kind = stack[-1]
    kind = kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}"
    path = str(path).removeprefix("L['self'].").removeprefix("L['self']")
    path = f"{path}.".removeprefix(INSIDE).removesuffix(".")  # as in the original
    if path and kind.startswith("torch.nn.modules.") and ".container." not in kind:
        return path
    return f"{_operation(node)} (in {path or 'forward'})"


def _operation(node: fx.Node) -> str:
    """``aten.cat.default`` as ``cat``."""
    name = getattr(node.target, "__name__", str(node.target))
    return name.partition(".")[0]


def _is_placeholder(path: object) -> bool:
    return "empty_nn_module_stack" in str(path)
